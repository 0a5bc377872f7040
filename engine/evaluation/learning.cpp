// Utility, detection and principal components: what learners make of the two tables.
#include <lapacke.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <span>

#include "engine/evaluation/choose_rows.h"
#include "engine/evaluation/evaluation.h"
#include "engine/evaluation/features.h"
#include "engine/evaluation/learners.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int kUtilityRounds = 200, kDetectionRounds = 100, kFolds = 3;
constexpr int64_t kUtilityRows = 200'000;  // of a larger synthetic table, unless the real one is larger still
constexpr int64_t kDetectionRows = 50'000, kDrawnRows = 2'000, kComponentRows = 20'000;
constexpr int64_t kFewestRows = 20;
constexpr int kMostClasses = 100;

// Equal rows of either table are in one fold: a learner that saw a row with one label in training would be sure of the
// wrong one where the same row comes again with the other, and copies would count as told apart.
int fold_of(uint64_t seed, std::span<const float> values) {
  for (const float value : values) seed = hash(seed, std::bit_cast<uint32_t>(value));
  return static_cast<int>(seed % kFolds);
}

// That utility learns from.
int64_t most_synthetic_rows(const Table& real) {
  return std::max(kUtilityRows, real.rows);
}

struct TargetColumn {
  size_t index;
  const ColumnSchema& schema;
  int classes;  // 0: regression
  bool has(const Table& table, int64_t row) const {
    const Column& column = table.columns[index];
    return classes == 0 ? !std::isnan(numeric_value(schema, column, row))
                        : !column.is_missing(row) && column.codes[row] != kUnseenCode;
  }
  double value(const Table& table, int64_t row) const {
    const Column& column = table.columns[index];
    return classes == 0 ? numeric_value(schema, column, row) : static_cast<double>(column.codes[row]);
  }
};

// The rows of one table that have a target, with their features for either family of learners.
struct Sample {
  const Table* table = nullptr;
  std::vector<int64_t> rows;
  std::vector<double> targets;
};

template <typename Takes>
Sample take_rows(const Table& table, const TargetColumn& target, Takes&& takes) {
  Sample sample;
  sample.table = &table;
  for (int64_t row = 0; row < table.rows; ++row) {
    if (!target.has(table, row) || !takes(row)) continue;
    sample.rows.push_back(row);
    sample.targets.push_back(target.value(table, row));
  }
  return sample;
}

TargetColumn make_target(const TableSchema& schema, size_t index) {
  const ColumnSchema& column = schema.columns[index];
  if (is_numeric(column.kind)) return {index, column, 0};
  const auto levels = static_cast<int>(column.levels.size());
  if (!is_discrete(column.kind) || levels < 2 || levels > kMostClasses) {
    throw UsageError("--target " + column.name + " cannot be learned: it is " +
                     (is_discrete(column.kind) ? "a category of " + std::to_string(levels) + " levels"
                                               : "a key, a text, a constant or empty") +
                     "; give a number or a category of 2 to " + std::to_string(kMostClasses) + " levels");
  }
  return {index, column, levels};
}

LearnerScores score(const TargetColumn& target, const std::vector<double>& predicted, const Sample& test) {
  if (target.classes == 0) return score_regression(predicted, test.targets);
  return score_classification(predicted, target.classes,
                              std::vector<int32_t>(test.targets.begin(), test.targets.end()));
}

double probability(double score) {
  return 1 / (1 + std::exp(-score));
}

LearnerScores judge_linear(const TableSchema& schema, const TargetColumn& target, const Sample& train,
                           const Sample& test) {
  const LinearFeatures features(schema, *train.table, train.rows, static_cast<int64_t>(target.index));
  const std::vector<double> seen = features.apply(*train.table, train.rows),
                            asked = features.apply(*test.table, test.rows);
  const int64_t width = features.columns();
  if (width == 0) return {};  // no level of any category that the schema knows
  if (target.classes == 0)
    return score(target, linear_scores(asked, width, fit_ridge(seen, width, train.targets)), test);
  std::vector<double> predicted(test.rows.size() * static_cast<size_t>(target.classes));
  std::vector<double> labels(train.targets.size());
  for (int k = target.classes == 2 ? 1 : 0; k < target.classes; ++k) {  // one class against the rest
    for (size_t i = 0; i < labels.size(); ++i) labels[i] = train.targets[i] == k;
    const std::vector<double> scores = linear_scores(asked, width, fit_logistic(seen, width, labels));
    for (size_t i = 0; i < scores.size(); ++i) predicted[i * target.classes + k] = probability(scores[i]);
  }
  if (target.classes == 2)
    for (size_t i = 0; i < test.rows.size(); ++i) predicted[2 * i] = 1 - predicted[2 * i + 1];
  return score(target, predicted, test);
}

LearnerScores judge_trees(const TableSchema& schema, const TargetColumn& target, const Sample& train,
                          const Sample& test, TreeLearner learner, uint64_t seed) {
  const auto left_out = static_cast<int64_t>(target.index);
  const std::vector<float> predicted =
      train_and_predict(learner, kUtilityRounds, make_code_matrix(schema, *train.table, train.rows, left_out),
                        std::vector<float>(train.targets.begin(), train.targets.end()), target.classes,
                        make_code_matrix(schema, *test.table, test.rows, left_out), seed);
  std::vector<double> values(predicted.begin(), predicted.end());
  if (target.classes == 2) {
    values.resize(2 * predicted.size());
    for (size_t i = 0; i < predicted.size(); ++i) values[2 * i] = 1.0 - predicted[i], values[2 * i + 1] = predicted[i];
  }
  return score(target, values, test);
}

void check_sample(const Sample& sample, const char* what, const std::string& target) {
  if (static_cast<int64_t>(sample.rows.size()) < kFewestRows)
    throw UsageError(std::string("--target ") + target + ": only " + std::to_string(sample.rows.size()) + " " + what +
                     " rows have a value; at least " + std::to_string(kFewestRows) + " are needed");
  if (std::all_of(sample.targets.begin(), sample.targets.end(), [&](double t) { return t == sample.targets[0]; }))
    throw UsageError(std::string("--target ") + target + " has one value in all " + what +
                     " rows: nothing can be learned");
}

}  // namespace

double headline_score(const Utility& utility, const LearnerScores& scores) {
  return utility.headline == "r2" ? scores.r2 : utility.headline == "auc" ? scores.auc : scores.macro_f1;
}

Utility evaluate_utility(const TableSchema& schema, const Table& real, const Table& synthetic, const Table* holdout,
                         const EvaluateOptions& options) {
  const TargetColumn target = make_target(schema, options.target.value());
  if (make_code_matrix(schema, real, {}, static_cast<int64_t>(target.index)).columns == 0)
    throw UsageError("--target " + target.schema.name + ": no other column is a number or a category to learn it from");
  const auto held_out = [&](int64_t row) { return hash_row(options.seed, row) % 5 == 0; };
  const auto all = [](int64_t) { return true; };
  const Sample train_real = take_rows(real, target, [&](int64_t row) { return holdout != nullptr || !held_out(row); });
  const Sample test = holdout != nullptr ? take_rows(*holdout, target, all) : take_rows(real, target, held_out);
  const double share = static_cast<double>(most_synthetic_rows(real)) / static_cast<double>(synthetic.rows);
  const Sample train_synthetic = take_rows(synthetic, target, [&](int64_t row) {
    return share >= 1 || static_cast<double>(hash_row(options.seed, row)) < share * 0x1p64;
  });
  check_sample(train_real, "real", target.schema.name);
  check_sample(train_synthetic, "synthetic", target.schema.name);
  check_sample(test, "test", target.schema.name);

  Utility utility;
  utility.target = target.schema.name;
  utility.is_classification = target.classes > 0;
  utility.has_holdout = holdout != nullptr;
  utility.real_rows = static_cast<int64_t>(train_real.rows.size());
  utility.synthetic_rows = static_cast<int64_t>(train_synthetic.rows.size());
  utility.test_rows = static_cast<int64_t>(test.rows.size());
  utility.headline = target.classes == 0 ? "r2" : target.classes == 2 ? "auc" : "macro_f1";
  const auto judge = [&](const std::string& name, auto&& learner) {
    if (options.on_stage) options.on_stage(name);
    LearnerEvaluation result{
        .learner = name, .trained_on_real = learner(train_real), .trained_on_synthetic = learner(train_synthetic)};
    result.share_of_real =
        headline_score(utility, result.trained_on_synthetic) / headline_score(utility, result.trained_on_real);
    utility.learners.push_back(result);
  };
  judge(target.classes == 0 ? "linear regression" : "logistic regression",
        [&](const Sample& train) { return judge_linear(schema, target, train, test); });
  judge("random forest", [&](const Sample& train) {
    return judge_trees(schema, target, train, test, TreeLearner::kForest, options.seed);
  });
  judge("gradient boosting", [&](const Sample& train) {
    return judge_trees(schema, target, train, test, TreeLearner::kBoosting, options.seed);
  });
  return utility;
}

double evaluate_detection(const TableSchema& schema, const Table& real, const Table& synthetic, uint64_t seed) {
  const CodeMatrix sides[] = {
      make_code_matrix(schema, real, choose_rows(real.rows, kDetectionRows, seed), -1),
      make_code_matrix(schema, synthetic, choose_rows(synthetic.rows, kDetectionRows, seed + 1), -1)};
  if (sides[0].columns == 0 || std::min(sides[0].rows, sides[1].rows) < kFewestRows) return kUndefined;
  std::vector<int> folds[2];
  for (int side = 0; side < 2; ++side)
    for (int64_t row = 0; row < sides[side].rows; ++row)
      folds[side].push_back(
          fold_of(seed, std::span(sides[side].values).subspan(row * sides[side].columns, sides[side].columns)));
  std::vector<float> scores;
  std::vector<uint8_t> labels;
  for (int fold = 0; fold < kFolds; ++fold) {
    CodeMatrix train, test;
    train.columns = test.columns = sides[0].columns;
    std::vector<float> targets;
    for (int side = 0; side < 2; ++side) {
      for (int64_t row = 0; row < sides[side].rows; ++row) {
        const bool asked = folds[side][row] == fold;
        CodeMatrix& matrix = asked ? test : train;
        const float* values = &sides[side].values[row * matrix.columns];
        matrix.values.insert(matrix.values.end(), values, values + matrix.columns);
        ++matrix.rows;
        if (asked)
          labels.push_back(static_cast<uint8_t>(side));
        else
          targets.push_back(static_cast<float>(side));
      }
    }
    if (test.rows == 0 || train.rows == 0) continue;
    const std::vector<float> predicted =
        train_and_predict(TreeLearner::kBoosting, kDetectionRounds, train, targets, 2, test, seed);
    scores.insert(scores.end(), predicted.begin(), predicted.end());
  }
  return area_under_curve(scores, labels);
}

PrincipalComponentsChart project_components(const TableSchema& schema, const Table& real, const Table& synthetic,
                                            uint64_t seed) {
  PrincipalComponentsChart chart;
  const std::vector<int64_t> fitted = choose_rows(real.rows, kComponentRows, seed);
  const LinearFeatures features(schema, real, fitted, -1);
  const int64_t width = features.columns();
  if (width < 2) return chart;
  const std::vector<double> values = features.apply(real, fitted);
  std::vector<double> mean(width), covariance(width * width);
  const auto count = static_cast<double>(fitted.size());
  for (size_t i = 0; i < values.size(); ++i) mean[i % width] += values[i] / count;
  std::vector<double> row(width);
  for (size_t i = 0; i < fitted.size(); ++i) {
    for (int64_t j = 0; j < width; ++j) row[j] = values[i * width + j] - mean[j];
    for (int64_t j = 0; j < width; ++j)
      if (row[j] != 0)
        for (int64_t k = 0; k <= j; ++k) covariance[j * width + k] += row[j] * row[k] / count;
  }
  double total = 0;
  for (int64_t j = 0; j < width; ++j) total += covariance[j * width + j];
  std::vector<double> spread(width);
  const auto order = static_cast<int>(width);
  if (LAPACKE_dsyevd(LAPACK_ROW_MAJOR, 'V', 'L', order, covariance.data(), order, spread.data()) != 0)
    throw Error("evaluating: the principal components did not converge (dsyevd)");
  chart.explained_share_x = spread[width - 1] / total;
  chart.explained_share_y = spread[width - 2] / total;
  const auto project = [&](const Table& table, uint64_t table_seed, std::vector<double>& x, std::vector<double>& y) {
    const std::vector<double> drawn = features.apply(table, choose_rows(table.rows, kDrawnRows, table_seed));
    for (size_t i = 0; i < drawn.size() / static_cast<size_t>(width); ++i) {
      double sums[2] = {};
      for (int64_t j = 0; j < width; ++j)
        for (int k = 0; k < 2; ++k) sums[k] += (drawn[i * width + j] - mean[j]) * covariance[j * width + width - 1 - k];
      x.push_back(sums[0]);
      y.push_back(sums[1]);
    }
  };
  project(real, seed, chart.real_x, chart.real_y);
  project(synthetic, seed + 1, chart.synthetic_x, chart.synthetic_y);
  return chart;
}

void evaluate_learning(const TableSchema& schema, const Table& real, const Table& synthetic, const Table* holdout,
                       const EvaluateOptions& options, Evaluation& evaluation) {
  const auto begin = [&](const char* stage) {
    if (options.on_stage) options.on_stage(stage);
  };
  begin("principal components");
  evaluation.components = project_components(schema, real, synthetic, options.seed);
  if (options.target) {
    evaluation.utility = evaluate_utility(schema, real, synthetic, holdout, options);
    if (synthetic.rows > most_synthetic_rows(real))
      evaluation.notes.push_back("utility learns from " + std::to_string(evaluation.utility->synthetic_rows) +
                                 " of the " + std::to_string(synthetic.rows) + " synthetic rows");
    if (holdout == nullptr)
      evaluation.notes.push_back(
          "utility is tested on a fifth of the real rows, which the synthetic table may have been made from: give "
          "--holdout with rows that were not used for it");
  }
  if (!options.detection) return;
  begin("detection");
  evaluation.detection_auc = evaluate_detection(schema, real, synthetic, options.seed);
  if (std::max(real.rows, synthetic.rows) > kDetectionRows)
    evaluation.notes.push_back("detection looks at " + std::to_string(kDetectionRows) + " rows of each table at most");
}

}  // namespace doppel
