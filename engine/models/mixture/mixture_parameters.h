// The parameters of a mixture of Gaussians with emissions, in double.
//
// Members stand in groups of alike ones: what a member has seen too few rows to know it takes from its group, and the
// group from the whole table. Nodes of that tree: members 0 .. members - 1, then groups, then the root.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace doppel {

// A variable's distribution in every node: P(state | node) = own probability + up[node] * P(state | node above).
struct EmissionTree {
  int32_t states = 0;
  std::vector<int64_t> first;       // [nodes + 1]
  std::vector<int32_t> state;       // of entries first[node] .. first[node + 1], ascending
  std::vector<double> probability;  // of entries, > 0
  std::vector<double> up;           // [nodes]; 0 for the root; own probabilities and up sum to 1
};

inline constexpr int64_t kFullRank = -1;

struct MixtureParameters {
  int64_t members = 0, groups = 0, axes = 0;
  // Of the covariances: kFullRank, or that of factor factor^T + diag(residual). A member's rank is how many columns of
  // its factor are not 0.
  int64_t rank = kFullRank;
  std::vector<double> weight;      // [members] sums to 1
  std::vector<double> mean;        // [members, axes]
  std::vector<double> covariance;  // [members, axes, axes] of full rank
  std::vector<double> factor;      // [members, axes, rank] of low rank
  std::vector<double> residual;    // [members, axes] likewise
  std::vector<int32_t> group;      // [members] 0 .. groups - 1
  std::vector<EmissionTree> emissions;

  int64_t nodes() const { return members + groups + 1; }
  bool is_low_rank() const { return rank != kFullRank; }
  double variance(int64_t member, int64_t axis) const;
  int64_t above(int64_t node) const {  // -1: the root
    if (node < members) return members + group[node];
    return node < members + groups ? members + groups : -1;
  }
};

// P(state | node) of all states.
std::vector<double> state_probabilities(const MixtureParameters& parameters, size_t variable, int64_t node);

}  // namespace doppel
