// Learning a mixture by expectation maximisation: log densities of rows under every member, the responsibilities that
// follow, and their sums, from which members are learned anew.
//
// A row has states of variables and latents z. Under member m
//   log density = base[m] + sum over variables v of log_emission[v][state of v, m] - 1/2 |W_m z - c_m|^2
// with W_m the inverse of the Cholesky factor of the member's covariance (lower triangular) and c_m = W_m mean_m: the
// square is that of a matrix product [rows, latents + 1] x [latents + 1, members x latents], of which half is zeros.
//
// Log densities and shares are in single precision, in the order of the formula with fused multiply-adds, sums over
// rows in double, in the order of rows: the same bits on CUDA and on every instruction set that fuses.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
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
  std::vector<int32_t> states;             // [variables] of which members are told apart
  std::vector<const float*> log_emission;  // [variables] each [states, padded]
  std::vector<float> whitening;            // [latents (latents + 3) / 2, padded]: for each i: -c_i, W_i0 .. W_ii
};

// Rows that all have the same latents. A state that is negative or past those of the density says nothing.
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
  void clear() {
    first.assign(1, 0);
    member.clear();
    share.clear();
    log_density.clear();
  }
};

// Replaces `out`. Shapes are the caller's business.
void find_responsibilities_on_cpu(const MixtureDensity& density, const MixtureRows& rows, Responsibilities& out);

// Sums of shares, of all rows and of those that have a state; a state that is negative or past these counts nowhere.
struct MixtureCounts {
  int64_t members = 0;
  std::vector<int32_t> states;    // [variables]
  std::vector<double*> of_state;  // [variables] each [states, members]
  double* weight = nullptr;       // [members] of all
};
void add_counts_on_cpu(const MixtureRows& rows, const Responsibilities& shares, const MixtureCounts& counts);

// Moments of rows' latents under members, about a centre of each:
//   sum[m, i] += share (z_i - centre[m, i])
//   product[m, i, j] += share (z_i - centre[m, i]) (z_j - centre[m, j])    for j <= i
// A product is rounded before it is added.
//
// Rows have all the same latents; for those that they lack stand their means given the others, under each member:
//   z_a = mean[m, a] + sum over i of (W (z - mean))_i regression[m, a, i]
// with W the inverse of the Cholesky factor of the covariance of the latents present.
struct MixtureLatents {
  int64_t members = 0, rows = 0;
  const float* latents = nullptr;            // [rows, present]
  std::span<const int32_t> present, absent;  // axes: each ascending, together all
  const double* centre = nullptr;            // [members, axes]
  // Where some are absent:
  const double* mean = nullptr;        // [members, axes]
  const double* inverse = nullptr;     // [members, present, present] W, the lower triangle
  const double* regression = nullptr;  // [members, absent, present]
};
struct MixtureMoments {
  double* sum = nullptr;      // [members, axes]
  double* product = nullptr;  // [members, axes, axes] the lower triangle
};
void add_moments_on_cpu(const MixtureLatents& latents, const Responsibilities& shares, const MixtureMoments& moments);

// What a step sums over rows, whatever the sums hold before.
struct MixtureSums {
  MixtureCounts counts;
  MixtureLatents latents;  // of the rows
  MixtureMoments moments;
};

// Rows that go through many steps: a device holds them.
class PreparedMixtureRows {
 public:
  virtual ~PreparedMixtureRows() = default;
  // Replaces log_density [rows], of the mixture; -infinity where no member can be, and such a row counts nowhere. Adds
  // to `sums` and replaces `shares` unless they are null.
  virtual void expect(const MixtureDensity& density, std::span<double> log_density, const MixtureSums* sums,
                      Responsibilities* shares) const = 0;
};
// The rows must outlive it. A backend's is Backend::prepare_mixture_rows.
std::unique_ptr<PreparedMixtureRows> prepare_mixture_rows_on_cpu(const MixtureRows& rows, int32_t variables,
                                                                 int32_t latents);

}  // namespace doppel
