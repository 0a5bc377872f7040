// Split and merge against bad optima of expectation maximisation, in the manner of Ueda, Nakano, Ghahramani and Hinton,
// "SMEM algorithm for mixture models" (2000): a member whose rows others explain nearly as well leaves them to those
// and takes half of the rows of a member that is rather two.
//
// Swaps are made within an iteration, at the cost of few operations a row. The best of several k-means starts costs
// more and gains less: on rows held out nothing on two tables of three.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/models/mixture/mixture_learner.h"
#include "engine/models/mixture/mixture_space.h"
#include "engine/models/mixture/mixture_start.h"

namespace doppel {

inline constexpr double kMostSwapped = 0.1;  // of the members at once

class MemberSwapper {
 public:
  // pooled [axes, axes]: covariance of the table's latents. Keeps references to space, rows, starter and learner.
  MemberSwapper(const MixtureSpace& space, const RowsByPattern& rows, const MixtureStarter& starter,
                const MixtureLearner& learner, const MixturePriors& priors, std::vector<double> pooled, uint64_t seed);

  // Changes what an iteration expects: takes in turn the member that gains most from being split and the one that is
  // missed least, as long as the gain is larger, at most kMostSwapped of the members. Halves are found by 2-means among
  // the rows that are the member's rather than any other's; the gain is that of their likelihood. The member that moves
  // changes its group. Returns the number of swaps.
  int64_t swap(const MemberUse& use, MixtureStatistics& statistics, std::vector<int32_t>& group) const;

 private:
  struct Place {
    const RowsOfPattern* pattern;
    int64_t row;
  };
  // A member's rows, those of its second half marked, and nats that halves gain.
  struct Split {
    std::vector<int64_t> rows;
    std::vector<uint8_t> is_second;
    double gain = 0;
  };
  // Of rows that are a member's alone, -1: of none.
  MixtureStatistics count(const std::vector<int32_t>& member_of_row, int64_t members) const;
  void halve(uint64_t member, Split& split) const;
  double gain_of(const Split& split) const;
  double gain_of_states(const Split& split, double first, double second) const;
  double gain_of_latents(const Split& split, double first, double second) const;
  double half_log_determinant(double rows, const std::vector<double>& sum, const std::vector<double>& product) const;

  const MixtureSpace& space_;
  const MixtureStarter& starter_;
  const MixtureLearner& learner_;
  MixturePriors priors_;
  std::vector<double> pooled_;
  uint64_t seed_;
  std::vector<Place> places_;  // [rows in the order of their patterns]
};

}  // namespace doppel
