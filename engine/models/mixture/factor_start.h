// What factor analysers (factor_analysers.h) start from: one covariance for all members, found without a matrix [axes,
// axes]. Rows are of one pattern, NaN where a latent is absent.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/models/mixture/mixture_learner.h"
#include "engine/models/mixture/mixture_space.h"
#include "kernels/mixture.h"

namespace doppel {

inline constexpr int64_t kMostRank = kMostFactors;

// [axes] over the rows where the latent is present.
std::vector<double> latent_variances(const RowsByPattern& rows, size_t axes);

// Of rows about the means of their members: leading directions as the factors (probabilistic PCA: Tipping and Bishop,
// 1999), as far as they pay by the rule of without_idle_factors, at most kMostRank.
CommonFactors common_factors(const RowsByPattern& rows, size_t axes, const std::vector<int32_t>& member_of_row,
                             int64_t members);

}  // namespace doppel
