// The maximisation of a mixture: parameters from the statistics of a step.
#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/models/mixture/factor_analysers.h"
#include "engine/models/mixture/mixture_learner.h"

namespace doppel {
namespace {

constexpr double kLeastCount = 0.02;  // rows of a state in a node below which only the node above knows it

// Appends a node's own entries and how much it leaves to the node above.
class TreeWriter {
 public:
  explicit TreeWriter(EmissionTree& tree) : tree_(tree) { tree_.first.push_back(0); }
  void add(int32_t state, double probability) {
    tree_.state.push_back(state);
    tree_.probability.push_back(probability);
    kept_ += probability;
  }
  void finish_node(bool is_root = false) {
    tree_.up.push_back(is_root ? 0 : std::max(0.0, 1 - kept_));
    tree_.first.push_back(static_cast<int64_t>(tree_.state.size()));
    kept_ = 0;
  }

 private:
  EmissionTree& tree_;
  double kept_ = 0;
};

constexpr double kNoRows = 1e-9;

std::vector<double> weights_of_groups(const MixtureStatistics& statistics, const MixtureParameters& result) {
  std::vector<double> group_weight(result.groups, kNoRows);
  for (int64_t m = 0; m < result.members; ++m) group_weight[result.group[m]] += statistics.weight[m];
  return group_weight;
}

}  // namespace

std::vector<double> MixtureLearner::maximise_means(const MixtureStatistics& statistics,
                                                   MixtureParameters& result) const {
  const int64_t members = result.members, groups = result.groups, axes = result.axes;
  const std::vector<double> group_weight = weights_of_groups(statistics, result);
  std::vector<double> group_mean(groups * axes);
  for (int64_t m = 0; m < members; ++m) {
    const int64_t g = result.group[m];
    for (int64_t i = 0; i < axes; ++i)
      group_mean[g * axes + i] += statistics.sum[m * axes + i] + statistics.weight[m] * statistics.centre[m * axes + i];
  }
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t i = 0; i < axes; ++i) group_mean[g * axes + i] /= group_weight[g];

  result.mean.resize(members * axes);
  std::vector<double> shifts(members * axes);
  for (int64_t m = 0; m < members; ++m)
    for (int64_t i = 0; i < axes; ++i) {
      const double centre = statistics.centre[m * axes + i], expected = group_mean[result.group[m] * axes + i] - centre;
      const double shift = shifts[m * axes + i] =
          (statistics.sum[m * axes + i] + priors_.mean * expected) / (statistics.weight[m] + priors_.mean);
      result.mean[m * axes + i] = centre + shift;
    }
  return shifts;
}

void MixtureLearner::maximise_covariances(const MixtureStatistics& statistics, const std::vector<double>& shifts,
                                          MixtureParameters& result) const {
  const int64_t members = result.members, axes = result.axes;
  const std::vector<double> group_weight = weights_of_groups(statistics, result);
  std::vector<double> group_scatter(result.groups * axes * axes);
  result.covariance.resize(members * axes * axes);
  for (int64_t m = 0; m < members; ++m) {
    const double weight = statistics.weight[m];
    const double* sum = statistics.sum.data() + m * axes;
    const double* product = statistics.product.data() + m * axes * axes;
    const double* shift = shifts.data() + m * axes;
    double* scatter = result.covariance.data() + m * axes * axes;
    for (int64_t i = 0; i < axes; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        scatter[i * axes + j] =
            product[i * axes + j] - sum[i] * shift[j] - shift[i] * sum[j] + weight * shift[i] * shift[j];
        group_scatter[(result.group[m] * axes + i) * axes + j] += scatter[i * axes + j];
      }
  }
  for (int64_t m = 0; m < members; ++m) {
    const int64_t g = result.group[m];
    double* covariance = result.covariance.data() + m * axes * axes;
    for (int64_t i = 0; i < axes; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        const double pooled = priors_.pooled_share * pooled_[i * axes + j] + (i == j ? priors_.floor : 0);
        const double within = (group_scatter[(g * axes + i) * axes + j] + pooled) / (group_weight[g] + 1);
        const double expected = (1 - priors_.group_share) * pooled + priors_.group_share * within;
        covariance[i * axes + j] = covariance[j * axes + i] =
            (covariance[i * axes + j] + priors_.covariance * expected) / (statistics.weight[m] + priors_.covariance);
      }
  }
}

EmissionTree MixtureLearner::maximise_emission(const MixtureStatistics& statistics, size_t variable,
                                               const MixtureParameters& result) const {
  const int64_t members = result.members, groups = result.groups;
  const int32_t states = space_.variables[variable].states;
  // Counts [(state, count)] of each member and group.
  std::vector<std::vector<std::pair<int32_t, double>>> of_node(members + groups);
  const auto dense = static_cast<int32_t>(statistics.counts[variable].size() / members);
  std::vector<int32_t> rare;
  for (int32_t s = 0; s < states; ++s) {
    const int32_t d = dense_of_state_[variable][s];
    if (d >= dense) continue;
    for (int64_t m = 0; m < members; ++m)
      if (const double count = statistics.counts[variable][static_cast<size_t>(d) * members + m]; count > 0)
        of_node[m].emplace_back(s, count);
  }
  for (const auto& [place, count] : statistics.rare_counts[variable])
    of_node[place % members].emplace_back(static_cast<int32_t>(place / members), count);
  std::vector<double> total(members + groups);
  std::vector<double> of_state(states);
  for (int64_t g = 0; g < groups; ++g) {
    std::vector<int32_t> seen;
    for (int64_t m = 0; m < members; ++m) {
      if (result.group[m] != g) continue;
      std::sort(of_node[m].begin(), of_node[m].end());
      for (const auto& [s, count] : of_node[m]) {
        total[m] += count;
        if (of_state[s] == 0) seen.push_back(s);
        of_state[s] += count;
      }
      total[members + g] += total[m];
    }
    std::sort(seen.begin(), seen.end());
    for (const int32_t s : seen) of_node[members + g].emplace_back(s, std::exchange(of_state[s], 0));
  }

  EmissionTree tree;
  tree.states = states;
  TreeWriter writer(tree);
  for (int64_t node = 0; node < members + groups; ++node) {
    const double prior = node < members ? priors_.emission : priors_.group_emission;
    for (const auto& [s, count] : of_node[node])
      if (count >= kLeastCount) writer.add(s, count / (total[node] + prior));
    writer.finish_node();
  }
  const double all = std::accumulate(shares_[variable].begin(), shares_[variable].end(), 0.0);
  for (int32_t s = 0; s < states; ++s)
    if (shares_[variable][s] > 0) writer.add(s, shares_[variable][s] / all);
  writer.finish_node(true);
  return tree;
}

MixtureParameters MixtureLearner::maximise(const MixtureStatistics& statistics, const std::vector<int32_t>& group,
                                           int64_t groups, const CommonFactors* start) const {
  MixtureParameters result;
  result.members = static_cast<int64_t>(statistics.weight.size());
  result.groups = groups;
  result.axes = static_cast<int64_t>(space_.axes.size());
  result.group = group;
  constexpr double kLeastWeight = 1e-6;
  const double all = statistics.rows + kLeastWeight * static_cast<double>(result.members);
  for (const double weight : statistics.weight) result.weight.push_back((weight + kLeastWeight) / all);
  const std::vector<double> shifts = maximise_means(statistics, result);
  if (!is_low_rank_) {
    maximise_covariances(statistics, shifts, result);
  } else if (start != nullptr) {
    result.rank = start->rank;
    for (int64_t m = 0; m < result.members; ++m) {
      result.factor.insert(result.factor.end(), start->factor.begin(), start->factor.end());
      result.residual.insert(result.residual.end(), start->residual.begin(), start->residual.end());
    }
  } else {
    maximise_factors(statistics, priors_, pooled_, *parameters_, !statistics.keeps_factors, result);
  }
  for (size_t v = 0; v < space_.variables.size(); ++v)
    result.emissions.push_back(maximise_emission(statistics, v, result));
  return result;
}

}  // namespace doppel
