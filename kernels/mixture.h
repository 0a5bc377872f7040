// Learning a mixture: log densities of rows under every member, and the responsibilities that follow.
//
// A row has states of variables and latents z. Under member m
//   log density = base[m] + sum over variables v of log_emission[v][state of v, m] - 1/2 |W_m z - c_m|^2
// with W_m the inverse of the Cholesky factor of the member's covariance (lower triangular) and c_m = W_m mean_m: the
// square is that of a matrix product [rows, latents + 1] x [latents + 1, members x latents], of which half is zeros.
//
// Single precision; sums of the results are the caller's and in double.
#pragma once

#include <cstdint>
#include <vector>

namespace doppel {

inline constexpr int64_t kMemberLanes = 16;  // arrays over members are padded to a multiple of it
constexpr int64_t padded_members(int64_t members) {
  return (members + kMemberLanes - 1) / kMemberLanes * kMemberLanes;
}
inline constexpr float kNoDensity = -1e30f;  // log density of a member that cannot be, padding included

// Parameters as the operation reads them: the member runs fastest, padded with kNoDensity in `base` and 0 elsewhere.
struct MixtureDensity {
  int64_t members = 0;
  int32_t variables = 0, latents = 0;
  std::vector<float> base;                 // [padded] log of weight and of the normal density's constant
  std::vector<const float*> log_emission;  // [variables] each [states, padded]
  std::vector<float> whitening;            // [latents (latents + 3) / 2, padded]: for each i: -c_i, W_i0 .. W_ii
};

// Rows that all have the same latents. State -1: the row says nothing of the variable.
struct MixtureRows {
  int64_t rows = 0;
  const int32_t* states = nullptr;  // [rows, variables]
  const float* latents = nullptr;   // [rows, latents]
};

// Of rows, in their order: members with a responsibility of at least exp(-kNegligible) times the greatest.
inline constexpr float kNegligible = 12.0f;
struct Responsibilities {
  std::vector<int64_t> first;       // [rows + 1]
  std::vector<int32_t> member;      // ascending within a row
  std::vector<float> share;         // sums to 1 within a row
  std::vector<double> log_density;  // [rows] of the mixture; -infinity where no member can be
  void clear();
};

// Replaces `out`. Shapes are the caller's business.
void find_responsibilities_on_cpu(const MixtureDensity& density, const MixtureRows& rows, Responsibilities& out);

}  // namespace doppel
