// From a column's empirical distribution to the intervals of the score axis that give it back.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/table/profile.h"
#include "kernels/table.h"

namespace doppel {

// Distributions of more distinct values than this are smoothed: neighbouring values share a segment, within which
// values are spread evenly, as long as the distribution function moves by no more than kSmoothing anywhere, and by no
// more than a twentieth of the probability that is left in the tail.
inline constexpr size_t kExactSegments = 512;
inline constexpr double kSmoothing = 1.0 / 4096;

// The transform of a column with values (latent and missing fields are left to the caller):
//   numeric kinds         segments of single values, or of runs of values where there are many; kInt32 or kInt64 by the
//   range,
//                         kFloat32 for a kReal that came as such, else kFloat64. Whole numbers that are all multiples
//                         of some number above 1 (prices in steps of 50) are never smoothed.
//   kCategory, kBoolean   one segment a level that occurs, in the order of `order` (codes)
//   kConstant             one segment
// The probabilities of segments are the observed shares, to the float rounding of their bounds. Values rarer than that
// (below about 1e-9) are left out.
ColumnSampler make_marginal(const ColumnSchema& schema, const ColumnProfile& profile, std::span<const int32_t> order);

// How a column's values lie in memory: reals as they came, whole numbers in 32 bits where their range fits, codes.
Storage storage_of(const ColumnSchema& schema, const Distribution& distribution);

// The same column without intervals: mean + deviation * z clipped to the range seen, which is the classic PCA.
ColumnSampler make_linear(const ColumnSchema& schema, const Distribution& distribution, double mean, double deviation);

}  // namespace doppel
