// Scores of rows under a mixture (kernels/row_scores.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/row_scores.h"

namespace doppel::cuda {

inline constexpr int kScoreTileRows = 4;                 // that share their loads of a pattern
inline constexpr size_t kScoreBytes = size_t{64} << 20;  // of what members say of rows, at a time

// The arrays over members of this file are padded to `stride`, whole sectors of memory.
constexpr int64_t score_stride(int64_t members) {
  return (members + 3) / 4 * 4;
}

// Latents known. values: constant, then offset [known], precision [known], conditional constant [known] and whitening
// [known (known + 1) / 2], each [stride].
struct PatternOnDevice {
  const double* values;
  const int32_t* place;  // [latents] of a latent among those known; -1: it is not
  int64_t known;
};

// Rows that know the same latents lie side by side. Where covariances are of low rank (factor_scores.h) there are no
// patterns, tiles and gains.
struct RowScoreArguments {
  int64_t rows, members, stride;
  int32_t variables, latents, cells, tiles;
  bool is_low_rank;
  const double* log_weight;                 // [stride]
  const double *scale, *centre, *constant;  // [latents, stride]
  const ScoredCell* cell;                   // [cells]
  const double* const* states;              // each [3, stride]: log probabilities, probabilities, and their inverses
  const PatternOnDevice* patterns;

  const double* z;                 // [rows, latents] the known ones, side by side; of low rank in place
  const int32_t* tile;             // [tiles + 1] the first of at most kScoreTileRows rows that know the same latents
  const int32_t* pattern;          // [rows]; of low rank how many latents are known
  const int32_t* known_states;     // [rows, variables]
  const int32_t *without, *alone;  // [cells, rows]

  double* joint;     // [rows, stride]
  double* term;      // [rows, stride] exp(joint - greatest)
  double* gain;      // [rows, latents, stride] -log N(a known latent | the others)
  double* greatest;  // [rows]

  double* log_density;                  // [rows]
  double *found_without, *found_alone;  // [cells, rows]
};

// row_scores.cu. Asynchronous. joint and gain of full covariances; then, whatever covariances are, densities, cells
// alone, and without, but for known latents of low rank.
void find_joint(const RowScoreArguments& arguments, cudaStream_t stream);
void find_scores(const RowScoreArguments& arguments, cudaStream_t stream);

// prepare_scores.cpp. Selects the device. Rows go through in pieces of so many bytes, smaller ones where memory is
// short. Null where covariances of low rank have more than kMostFactors factors.
std::unique_ptr<PreparedScores> prepare_cuda_scores(const MixtureScores& mixture, int device,
                                                    size_t score_bytes = kScoreBytes);

}  // namespace doppel::cuda
