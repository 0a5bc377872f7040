// Responsibilities of a mixture's members (kernels/mixture.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/statistics.h"
#include "kernels/mixture.h"

namespace doppel::cuda {

inline constexpr int kDensityRows = 8;       // that share their loads of parameters
inline constexpr int kDensityThreads = 128;  // members of a block

// `rows` are padded to kDensityRows; the numbers of a row past the last mean nothing.
struct DensityArguments {
  int64_t rows, padded;  // padded: members
  int32_t variables, latents;
  const float* base;       // [padded]
  const float* emission;   // of all variables, each [states, padded]
  const int64_t* first;    // [variables] where in `emission` each begins
  const float* whitening;  // [latents (latents + 3) / 2, padded]
  const int32_t* states;   // [rows / kDensityRows, variables, kDensityRows]
  const float* latent;     // [rows / kDensityRows, latents, kDensityRows]
  float* log_density;      // [rows, padded]
};

// Members near the greatest of their row: as kernels/mixture.h defines them.
struct NearArguments {
  int64_t rows, padded;
  const float* log_density;  // [rows, padded]
  int32_t* count;            // [rows]
  const int64_t* first;      // [rows] where a row's begin; null: they are only counted
  int32_t* member;
  float* value;  // their log densities
};

// responsibilities.cu. Asynchronous.
void compute_log_densities(const DensityArguments& arguments, cudaStream_t stream);
void find_near_members(const NearArguments& arguments, cudaStream_t stream);

// find_responsibilities.cpp: from and to host memory, as many rows at a time as their log densities take so many bytes.
// Returns when the result is there.
inline constexpr size_t kDensityBytes = size_t{64} << 20;
void find_responsibilities(Libraries& libraries, const MixtureDensity& density, const MixtureRows& rows,
                           Responsibilities& out, size_t density_bytes = kDensityBytes);
// Products with factors are among the bytes.
void find_responsibilities(Libraries& libraries, const FactorDensity& density, const MixtureRows& rows,
                           Responsibilities& out, size_t density_bytes = kDensityBytes);

}  // namespace doppel::cuda
