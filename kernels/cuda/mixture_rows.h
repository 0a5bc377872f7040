// Rows of a mixture (kernels/mixture.h) that lie on a CUDA device over steps of expectation maximisation.
#pragma once

#include <memory>

#include "kernels/cuda/responsibilities.h"
#include "kernels/mixture.h"

namespace doppel::cuda {

inline constexpr int kMostMomentAxes = 512;               // so that shared memory holds some entries' numbers
inline constexpr size_t kOffsetBytes = size_t{64} << 20;  // of entries' offsets at a time

// Steps take as many rows at a time as their log densities take so many bytes, and as many of their entries as their
// offsets do, or fewer where the device's memory is short. `expect` throws Error for more than kMostMomentAxes axes.
std::unique_ptr<PreparedMixtureRows> prepare_cuda_mixture_rows(const MixtureRows& rows, int32_t variables,
                                                               int32_t latents, int device,
                                                               size_t density_bytes = kDensityBytes,
                                                               size_t offset_bytes = kOffsetBytes);

}  // namespace doppel::cuda
