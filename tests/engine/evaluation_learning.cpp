#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/evaluation/evaluation.h"
#include "engine/evaluation/learners.h"
#include "kernels/common/error.h"
#include "tests/engine/evaluation_tables.h"

namespace doppel {
namespace {

TEST(EvaluationLearning, AreaUnderTheCurveOfAHandComputedCaseWithATie) {
  // Pairs (negative, positive): .1 < .4 and .8 right, .4 = .4 half, .4 < .8 right: 3.5 of 4.
  EXPECT_DOUBLE_EQ(area_under_curve({0.1f, 0.4f, 0.4f, 0.8f}, {0, 0, 1, 1}), 3.5 / 4);
  EXPECT_TRUE(std::isnan(area_under_curve({0.1f, 0.2f}, {1, 1})));
}

TEST(EvaluationLearning, ClassificationScoresOfAHandComputedCase) {
  // Predicted 0 1 1 2, actual 0 1 2 2: F1 of 1, 2/3, 2/3.
  const LearnerScores scores = score_classification({.8, .1, .1, .1, .8, .1, .1, .8, .1, .1, .1, .8}, 3, {0, 1, 2, 2});
  EXPECT_DOUBLE_EQ(scores.accuracy, 0.75);
  EXPECT_DOUBLE_EQ(scores.macro_f1, (1 + 2.0 / 3 + 2.0 / 3) / 3);
  EXPECT_TRUE(std::isnan(scores.auc));
}

TEST(EvaluationLearning, RegressionScoresOfAHandComputedCase) {
  const LearnerScores scores = score_regression({1, 2, 5}, {1, 2, 3});
  EXPECT_DOUBLE_EQ(scores.r2, 1 - 4.0 / 2);
  EXPECT_DOUBLE_EQ(scores.root_mean_square_error, std::sqrt(4.0 / 3));
  EXPECT_DOUBLE_EQ(scores.mean_absolute_error, 2.0 / 3);
}

TEST(EvaluationLearning, RidgeOfAHandComputedCase) {
  // One centred feature -1, 0, 1 with targets 3 + 6 x: w = 12 / (2 + 1), b = 3.
  const std::vector<double> weights = fit_ridge({-1, 0, 1}, 1, {-3, 3, 9});
  EXPECT_NEAR(weights[0], 4, 1e-8);
  EXPECT_NEAR(weights[1], 3, 1e-8);
}

TEST(EvaluationLearning, LogisticRegressionsGradientVanishesAtItsWeights) {
  std::mt19937_64 generator(3);
  std::normal_distribution<double> normal;
  std::vector<double> features, targets;
  for (int row = 0; row < 400; ++row) {
    double score = -1;
    for (int j = 0; j < 3; ++j) {
      features.push_back(normal(generator));
      score += (j + 1) * features.back();
    }
    targets.push_back(score + normal(generator) > 0);
  }
  const std::vector<double> weights = fit_logistic(features, 3, targets);
  const std::vector<double> scores = linear_scores(features, 3, weights);
  double gradient[4] = {weights[0], weights[1], weights[2], 0};
  for (size_t row = 0; row < targets.size(); ++row) {
    const double rest = 1 / (1 + std::exp(-scores[row])) - targets[row];
    for (int j = 0; j < 3; ++j) gradient[j] += rest * features[row * 3 + j];
    gradient[3] += rest;
  }
  for (const double part : gradient) EXPECT_NEAR(part, 0, 1e-4);
}

// Two numbers and a category; the target is a number or a class of them.
TableMaker learnable(uint64_t seed, int64_t rows, ColumnKind target, double noise) {
  std::mt19937_64 generator(seed);
  std::normal_distribution<double> normal;
  std::vector<std::optional<double>> x, y, number;
  std::vector<std::optional<int>> code, target_class;
  for (int64_t row = 0; row < rows; ++row) {
    x.push_back(normal(generator));
    y.push_back(normal(generator));
    if (row % 11 == 0) y.back().reset();
    code.push_back(static_cast<int>(generator() % 3));
    number.push_back(2 * *x.back() + y.back().value_or(0) + *code.back() + noise * normal(generator));
    target_class.push_back(*number.back() > 1);
  }
  TableMaker maker;
  maker.reals(x).reals(y).categories(code, {"a", "b", "c"});
  if (target == ColumnKind::kReal)
    maker.reals(number);
  else
    maker.categories(target_class, {"low", "high"});
  return maker;
}

TEST(EvaluationLearning, AnEquallyGoodSyntheticTableReachesTheRealScore) {
  const TableMaker real = learnable(1, 3000, ColumnKind::kReal, 0.1),
                   synthetic = learnable(2, 3000, ColumnKind::kReal, 0.1);
  EvaluateOptions options;
  options.target = 3;
  const Utility utility = evaluate_utility(real.schema, real.table, synthetic.table, nullptr, options);
  ASSERT_EQ(utility.learners.size(), 3u);
  EXPECT_EQ(utility.headline, "r2");
  EXPECT_FALSE(utility.has_holdout);
  EXPECT_NEAR(static_cast<double>(utility.test_rows), 600, 80);
  EXPECT_EQ(utility.real_rows + utility.test_rows, 3000);
  for (const LearnerEvaluation& learner : utility.learners) {
    EXPECT_GT(learner.trained_on_real.r2, 0.85) << learner.learner;
    EXPECT_NEAR(learner.share_of_real, 1, 0.03) << learner.learner;
  }
}

TEST(EvaluationLearning, ASyntheticTableWithoutTheDependenceTeachesNothing) {
  const TableMaker real = learnable(1, 2000, ColumnKind::kCategory, 0.1);
  TableMaker synthetic = learnable(2, 2000, ColumnKind::kCategory, 0.1);
  std::shuffle(synthetic.table.columns[3].codes.begin(), synthetic.table.columns[3].codes.end(), std::mt19937_64(4));
  const TableMaker holdout = learnable(5, 1000, ColumnKind::kCategory, 0.1);
  EvaluateOptions options;
  options.target = 3;
  const Utility utility = evaluate_utility(real.schema, real.table, synthetic.table, &holdout.table, options);
  EXPECT_EQ(utility.headline, "auc");
  EXPECT_TRUE(utility.has_holdout);
  EXPECT_EQ(utility.test_rows, 1000);
  for (const LearnerEvaluation& learner : utility.learners) {
    EXPECT_GT(learner.trained_on_real.auc, 0.95) << learner.learner;
    EXPECT_LT(learner.trained_on_synthetic.auc, 0.75) << learner.learner;
  }
}

TEST(EvaluationLearning, UtilityIsTheSameTwice) {
  const TableMaker real = learnable(1, 800, ColumnKind::kCategory, 1),
                   synthetic = learnable(2, 800, ColumnKind::kCategory, 1);
  EvaluateOptions options;
  options.target = 3;
  const Utility one = evaluate_utility(real.schema, real.table, synthetic.table, nullptr, options);
  const Utility two = evaluate_utility(real.schema, real.table, synthetic.table, nullptr, options);
  for (size_t k = 0; k < one.learners.size(); ++k) {
    EXPECT_EQ(one.learners[k].trained_on_synthetic.auc, two.learners[k].trained_on_synthetic.auc);
    EXPECT_EQ(one.learners[k].trained_on_real.macro_f1, two.learners[k].trained_on_real.macro_f1);
  }
}

TEST(EvaluationLearning, RowsWithoutATargetAreLeftOut) {
  TableMaker real = learnable(1, 1000, ColumnKind::kReal, 1);
  for (int row = 0; row < 500; ++row) real.table.columns[3].missing[row] = 1, real.table.columns[3].reals[row] = 0;
  EvaluateOptions options;
  options.target = 3;
  const Utility utility = evaluate_utility(real.schema, real.table, real.table, nullptr, options);
  EXPECT_EQ(utility.real_rows + utility.test_rows, 500);
  EXPECT_EQ(utility.synthetic_rows, 500);
}

TEST(EvaluationLearning, UtilityTakesAShareOfALargeSyntheticTable) {
  const TableMaker real = learnable(1, 500, ColumnKind::kReal, 1),
                   synthetic = learnable(2, 400'000, ColumnKind::kReal, 1);
  EvaluateOptions options;
  options.target = 3;
  options.detection = false;
  Evaluation evaluation;
  evaluate_learning(real.schema, real.table, synthetic.table, nullptr, options, evaluation);
  // Half of the rows are taken: 5 deviations of a binomial.
  EXPECT_NEAR(evaluation.utility->synthetic_rows, 200'000, 5 * std::sqrt(400'000 * 0.25));
  EXPECT_NE(evaluation.notes.front().find("of the 400000 synthetic rows"), std::string::npos);
}

TEST(EvaluationLearning, ATargetThatCannotBeLearnedIsRefused) {
  TableMaker real = learnable(1, 100, ColumnKind::kReal, 1);
  std::fill(real.table.columns[3].reals.begin(), real.table.columns[3].reals.end(), 7.0);
  EvaluateOptions options;
  options.target = 3;
  EXPECT_THROW(evaluate_utility(real.schema, real.table, real.table, nullptr, options), UsageError);
  const TableMaker alone = TableMaker().reals(std::vector<std::optional<double>>(100, 1.0));
  options.target = 0;
  EXPECT_THROW(evaluate_utility(alone.schema, alone.table, alone.table, nullptr, options), UsageError);
  options.target = 3;
  real.schema.columns[3].kind = ColumnKind::kKey;
  EXPECT_THROW(evaluate_utility(real.schema, real.table, real.table, nullptr, options), UsageError);
}

TEST(EvaluationLearning, DetectionTellsApartWhatDiffersAndNotWhatDoesNot) {
  const TableMaker real = learnable(1, 3000, ColumnKind::kReal, 0.1),
                   alike = learnable(2, 3000, ColumnKind::kReal, 0.1);
  const TableMaker different = learnable(3, 3000, ColumnKind::kReal, 3);
  EXPECT_NEAR(evaluate_detection(real.schema, real.table, alike.table, 1), 0.5, 0.04);
  EXPECT_GT(evaluate_detection(real.schema, real.table, different.table, 1), 0.8);
}

TEST(EvaluationLearning, DetectionCannotTellATableFromItsCopy) {
  const TableMaker real = learnable(1, 1000, ColumnKind::kReal, 0.1);
  EXPECT_NEAR(evaluate_detection(real.schema, real.table, real.table, 1), 0.5, 1e-6);
}

TEST(EvaluationLearning, PrincipalComponentsAreThoseOfTheRealTable) {
  // The first two columns are one direction, the third is noise of a tenth: after standardising, 2 of 3 units and 1
  // of 3.
  std::mt19937_64 generator(3);
  std::normal_distribution<double> normal;
  std::vector<std::optional<double>> x, y;
  for (int row = 0; row < 5000; ++row) x.push_back(normal(generator)), y.push_back(normal(generator) / 10);
  const TableMaker table = TableMaker().reals(x).reals(x).reals(y);
  const PrincipalComponentsChart chart = project_components(table.schema, table.table, table.table, 1);
  EXPECT_NEAR(chart.explained_share_x, 2.0 / 3, 0.02);
  EXPECT_NEAR(chart.explained_share_y, 1.0 / 3, 0.02);
  EXPECT_EQ(chart.real_x.size(), 2000u);
  EXPECT_EQ(chart.synthetic_y.size(), 2000u);
}

}  // namespace
}  // namespace doppel
