// What latents add to log densities where a mixture's members are factor analysers (FactorDensity of
// kernels/mixture.h), on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/factor_mixture.h"

namespace doppel::cuda {

inline constexpr int kSquareRows = 8;       // that share their loads of parameters
inline constexpr int kLatentsOfVector = 4;  // rows of z are padded to it

// Parameters are FactorDensity's, in its layouts.
struct FactorArguments {
  int64_t rows, members, padded;
  int32_t latents, rank;
  int32_t stride;  // of rows of z: `latents` padded to kLatentsOfVector
  const float *mean, *precision, *offset, *root, *half_log;
  int64_t first_row;     // the number that the first of the rows has in lists of rows
  const float* z;        // [rows padded to kSquareRows, stride] 0 where a row lacks a latent, and in the padding
  const float* product;  // [rows, blocks, rank, lanes] A^T z
  float* log_density;    // [rows, padded] is added to
};

// Parameters with the member slowest, and M instead of its factor.
struct FactorsByMember {
  const float *mean, *precision, *absent;  // [padded, latents]
  const float* loading;                    // [padded, latents, rank]
  const float* offset;                     // [padded, rank]
  const float* moment;                     // [padded, rank (rank + 1) / 2]
};

// Rows that lack latents. What a row has is listed where this is less than what it lacks, else not.
struct GappyRows {
  int64_t rows;
  const int32_t* row;            // [rows] their numbers
  const int64_t* absent_first;   // [rows + 1]
  const int32_t* absent;         // ascending
  const int64_t* present_first;  // [rows + 1]
  const int32_t* present;
};

// factor_densities.cu. Asynchronous; rank is at most kMostFactors. Squares first: -1/2 sum (z - mean)^2 / residual.
void add_squares(const FactorArguments& arguments, cudaStream_t stream);
// 1/2 (b^T M^-1 b - log |M|) of rows that have all latents; row [count]: their numbers.
void add_explained(const FactorArguments& arguments, const int32_t* row, int64_t count, cudaStream_t stream);
// The same of others, of M and b without the latents that they lack, and what these had in the rest.
void add_explained_with_gaps(const FactorArguments& arguments, const FactorsByMember& members, const GappyRows& rows,
                             cudaStream_t stream);
// [outer, blocks, width, kMemberLanes] to [padded, outer, width].
void sort_by_member(const float* from, int64_t outer, int64_t padded, int64_t width, float* to, cudaStream_t stream);

}  // namespace doppel::cuda
