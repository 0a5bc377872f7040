// Expectation maximisation with covariances of low rank: against sums by the definitions with dense covariances in
// double, and what every step must do.
#include "engine/models/mixture/factor_analysers.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>
#include <numeric>

#include "engine/models/mixture/factor_start.h"
#include "tests/engine/elimination.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

constexpr int kAxes = 7, kRank = 2;
constexpr float kGap = std::numeric_limits<float>::quiet_NaN();

// Members over one variable of three states and seven latents: rows with all latents, with few and many gaps, and with
// nothing but gaps.
struct Case {
  MixtureSpace space;
  MixtureParameters parameters;
  RowsByPattern rows;
  std::vector<std::vector<double>> shares;
};

Case make_case(int members, int rows) {
  Case made;
  made.space.variables.resize(1);
  made.space.variables[0].states = 3;
  made.space.axes.resize(kAxes);
  made.space.is_low_rank = true;
  made.shares = {{0.5, 0.3, 0.2}};
  std::mt19937_64 random(3);
  std::normal_distribution<double> normal;
  MixtureParameters& p = made.parameters;
  p.members = members, p.groups = 2, p.axes = kAxes, p.rank = kRank;
  EmissionTree tree;
  tree.states = 3;
  tree.first.push_back(0);
  for (int m = 0; m < members; ++m) {
    p.group.push_back(m % 2);
    p.weight.push_back(1.0 / members);
    for (int j = 0; j < kAxes; ++j) {
      p.mean.push_back(normal(random));
      p.residual.push_back(0.2 + 0.1 * j);
      for (int k = 0; k < kRank; ++k) p.factor.push_back(normal(random));
    }
    tree.state.push_back(m % 3);
    tree.probability.push_back(0.4);
    tree.up.push_back(0.6);
    tree.first.push_back(static_cast<int64_t>(tree.state.size()));
  }
  for (int g = 0; g < 2; ++g) tree.up.push_back(1), tree.first.push_back(tree.first.back());
  for (int32_t s = 0; s < 3; ++s) tree.state.push_back(s), tree.probability.push_back(made.shares[0][s]);
  tree.up.push_back(0), tree.first.push_back(static_cast<int64_t>(tree.state.size()));
  p.emissions.push_back(tree);

  RowsOfPattern& all = made.rows.emplace_back();
  all.rows = rows;
  for (int j = 0; j < kAxes; ++j) all.present.push_back(j);
  for (int row = 0; row < rows; ++row) {
    all.states.push_back(row % 11 == 0 ? -1 : static_cast<int32_t>(random() % 3));
    for (int j = 0; j < kAxes; ++j) {
      const bool is_gap = (row % 4 == 1 && j == row % kAxes) || (row % 4 == 2 && random() % 3 != 0) || row % 16 == 3;
      all.latents.push_back(is_gap ? kGap : static_cast<float>(1.3 * normal(random)));
    }
  }
  return made;
}

MixturePriors no_priors() {
  MixturePriors priors;
  priors.emission = priors.group_emission = priors.covariance = priors.mean = 1e-6;
  return priors;
}

// Sums over rows by the definition: the factors and the absent latents given what is there.
struct NaiveSums {
  double log_likelihood = 0;
  std::vector<double> weight, sum, square, cross, factor_sum, factor_product;
};

NaiveSums naive(const Case& made) {
  const MixtureParameters& p = made.parameters;
  const auto members = static_cast<size_t>(p.members);
  NaiveSums sums;
  sums.weight.resize(members), sums.factor_sum.resize(members * kRank), sums.factor_product.resize(members * 4);
  sums.sum.resize(members * kAxes), sums.square.resize(members * kAxes), sums.cross.resize(members * kAxes * kRank);
  const RowsOfPattern& all = made.rows[0];
  for (int64_t row = 0; row < all.rows; ++row) {
    std::vector<size_t> here;
    for (size_t j = 0; j < kAxes; ++j)
      if (!std::isnan(all.latents[row * kAxes + j])) here.push_back(j);
    const size_t n = here.size();
    std::vector<double> density(members);
    // Joint moments of (z, x) given the row, of each member: means [9] and covariance [9, 9].
    constexpr size_t kAll = kAxes + kRank;
    std::vector<std::vector<double>> mean(members), rest(members);
    for (size_t m = 0; m < members; ++m) {
      const auto f = [&](size_t j, size_t k) { return p.factor[(m * kAxes + j) * kRank + k]; };
      const auto joint = [&](size_t a, size_t b) {  // covariance of z and x
        if (a > b) std::swap(a, b);
        if (a >= kAxes) return a == b ? 1.0 : 0.0;
        if (b >= kAxes) return f(a, b - kAxes);
        return f(a, 0) * f(b, 0) + f(a, 1) * f(b, 1) + (a == b ? p.residual[m * kAxes + a] : 0);
      };
      std::vector<double> corner(n * n), offset(n);
      for (size_t i = 0; i < n; ++i) {
        offset[i] = all.latents[row * kAxes + here[i]] - p.mean[m * kAxes + here[i]];
        for (size_t j = 0; j < n; ++j) corner[i * n + j] = joint(here[i], here[j]);
      }
      double determinant = 1, unused = 0;
      const std::vector<double> solved = solve(corner, offset, determinant);
      density[m] = p.weight[m] / std::sqrt(std::pow(2 * std::numbers::pi, n) * determinant) *
                   std::exp(-0.5 * std::inner_product(offset.begin(), offset.end(), solved.begin(), 0.0));
      if (all.states[row] >= 0) density[m] *= state_probabilities(p, 0, static_cast<int64_t>(m))[all.states[row]];
      mean[m].resize(kAll), rest[m].resize(kAll * kAll);
      for (size_t a = 0; a < kAll; ++a) {
        std::vector<double> cross(n);
        for (size_t i = 0; i < n; ++i) cross[i] = joint(a, here[i]);
        mean[m][a] = std::inner_product(cross.begin(), cross.end(), solved.begin(), 0.0);
        const std::vector<double> gain = solve(corner, cross, unused);
        for (size_t b = 0; b < kAll; ++b) {
          rest[m][a * kAll + b] = joint(a, b);
          for (size_t i = 0; i < n; ++i) rest[m][a * kAll + b] -= gain[i] * joint(b, here[i]);
        }
      }
    }
    const double total = std::accumulate(density.begin(), density.end(), 0.0);
    sums.log_likelihood += std::log(total);
    for (size_t m = 0; m < members; ++m) {
      const double share = density[m] / total;
      const auto second = [&](size_t a, size_t b) { return share * (rest[m][a * kAll + b] + mean[m][a] * mean[m][b]); };
      sums.weight[m] += share;
      for (size_t j = 0; j < kAxes; ++j) {
        sums.sum[m * kAxes + j] += share * mean[m][j];
        sums.square[m * kAxes + j] += second(j, j);
        for (size_t k = 0; k < kRank; ++k) sums.cross[(m * kAxes + j) * kRank + k] += second(j, kAxes + k);
      }
      for (size_t k = 0; k < kRank; ++k) {
        sums.factor_sum[m * kRank + k] += share * mean[m][kAxes + k];
        for (size_t l = 0; l < kRank; ++l)
          sums.factor_product[(m * kRank + k) * kRank + l] += second(kAxes + k, kAxes + l);
      }
    }
  }
  return sums;
}

void expect_near(const std::vector<double>& found, const std::vector<double>& expected, double tolerance,
                 const std::string& what) {
  ASSERT_EQ(found.size(), expected.size()) << what;
  for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], tolerance) << what << ' ' << i;
}

TEST(FactorAnalysers, ExpectationsAreThoseOfTheDefinition) {
  for (const int members : {3, 19}) {  // of one vector, and of two
    const Case made = make_case(members, 300);
    MixtureLearner learner(made.space, cpu(), {}, made.shares, std::vector<double>(kAxes, 1), true);
    learner.set(std::make_shared<const MixtureParameters>(made.parameters));
    const MixtureStatistics found = learner.expect(learner.prepare(made.rows));
    const NaiveSums expected = naive(made);
    // Log densities are in float: 1e-6 of numbers of some tens; responsibilities below e^-12 are left out.
    EXPECT_NEAR(found.log_likelihood, expected.log_likelihood, 1e-5 * std::abs(expected.log_likelihood));
    EXPECT_EQ(found.rows, 300);
    expect_near(found.weight, expected.weight, 2e-3, "weight");
    expect_near(found.sum, expected.sum, 5e-3, "sum");
    expect_near(found.square, expected.square, 2e-2, "square");
    expect_near(found.cross, expected.cross, 1e-2, "cross");
    expect_near(found.factor_sum, expected.factor_sum, 5e-3, "factor_sum");
    expect_near(found.factor_product, expected.factor_product, 1e-2, "factor_product");
  }
}

TEST(FactorAnalysers, WithoutPriorsTheLikelihoodRises) {
  for (const bool keeps_factors : {false, true}) {
    Case made = make_case(3, 500);
    MixtureLearner learner(made.space, cpu(), no_priors(), made.shares, std::vector<double>(kAxes, 1), true);
    const double first = [&] {
      learner.set(std::make_shared<const MixtureParameters>(made.parameters));
      return learner.expect(learner.prepare(made.rows)).log_likelihood;
    }();
    double last = first;
    for (int iteration = 0; iteration < 15; ++iteration) {
      MixtureStatistics statistics = learner.expect(learner.prepare(made.rows));
      statistics.keeps_factors = keeps_factors;
      EXPECT_GT(statistics.log_likelihood, last - 1e-2) << iteration;
      last = statistics.log_likelihood;
      made.parameters = learner.maximise(statistics, made.parameters.group, made.parameters.groups);
      learner.set(std::make_shared<const MixtureParameters>(made.parameters));
    }
    EXPECT_GT(last, first + 100);
  }
}

// At a maximum a step of either kind stays where it is.
TEST(FactorAnalysers, BothKindsOfStepsEndAtTheSameLikelihood) {
  double ends[2];
  for (const bool keeps_factors : {false, true}) {
    Case made = make_case(2, 400);
    MixtureLearner learner(made.space, cpu(), no_priors(), made.shares, std::vector<double>(kAxes, 1), true);
    for (int iteration = 0; iteration < 400; ++iteration) {
      learner.set(std::make_shared<const MixtureParameters>(made.parameters));
      MixtureStatistics statistics = learner.expect(learner.prepare(made.rows));
      statistics.keeps_factors = keeps_factors;
      ends[keeps_factors] = statistics.log_likelihood;
      made.parameters = learner.maximise(statistics, made.parameters.group, made.parameters.groups);
    }
  }
  EXPECT_NEAR(ends[0], ends[1], 1);
}

TEST(FactorAnalysers, StatisticsAboutAnotherCentreAreTheSameSums) {
  const Case made = make_case(3, 300);
  MixtureLearner learner(made.space, cpu(), {}, made.shares, std::vector<double>(kAxes, 1), true);
  learner.set(std::make_shared<const MixtureParameters>(made.parameters));
  MixtureStatistics about_means = learner.expect(learner.prepare(made.rows));
  about_means.keeps_factors = true;
  const MixtureParameters own = learner.maximise(about_means, made.parameters.group, 2);
  const std::vector<double> centre(3 * kAxes, 0.7);
  const MixtureParameters other =
      learner.maximise(learner.expect(learner.prepare(made.rows), centre), made.parameters.group, 2);
  // Sums over some hundred rows are in float.
  expect_near(own.mean, other.mean, 2e-6, "mean");
  expect_near(own.factor, other.factor, 2e-6, "factor");
  expect_near(own.residual, other.residual, 2e-6, "residual");
}

// The prior's rows have the covariance that members of the group have: with nothing but them it stays.
TEST(FactorAnalysers, WithoutRowsMembersTendToTheirGroup) {
  Case made = make_case(4, 100);
  MixtureLearner learner(made.space, cpu(), {}, made.shares, std::vector<double>(kAxes, 1), true);
  MixtureParameters& p = made.parameters;
  for (int m = 0; m < 4; ++m) {
    std::copy_n(p.factor.begin(), kAxes * kRank, p.factor.begin() + m * kAxes * kRank);
    std::copy_n(p.residual.begin(), kAxes, p.residual.begin() + m * kAxes);
  }
  learner.set(std::make_shared<const MixtureParameters>(p));
  MixtureStatistics statistics = learner.expect(learner.prepare(made.rows));
  statistics.scale(1e-12);
  for (double& weight : statistics.weight) weight = 1e9;  // of the group: its own covariance is all that is expected
  for (auto* values : {&statistics.square, &statistics.cross, &statistics.factor_product})
    std::fill(values->begin(), values->end(), 0);
  MixturePriors priors;
  priors.covariance = 1e15;
  priors.group_share = 1;
  MixtureParameters next = p;
  maximise_factors(statistics, priors, std::vector<double>(kAxes, 1), p, true, next);
  for (int m = 0; m < 4; ++m)
    for (int j = 0; j < kAxes; ++j) EXPECT_NEAR(next.variance(m, j), p.variance(m, j), 1e-5) << m << ' ' << j;
}

TEST(FactorAnalysers, FactorsThatDoNotPayAreLeftOut) {
  Case made = make_case(2, 10);
  MixtureParameters& p = made.parameters;
  for (int j = 0; j < kAxes; ++j) p.factor[j * kRank + 1] = 0.02 * (j % 2 ? 1 : -1);  // of member 0 hardly anything
  const std::vector<double> rows = {200, 200};
  const MixtureParameters pruned = without_idle_factors(p, rows);
  EXPECT_EQ(ranks_of(pruned), (std::vector<int64_t>{1, 2}));
  EXPECT_EQ(pruned.rank, 2);
  for (int m = 0; m < 2; ++m)
    for (int i = 0; i < kAxes; ++i) {
      EXPECT_NEAR(pruned.variance(m, i), p.variance(m, i), 1e-9);
      for (int j = 0; j < i; ++j) {
        double before = 0, after = 0;
        for (int k = 0; k < kRank; ++k) {
          before += p.factor[(m * kAxes + i) * kRank + k] * p.factor[(m * kAxes + j) * kRank + k];
          after += pruned.factor[(m * kAxes + i) * kRank + k] * pruned.factor[(m * kAxes + j) * kRank + k];
        }
        EXPECT_NEAR(after, before, m == 0 ? 0.01 : 1e-9);
      }
    }
}

}  // namespace
}  // namespace doppel
