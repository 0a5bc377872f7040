// The leading principal directions of many rows in many dimensions, without their covariance: subspace iteration from
// random directions (Halko, Martinsson and Tropp, "Finding structure with randomness", 2011).
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

namespace doppel {

struct Directions {
  std::vector<double> vectors;  // [width, kept] orthonormal columns
  std::vector<double> values;   // [kept] sums of squares of the rows along them, descending
};

using RowConsumer = std::function<void(const float* rows, int64_t count)>;  // rows [count, width]

// `for_blocks` hands the same rows at each call, of mean 0, block by block. Time: rows x width x kept x a dozen;
// memory: width x kept. Deterministic.
Directions leading_directions(int64_t width, int64_t kept, const std::function<void(const RowConsumer&)>& for_blocks);

}  // namespace doppel
