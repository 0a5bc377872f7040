// Scores of rows under a mixture whose covariances are of low rank (kernels/row_scores.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "kernels/common/portable.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/row_scores.h"

namespace doppel::cuda {

inline constexpr int kFactorTileRows = 8;   // that share their loads of parameters
inline constexpr int kFactorsOfThread = 4;  // of one member

// A Cholesky factor by rows, each of an even number of elements: where row k begins. The diagonal has its inverse.
DOPPEL_HOST_DEVICE constexpr int64_t row_of_root(int64_t k) {
  return 2 * ((k + 1) / 2) * ((k + 2) / 2);
}

// Whatever the rows are, u = F / sqrt(r). `width` is the rank padded to kFactorsOfThread, `order` to 8, 16 or 32;
// padding is 0, of matrices that of the identity.
struct FactorParameters {
  int32_t rank, width, order;
  const double *mean, *scale, *constant;  // [latents, stride] 1 / sqrt(r), log(2 pi r)
  const double* loading;                  // [latents, members, width] u
  const double *moment, *inverse;         // [members, order, order] M of all latents, and its inverse
  const double* half_log;                 // [members] 1/2 log |M|

  // With the member slowest: [members, latents], and u [members, width, latents].
  const double *mean_of, *scale_of, *constant_of, *loading_of;
  const double *precision_of, *gain_of;  // of rows that know all latents: 1 / (1 - s), 1/2 (log(2 pi r) - log(1 - s))
  const double *spread_of, *most_of;     // alone: 1 + |u|^2, 1/2 (log(2 pi r) + log(1 + |u|^2))
};

// Of a piece's rows, which all know every latent, or all lack some. RowScoreArguments' z is [rows, latents], each
// latent in its place and NaN where it is not known; `pattern` says how many are known.
struct FactorPiece {
  double* x;     // [rows, members, width] sum of u e over the known latents; then the factors' mean
  double* root;  // [rows, members, row_of_root(order)] M's factor; null: all latents are known
};

// factor_scores.cu. Asynchronous. The members' logarithms to arguments.joint; then, as densities are found, what cells
// with known latents are without them.
void find_factor_joint(const RowScoreArguments& arguments, const FactorParameters& factors, const FactorPiece& piece,
                       cudaStream_t stream);
void find_without_factors(const RowScoreArguments& arguments, const FactorParameters& factors, const FactorPiece& piece,
                          cudaStream_t stream);

// The parameters on the device.
class ScoredFactors {
 public:
  // Waits for the stream, which must outlive it.
  ScoredFactors(const MixtureScores& mixture, cudaStream_t stream);
  const FactorParameters& parameters() const { return parameters_; }
  // Doubles that a piece takes for each row.
  int64_t doubles(bool has_gaps) const;
  FactorPiece piece(int64_t rows, bool has_gaps, double* memory) const;

 private:
  int64_t members_;
  FactorParameters parameters_{};
  std::vector<DeviceBuffer<double>> on_device_;
};

}  // namespace doppel::cuda
