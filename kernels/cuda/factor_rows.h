// Rows of a mixture of factor analysers (kernels/factor_mixture.h) that lie on a CUDA device over steps of expectation
// maximisation.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/factor_mixture.h"

namespace doppel::cuda {

inline constexpr size_t kFactorBytes = size_t{256} << 20;     // of rows' log densities and products at a time
inline constexpr size_t kCovarianceBytes = size_t{64} << 20;  // of the factors' covariances of rows with gaps

// Steps take as many rows at a time as their log densities and products with factors take so many bytes, and as many of
// their parts in members as posterior covariances do, or fewer where the device's memory is short. Where it is too
// short for the rows themselves, these are uploaded at each step, as many at a time. `expect` throws Error for more
// than kMostFactors factors.
std::unique_ptr<PreparedFactorRows> prepare_cuda_factor_rows(const MixtureRows& rows, int32_t variables,
                                                             int32_t latents, int device,
                                                             size_t factor_bytes = kFactorBytes,
                                                             size_t covariance_bytes = kCovarianceBytes);

}  // namespace doppel::cuda
