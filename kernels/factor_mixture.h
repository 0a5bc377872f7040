// Learning a mixture of factor analysers by expectation maximisation: members whose covariances are of low rank
// (Ghahramani and Hinton, "The EM algorithm for mixtures of factor analyzers", 1996). Under a member
//   z = mean + factor x + sqrt(residual) e,   x, e standard normals, x [rank].
// A row may lack any of its latents, which are NaN: of each row exactly what it has counts.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/mixture.h"

namespace doppel {

// The members' covariances are factor factor^T + diag(residual), the factor [latents, rank]. Over the latents that a
// row has, with A = residual^-1 factor, M = I + factor^T A and b = A^T (z - mean), by Woodbury's identity
//   log density = states - 1/2 (sum log(2 pi residual) + log |M| + sum (z - mean)^2 / residual - b^T M^-1 b).
// A^T z of all members is one matrix product [rows, latents] x [latents, rank x members]; M is that of all latents less
// the terms of those that the row lacks (or the terms of those that it has, where these are fewer).
//
// In single precision, rounding is about 1e-7 of sum (z - mean)^2 / residual; products are the libraries', so that
// backends agree within it, not to the bit.
inline constexpr int32_t kMostFactors = 32;  // of `rank`
struct FactorDensity {
  MixtureDensity states;  // without latents; `base` has the terms of all latents that do not depend on the row
  int32_t latents = 0, rank = 0;
  // Of all members; [.., blocks, .., kMemberLanes] has members kMemberLanes * block + lane, and padding of zeros.
  std::vector<float> mean, precision;  // [latents, padded]; 1 / residual
  std::vector<float> absent;           // [latents, padded] 1/2 (log(2 pi residual) + mean^2 / residual)
  std::vector<float> loading;          // [latents, blocks, rank, lanes] A
  std::vector<float> offset;           // [blocks, rank, lanes] A^T mean of all latents
  std::vector<float> moment;           // [blocks, rank (rank + 1) / 2, lanes] M of all latents, its lower triangle
  std::vector<float> root;             // likewise: its Cholesky factor, with the inverse of each diagonal element
  std::vector<float> half_log;         // [padded] 1/2 log |M|
};
void find_responsibilities_on_cpu(const FactorDensity& density, const MixtureRows& rows, Responsibilities& out);

// The same members, the member slowest, as the sums read them.
struct FactorMembers {
  int64_t members = 0;
  int32_t latents = 0, rank = 0;
  const double *mean = nullptr, *residual = nullptr;   // [members, latents]
  const double* factor = nullptr;                      // [members, latents, rank]
  const float* loading = nullptr;                      // [members, latents, rank] A
  const double *moment = nullptr, *inverse = nullptr;  // [members, rank, rank] M of all latents, and M^-1
};

// What rows say of latents and factors under members. Given the latents that a row has the factors have mean M^-1 b and
// covariance M^-1, and latents that it lacks follow; over rows, by their share, and with latents about a centre of the
// member, the sums of expectations are
//   sum[m, j] += share E[z_j - centre]                square[m, j] += share E[(z_j - centre)^2]
//   cross[m, j, k] += share E[(z_j - centre) x_k]
//   factor_sum[m, k] += share E[x_k]                  factor_product[m, k, l] += share E[x_k x_l]
// Terms of some hundred rows are added in single precision, their sums in double.
struct FactorSums {
  MixtureCounts counts;
  FactorMembers of;
  const double* centre = nullptr;                           // [members, latents]
  double *sum = nullptr, *square = nullptr;                 // [members, latents]
  double* cross = nullptr;                                  // [members, latents, rank]
  double *factor_sum = nullptr, *factor_product = nullptr;  // [members, rank (, rank)]
};
// All but the counts.
void add_factor_sums_on_cpu(const MixtureRows& rows, const Responsibilities& shares, const FactorSums& sums);

// Rows that go through many steps: a device holds them.
class PreparedFactorRows {
 public:
  virtual ~PreparedFactorRows() = default;
  // As PreparedMixtureRows::expect: replaces log_density [rows], adds to `sums` and replaces `shares` unless null. The
  // density and the sums are of the same members.
  virtual void expect(const FactorDensity& density, std::span<double> log_density, const FactorSums* sums,
                      Responsibilities* shares) const = 0;
};
// The rows must outlive it. A backend's is Backend::prepare_factor_rows.
std::unique_ptr<PreparedFactorRows> prepare_factor_rows_on_cpu(const MixtureRows& rows, int32_t variables,
                                                               int32_t latents);

}  // namespace doppel
