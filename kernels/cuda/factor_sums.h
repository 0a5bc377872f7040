// Sums of what rows say of latents and factors (FactorSums of kernels/factor_mixture.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/responsibilities.h"
#include "kernels/factor_mixture.h"

namespace doppel::cuda {

inline constexpr int kSumRows = 64;  // of a block

// A member's sums are a matrix, [rank + 2, stride]. It has columns for each latent (about the member's mean in single
// precision) and factor, for a 1, and for a 1 in rows without gaps alone; of them, over entries by their share, rows
// for products with each factor, for sums, and for squares.
constexpr int64_t sum_columns(int64_t latents, int64_t rank) {
  return latents + rank + 2;
}
constexpr int64_t sum_stride(int64_t latents, int64_t rank) {
  return (sum_columns(latents, rank) + kSumRows - 1) / kSumRows * kSumRows;
}

// Entries are sorted by member, those of a member in the order of rows. Rows are numbered as the entries do.
struct FactorSumArguments {
  int64_t members, padded;
  int32_t latents, rank;
  int64_t stride;  // of sums: sum_stride(latents, rank)
  int32_t entries;
  const Entry* entry;
  const int32_t* member;  // of each entry
  const int32_t* first;   // [members + 1] where a member's entries begin
  const float* z;         // [rows, row_stride] 0 where a row lacks a latent
  int32_t row_stride;
  const float* product;        // [rows from first_row on, blocks, rank, lanes] A^T z
  int64_t first_row;           // of the product
  const int32_t* gap;          // [rows] a row's number among those with gaps, or -1; null where no row has gaps
  const uint32_t* absent;      // [rows with gaps, words] a bit for each latent: 1 where the row lacks it
  int32_t words;               // 32 latents each
  const float *mean, *offset;  // of FactorDensity, in its layout
  const float* inverse;        // [members, rank, rank] M^-1 of all latents
  float* factors;              // [entries, rank] posterior means
  double* sums;                // [members, rank + 2, stride] are added to
};

// Of rows with gaps, with lists of latents as GappyRows has them; and some entries' posterior covariances.
struct GapSumArguments {
  int32_t first_entry, entries;  // that are worked on
  const int64_t* absent_first;   // [rows with gaps + 1]
  const int32_t* absent;
  const int64_t* present_first;
  const int32_t* present;
  const double *factor, *residual, *moment;  // of FactorMembers
  double* inverse;                           // [entries worked on, rank, rank] M^-1 of the latents that are present
};

// factor_sums.cu. Asynchronous; rank is at most kMostFactors. Posterior means of factors in rows without gaps.
void find_factors(const FactorSumArguments& arguments, cudaStream_t stream);
// Those of rows with gaps, and their covariances; then what these add to sums with factors and absent latents.
void complete_rows(const FactorSumArguments& arguments, const GapSumArguments& gaps, cudaStream_t stream);
void sum_gaps(const FactorSumArguments& arguments, const GapSumArguments& gaps, cudaStream_t stream);
// All other sums, once all entries' factors are there.
void sum_factors(const FactorSumArguments& arguments, cudaStream_t stream);

}  // namespace doppel::cuda
