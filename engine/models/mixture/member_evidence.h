// What known states and known latents say of a mixture's members, for rows by the thousand: whatever rows can have in
// common is computed once and kept, up to a limit of memory.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/models/mixture/mixture_view.h"
#include "engine/models/triangular.h"

namespace doppel {

// The lower Cholesky factor of a symmetric matrix [n, n], in place, as if the matrix were a little more definite where
// it is not. Plain loops, unlike triangular.h: a library's bits depend on the machine.
void factorise_by_hand(std::span<double> matrix, size_t n);

// What is known of a column of a variable, beside a part that it has (MixtureColumn::Part) and kNeverSeen.
inline constexpr int32_t kUnknownPart = -2;  // nothing
inline constexpr int32_t kAnyValue = -3;     // that it is not missing

inline constexpr double kLeastProbability = 1e-30;  // in a member that does not have the states known, where some have

// Of one variable. `parts` are those of its columns, in the order of MixtureView::columns_of_variable.
struct StateEvidence {
  // [members] Of the states that the parts leave, at least kLeastProbability; where no member has them, the floor.
  std::vector<double> probability, inverse_probability, log_probability;
  std::vector<double> node_probability;  // [nodes] likewise, as it is; all 1 where every state is left
  double log_share = 0;                  // of the probability over all members
  bool is_possible = true;               // in some member
  mutable int32_t number = -1;           // in a backend's tables (gathered_scores.h); -1: it is not there
};

class StateEvidences {
 public:
  StateEvidences(const MixtureView& view, double floor);
  // Lives until forget().
  const StateEvidence& find(size_t variable, std::span<const int32_t> parts);
  bool leaves(size_t variable, std::span<const int32_t> parts, int32_t state) const;
  int64_t bytes() const { return bytes_; }
  void forget();

 private:
  struct Hash {
    size_t operator()(const std::vector<int32_t>& parts) const;
  };
  StateEvidence make(size_t variable, std::span<const int32_t> parts) const;
  std::vector<int32_t> states_left(size_t variable, std::span<const int32_t> parts) const;

  const MixtureView& view_;
  double floor_;
  std::vector<std::unordered_map<std::vector<int32_t>, StateEvidence, Hash>> kept_;  // [variables]
  std::vector<std::vector<std::vector<int32_t>>> states_of_part_;  // [variables] [parts], of those with one column
  std::vector<int32_t> key_;
  int64_t bytes_ = 0;
};

// The Gaussians of all members restricted to the latents that a row has: covariance_KK = L L^T, W = L^-1.
struct LatentPattern {
  std::vector<int32_t> known, unknown;
  // The member runs fastest:
  std::vector<double> constant;   // [members] -k / 2 log(2 pi) - log det L
  std::vector<double> offset;     // [known, members] W mean
  std::vector<double> whitening;  // [known (known + 1) / 2, members] W by rows
  std::vector<double> precision;  // [known, members] the diagonal of W^T W
  // [known, members] -1 / 2 log(2 pi / precision): of each latent given the others.
  std::vector<double> conditional_constant;
  mutable int32_t number = -1;  // as StateEvidence's
};

// The unknown latents of one member given the known ones: mean + gain (z_known - mean_known) + factor * noise.
struct LatentConditional {
  std::vector<double> gain;    // [unknown, known]
  std::vector<double> factor;  // [unknown, unknown] lower triangular
};

class LatentPatterns {
 public:
  explicit LatentPatterns(const MixtureView& view) : view_(view) {}
  // `known` ascending. Both live until forget().
  const LatentPattern& find(const std::vector<int32_t>& known);
  const LatentConditional& conditional(const LatentPattern& pattern, int32_t member);
  int64_t bytes() const { return bytes_; }
  void forget();

 private:
  LatentPattern make(const std::vector<int32_t>& known) const;
  LatentConditional make_conditional(const LatentPattern& pattern, int32_t member) const;

  const MixtureView& view_;
  std::map<std::vector<int32_t>, LatentPattern> kept_;
  std::map<std::pair<const LatentPattern*, int32_t>, LatentConditional> conditionals_;
  int64_t bytes_ = 0;
};

}  // namespace doppel
