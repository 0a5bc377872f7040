// Swaps of members: out of an optimum that expectation maximisation alone does not leave, and none at the best one.
#include "engine/models/mixture/member_swap.h"

#include <gtest/gtest.h>

#include <memory>
#include <random>

#include "engine/models/mixture/mixture_patterns.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

constexpr int kClusters = 10, kRowsOfCluster = 200;

// Rows of clusters that lie apart on two axes, or differ in the states of four variables.
struct Clusters {
  explicit Clusters(bool by_states) {
    std::mt19937_64 random(11);
    std::normal_distribution<double> normal;
    RowsOfPattern& pattern = rows.emplace_back();
    pattern.rows = kClusters * kRowsOfCluster;
    if (by_states) {
      space.variables.resize(4);
      for (MixtureVariable& variable : space.variables) variable.states = kClusters;
    } else {
      space.axes.resize(2);
      pattern.present = {0, 1};
    }
    shares.assign(space.variables.size(), std::vector<double>(kClusters, 1.0 / kClusters));
    for (int row = 0; row < kClusters * kRowsOfCluster; ++row) {
      const int cluster = row / kRowsOfCluster;
      truth.push_back(cluster);
      for (size_t v = 0; v < space.variables.size(); ++v)
        pattern.states.push_back(random() % 20 == 0 ? static_cast<int32_t>(random() % kClusters) : cluster);
      for (size_t a = 0; a < space.axes.size(); ++a) {
        const int place = a == 0 ? cluster % 4 : cluster / 4;
        pattern.latents.push_back(static_cast<float>(place - 1.5 + 0.1 * normal(random)));
      }
    }
    const std::vector<double> pooled = pooled_covariance(rows, space.axes.size());
    learner = std::make_unique<MixtureLearner>(space, cpu(), MixturePriors{}, shares, pooled);
    starter = std::make_unique<MixtureStarter>(space, rows);
    swapper = std::make_unique<MemberSwapper>(space, rows, *starter, *learner, MixturePriors{}, pooled, 1);
  }

  // Members 0 and 1 each have half of the first cluster, member 2 two whole ones.
  std::vector<int32_t> bad_start() const {
    std::vector<int32_t> member = truth;
    for (size_t row = 0; row < member.size(); ++row) {
      if (truth[row] == 0) member[row] = static_cast<int32_t>(row % 2);
      if (truth[row] == 1) member[row] = 2;
    }
    return member;
  }

  // Of the rows, after iterations from these members; swaps within the third of them.
  double log_likelihood_from(const std::vector<int32_t>& member, bool swaps, int64_t& swapped) const {
    std::vector<int32_t> group(kClusters);
    MixtureParameters parameters =
        learner->maximise(learner->count(learner->prepare(rows), member, kClusters), group, 1);
    swapped = 0;
    for (int iteration = 0; iteration < 12; ++iteration) {
      learner->set(std::make_shared<const MixtureParameters>(parameters));
      MemberUse use;
      MixtureStatistics statistics = learner->expect(learner->prepare(rows), {}, &use);
      if (swaps && iteration == 2) swapped = swapper->swap(use, statistics, group);
      parameters = learner->maximise(statistics, group, 1);
      double weights = 0;
      for (const double weight : parameters.weight) weights += weight;
      EXPECT_NEAR(weights, 1, 1e-6) << iteration;
    }
    learner->set(std::make_shared<const MixtureParameters>(parameters));
    return learner->log_likelihood(learner->prepare(rows));
  }

  MixtureSpace space;
  RowsByPattern rows;
  std::vector<int32_t> truth;
  std::vector<std::vector<double>> shares;
  std::unique_ptr<MixtureLearner> learner;
  std::unique_ptr<MixtureStarter> starter;
  std::unique_ptr<MemberSwapper> swapper;
};

void expect_way_out(bool by_states) {
  const Clusters made(by_states);
  int64_t swaps = 0;
  const double best = made.log_likelihood_from(made.truth, false, swaps);
  const double stuck = made.log_likelihood_from(made.bad_start(), false, swaps);
  const double freed = made.log_likelihood_from(made.bad_start(), true, swaps);
  EXPECT_EQ(swaps, 1);
  EXPECT_LT(stuck, best - 0.1);
  EXPECT_GT(freed, best - 0.01);
}

TEST(MemberSwap, FreesMembersThatShareACluster) {
  expect_way_out(false);
}

TEST(MemberSwap, FreesMembersThatShareStates) {
  expect_way_out(true);
}

TEST(MemberSwap, LeavesTheBestAlone) {
  for (const bool by_states : {false, true}) {
    const Clusters made(by_states);
    int64_t swaps = 0;
    const double with = made.log_likelihood_from(made.truth, true, swaps);
    EXPECT_EQ(swaps, 0) << by_states;
    EXPECT_EQ(with, made.log_likelihood_from(made.truth, false, swaps)) << by_states;
  }
}

}  // namespace
}  // namespace doppel
