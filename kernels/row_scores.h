// Scores of rows under a mixture: how likely a row is, and how likely it is without each of its cells.
//
// What rows can have in common is in tables, numbered from 0 in the order in which it is added:
//   states known of a variable   P(S | m) of each member
//   latents known, K of them     W, offset and constant of each member: log N(z_K | m) = constant - 1/2 |W z_K -
//   offset|^2; not where covariances are of low rank
// Of a row that knows the states S_v and the latents z_K
//   joint[m] = log weight + constant + sum over v of log P(S_v | m) - 1/2 |W z_K - offset|^2,  log density = LSE joint
// with LSE x = log sum over m of exp x[m]. A cell has a variable, a latent, or both:
//   without   LSE (joint + log P(S' | m) - log P(S_v | m) - log N(z_j | the other latents, m))
//             with S' what is known of the variable without the cell, and the latent left out by the diagonal of W^T W
//             (`precision`): N's logarithm is conditional constant - 1/2 (W^T y)_j^2 / precision with y = W z_K -
//             offset
//   alone     LSE (log weight + constant_j - 1/2 (scale_j z_j - centre_j)^2 + log P(S'' | m))
// A cell whose latent the row does not know is without its states only, and alone it is what the caller knows.
//
// Covariances of low rank, F F^T + diag(r), come with the mixture, and a row says itself which latents it knows. With
// u_j = F_j / sqrt(r_j), e_j = (z_j - mean_j) / sqrt(r_j), M = I + sum over K of u_j u_j^T and x = M^-1 sum over K of
// u_j e_j (Woodbury's identity)
//   log N(z_K | m) = -1/2 (sum over K of (log(2 pi r_j) + e_j^2) + log |M| - x^T M x)
//   log N(z_j | the other latents, m) = -1/2 (log(2 pi r_j) - log(1 - s_j) + (e_j - u_j x)^2 / (1 - s_j)),
//   s_j = u_j^T M^-1 u_j
// Members that without z_j are less than e^-60 as likely as another may be left out of that sum.
//
// Of full covariances: in double, each sum over members in four strands (member i in strand i mod 4), added as
// (0 + 1) + (2 + 3), a density's terms in the order above: to the bits of the engine's own loops
// (models/mixture/mixture_density.cpp), which are what the CPU has in this operation's place. Of low rank: in double,
// the same bits each time whatever rows are beside a row, and those loops' numbers but for rounding, 1e-9 of a score.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace doppel {

struct ScoredCell {
  int32_t variable = -1, latent = -1;  // -1: none
};

// Of each member; empty where covariances are full.
struct LowRankCovariances {
  int32_t rank = 0;
  std::vector<double> mean, residual;  // [members, latents] residual: r, above zero
  std::vector<double> factor;          // [members, latents, rank]
};

// Arrays of latents are [latents, members].
struct MixtureScores {
  int64_t members = 0;
  int32_t variables = 0, latents = 0;
  std::vector<double> log_weight;               // [members]
  std::vector<double> scale, centre, constant;  // of each latent alone
  std::vector<ScoredCell> cells;
  LowRankCovariances low_rank;
  bool is_low_rank() const { return !low_rank.residual.empty(); }
};

// Each [members].
struct StatesKnown {
  std::span<const double> log_probability, probability, inverse_probability;
};
// The member runs fastest.
struct LatentsKnown {
  std::span<const int32_t> latents;                                 // [known] ascending
  std::span<const double> constant;                                 // [members]
  std::span<const double> offset, precision, conditional_constant;  // [known, members]
  std::span<const double> whitening;                                // [known (known + 1) / 2, members] W by rows
};

inline constexpr int32_t kNotScored = -1;
struct RowsToScore {
  int64_t rows = 0;
  const double* z = nullptr;         // [rows, latents] those known side by side; of low rank each in its place, or NaN
  const int32_t* pattern = nullptr;  // [rows] the latents known; of low rank null
  const int32_t* states = nullptr;   // [rows, variables] the states known
  // [rows, cells] those known of the cell's variable without the cell, and of the cell alone; kNotScored of a cell
  // without a variable, and of one that nothing is asked of.
  const int32_t *without = nullptr, *alone = nullptr;
};
struct FoundScores {
  double* log_density = nullptr;                // [rows]
  double *without = nullptr, *alone = nullptr;  // [rows, cells] 0 where nothing is asked
};

class PreparedScores {
 public:
  virtual ~PreparedScores() = default;
  virtual void add(std::span<const StatesKnown> states, std::span<const LatentsKnown> latents) = 0;
  virtual void forget() = 0;  // all that was added
  virtual void find(const RowsToScore& rows, const FoundScores& found) = 0;
};

}  // namespace doppel
