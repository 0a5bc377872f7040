// The PCA model: a Gaussian of principal components in the space of normal scores (a Gaussian copula), or of
// standardised values.
//
// Fitting: a latent dimension for each column's values and one for its gaps (latent.h); categories ordered
// (level_order.h); the correlation of the latents (latent_correlation.h), R = V diag(lambda) V^T. With the first K
// components
//   z = V_K diag(sqrt(lambda_K)) e + residual * noise,   residual_j^2 = 1 - sum_k V_jk^2 lambda_k,
// so that every z_j has variance 1 and its column's marginal comes out whatever K. Values of the range's ends and, in
// columns of few distinct values, all values are the original's own.
//
// Memory: about kMatrices matrices of latents x latents doubles and a block of rows, whatever the number of rows.
#pragma once

#include <memory>

#include "engine/model.h"

namespace doppel {

inline constexpr const char* kPcaKind = "pca";

// components "auto": all where there are at most kAutoComponents latents; beyond that as many as explain kAutoShare of
// the variance, at most kAutoComponents.
inline constexpr int64_t kAutoComponents = 256;
inline constexpr double kAutoShare = 0.99;

// Throws UsageError for options that make no sense for any table.
void check_pca_options(const FitOptions& options);
// Throws UsageError for more components than the table has latent dimensions and for a table too wide for
// options.memory_bytes. The options have passed the check.
std::unique_ptr<Model> fit_pca(TableSource& source, const TableProfile& profile, const FitOptions& options,
                               const Backend& backend);
std::unique_ptr<Model> load_pca(const ModelFile& file);

}  // namespace doppel
