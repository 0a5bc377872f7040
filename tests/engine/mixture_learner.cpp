// One step of expectation maximisation against sums by the definitions in double, and what every step must do.
#include "engine/models/mixture/mixture_learner.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "engine/models/mixture/mixture_start.h"
#include "tests/engine/elimination.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

// Three members over two variables and three latents, rows of every pattern of latents.
struct Case {
  MixtureSpace space;
  MixtureParameters parameters;
  RowsByPattern rows;
  std::vector<std::vector<double>> shares;
};

Case make_case(int rows_of_pattern) {
  Case made;
  for (const int32_t states : {2, 4}) {
    MixtureVariable variable;
    variable.states = states;
    made.space.variables.push_back(variable);
    made.shares.emplace_back(states, 1.0 / states);
  }
  made.space.axes.resize(3);
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  MixtureParameters& p = made.parameters;
  p.members = 3, p.groups = 2, p.axes = 3;
  p.group = {0, 1, 0};
  p.weight = {0.5, 0.3, 0.2};
  for (int m = 0; m < 3; ++m) {
    double root[3][3];
    for (int i = 0; i < 3; ++i) {
      p.mean.push_back(normal(random));
      for (int j = 0; j < 3; ++j) root[i][j] = normal(random);
    }
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j)
        p.covariance.push_back(root[i][0] * root[j][0] + root[i][1] * root[j][1] + root[i][2] * root[j][2] +
                               (i == j ? 0.3 : 0));
  }
  for (const int32_t states : {2, 4}) {
    EmissionTree tree;
    tree.states = states;
    tree.first.push_back(0);
    for (int node = 0; node < 6; ++node) {
      const bool is_root = node == 5;
      for (int32_t s = 0; s < states; ++s) {
        if (!is_root && (s + node) % 3 == 0) continue;
        tree.state.push_back(s);
        tree.probability.push_back(is_root ? 1.0 / states : 0.6 / states);
      }
      tree.first.push_back(static_cast<int64_t>(tree.state.size()));
      const double own = std::accumulate(tree.probability.begin() + tree.first[node], tree.probability.end(), 0.0);
      tree.up.push_back(is_root ? 0 : 1 - own);
    }
    p.emissions.push_back(tree);
  }
  for (int mask = 0; mask < 8; ++mask) {
    RowsOfPattern& pattern = made.rows.emplace_back();
    for (int a = 0; a < 3; ++a) (mask >> a & 1 ? pattern.present : pattern.absent).push_back(a);
    pattern.rows = rows_of_pattern;
    for (int row = 0; row < rows_of_pattern; ++row) {
      pattern.states.push_back(row % 11 == 0 ? -1 : static_cast<int32_t>(random() % 2));
      pattern.states.push_back(static_cast<int32_t>(random() % 4));
      for (size_t i = 0; i < pattern.present.size(); ++i) pattern.latents.push_back(static_cast<float>(normal(random)));
    }
  }
  return made;
}

struct NaiveRow {
  double log_density = 0;
  std::vector<double> share;                      // [members]
  std::vector<std::vector<double>> mean, square;  // [members] of latents and their products [3 x 3], given the row
};

NaiveRow naive(const Case& made, const RowsOfPattern& pattern, int64_t row) {
  const MixtureParameters& p = made.parameters;
  NaiveRow result;
  const size_t here = pattern.present.size();
  std::vector<double> density;
  for (int m = 0; m < 3; ++m) {
    double value = p.weight[m];
    for (size_t v = 0; v < 2; ++v)
      if (const int32_t s = pattern.states[row * 2 + v]; s >= 0) value *= state_probabilities(p, v, m)[s];
    std::vector<double> corner(here * here), offset(here);
    const auto covariance = [&](int32_t i, int32_t j) { return p.covariance[m * 9 + i * 3 + j]; };
    for (size_t i = 0; i < here; ++i) {
      offset[i] = pattern.latents[row * here + i] - p.mean[m * 3 + pattern.present[i]];
      for (size_t j = 0; j < here; ++j) corner[i * here + j] = covariance(pattern.present[i], pattern.present[j]);
    }
    double determinant = 1;
    const std::vector<double> solved = solve(corner, offset, determinant);
    const double square = std::inner_product(offset.begin(), offset.end(), solved.begin(), 0.0);
    density.push_back(value * std::exp(-0.5 * square) / std::sqrt(std::pow(2 * std::numbers::pi, here) * determinant));
    std::vector<double> mean(3), rest(9);
    for (size_t i = 0; i < here; ++i) mean[pattern.present[i]] = pattern.latents[row * here + i];
    for (const int32_t a : pattern.absent) {
      mean[a] = p.mean[m * 3 + a];
      for (size_t i = 0; i < here; ++i) mean[a] += covariance(a, pattern.present[i]) * solved[i];
      for (const int32_t b : pattern.absent) {
        std::vector<double> cross(here);
        for (size_t i = 0; i < here; ++i) cross[i] = covariance(b, pattern.present[i]);
        double unused = 0;
        const std::vector<double> weight = solve(corner, cross, unused);
        rest[a * 3 + b] = covariance(a, b);
        for (size_t i = 0; i < here; ++i) rest[a * 3 + b] -= covariance(a, pattern.present[i]) * weight[i];
      }
    }
    for (int i = 0; i < 3; ++i)
      for (int j = 0; j < 3; ++j) rest[i * 3 + j] += (mean[i] - p.mean[m * 3 + i]) * (mean[j] - p.mean[m * 3 + j]);
    for (int i = 0; i < 3; ++i) mean[i] -= p.mean[m * 3 + i];
    result.mean.push_back(mean);
    result.square.push_back(rest);
  }
  const double total = density[0] + density[1] + density[2];
  result.log_density = std::log(total);
  for (const double value : density) result.share.push_back(value / total);
  return result;
}

TEST(MixtureLearner, ExpectationsAreThoseOfTheDefinition) {
  const Case made = make_case(37);
  MixtureLearner learner(made.space, cpu(), {}, made.shares, std::vector<double>(9));
  learner.set(std::make_shared<const MixtureParameters>(made.parameters));
  MemberUse use;
  const MixtureStatistics statistics = learner.expect(learner.prepare(made.rows), {}, &use);
  double log_likelihood = 0, counts = 0;
  std::vector<double> missed(3);
  size_t number = 0;
  std::vector<double> weight(3), sum(9), product(27);
  for (const RowsOfPattern& pattern : made.rows)
    for (int64_t row = 0; row < pattern.rows; ++row) {
      const NaiveRow one = naive(made, pattern, row);
      log_likelihood += one.log_density;
      EXPECT_GT(one.share[use.member[number++]], *std::max_element(one.share.begin(), one.share.end()) - 1e-4);
      for (int m = 0; m < 3; ++m) {
        missed[m] -= std::log(std::max(1e-6, 1 - one.share[m]));
        weight[m] += one.share[m];
        if (m == 1 && pattern.states[row * 2 + 1] == 2) counts += one.share[m];
        for (int i = 0; i < 3; ++i) {
          sum[m * 3 + i] += one.share[m] * one.mean[m][i];
          for (int j = 0; j < 3; ++j) product[m * 9 + i * 3 + j] += one.share[m] * one.square[m][i * 3 + j];
        }
      }
    }
  // Log densities are in float: 1e-6 of numbers of some tens; responsibilities below e^-12 are left out.
  EXPECT_NEAR(statistics.log_likelihood, log_likelihood, 1e-4 * std::abs(log_likelihood));
  EXPECT_EQ(statistics.rows, 8 * 37);
  double dense_count = 0;
  for (size_t d = 0; d < 4; ++d) dense_count += d == 2 ? statistics.counts[1][d * 3 + 1] : 0;
  EXPECT_NEAR(dense_count, counts, 1e-3);  // equal shares: dense places are the states' own
  for (int m = 0; m < 3; ++m) {
    EXPECT_NEAR(statistics.weight[m], weight[m], 1e-3) << m;
    // The rest of a share near 1 has few digits: 6e-8 of at least 1e-6 a row.
    EXPECT_NEAR(use.missed[m], missed[m], 0.03 * missed[m]) << m;
    for (int i = 0; i < 3; ++i) {
      EXPECT_NEAR(statistics.sum[m * 3 + i], sum[m * 3 + i], 3e-3) << m << i;
      for (int j = 0; j <= i; ++j)
        EXPECT_NEAR(statistics.product[m * 9 + i * 3 + j], product[m * 9 + i * 3 + j], 6e-3) << m << i << j;
    }
  }
}

TEST(MixtureLearner, WithoutPriorsTheLikelihoodRises) {
  Case made = make_case(200);
  MixturePriors priors;
  priors.emission = priors.group_emission = 1e-6;
  priors.covariance = priors.mean = 1e-6;
  std::vector<double> pooled(9);
  pooled[0] = pooled[4] = pooled[8] = 1;
  MixtureLearner learner(made.space, cpu(), priors, made.shares, pooled);
  double last = -INFINITY;
  for (int iteration = 0; iteration < 15; ++iteration) {
    learner.set(std::make_shared<const MixtureParameters>(made.parameters));
    const MixtureStatistics statistics = learner.expect(learner.prepare(made.rows));
    EXPECT_GT(statistics.log_likelihood, last - 1e-3) << iteration;
    last = statistics.log_likelihood;
    made.parameters = learner.maximise(statistics, made.parameters.group, made.parameters.groups);
  }
}

TEST(MixtureLearner, ProbabilitiesSumToOne) {
  Case made = make_case(50);
  MixtureLearner learner(made.space, cpu(), {}, made.shares, std::vector<double>(9, 0.1));
  learner.set(std::make_shared<const MixtureParameters>(made.parameters));
  const MixtureParameters next = learner.maximise(learner.expect(learner.prepare(made.rows)), made.parameters.group, 2);
  EXPECT_NEAR(std::accumulate(next.weight.begin(), next.weight.end(), 0.0), 1, 1e-6);
  for (size_t v = 0; v < 2; ++v)
    for (int64_t node = 0; node < next.nodes(); ++node) {
      const std::vector<double> probability = state_probabilities(next, v, node);
      EXPECT_NEAR(std::accumulate(probability.begin(), probability.end(), 0.0), 1, 1e-12) << v << ' ' << node;
    }
}

TEST(MixtureLearner, StatisticsAboutAnotherCentreAreTheSameSums) {
  const Case made = make_case(40);
  MixtureLearner learner(made.space, cpu(), {}, made.shares, std::vector<double>(9, 0.1));
  learner.set(std::make_shared<const MixtureParameters>(made.parameters));
  const MixtureParameters own = learner.maximise(learner.expect(learner.prepare(made.rows)), made.parameters.group, 2);
  std::vector<double> centre(9, 0.7);
  const MixtureParameters other =
      learner.maximise(learner.expect(learner.prepare(made.rows), centre), made.parameters.group, 2);
  for (size_t i = 0; i < own.mean.size(); ++i) EXPECT_NEAR(own.mean[i], other.mean[i], 1e-9);
  for (size_t i = 0; i < own.covariance.size(); ++i) EXPECT_NEAR(own.covariance[i], other.covariance[i], 1e-9);
}

}  // namespace
}  // namespace doppel
