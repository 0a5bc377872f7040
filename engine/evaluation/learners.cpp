#include "engine/evaluation/learners.h"

#include <cblas.h>
#include <lapacke.h>
#include <xgboost/c_api.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>

#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr double kPenalty = 1;         // of squared weights; the intercept is free
constexpr double kFreePenalty = 1e-9;  // keeps the intercept's pivot positive where weights vanish
constexpr int kMostSteps = 50;
constexpr int kForestTrees = 100;

// Solves a symmetric positive definite system in place of `right`.
void solve(std::vector<double>& matrix, std::vector<double>& right) {
  const auto order = static_cast<int>(right.size());
  const int failed = LAPACKE_dposv(LAPACK_ROW_MAJOR, 'L', order, 1, matrix.data(), order, right.data(), 1);
  if (failed != 0)
    throw Error("evaluating: the linear learner's equations are singular (dposv: " + std::to_string(failed) + ")");
}

std::vector<double> with_intercept(const std::vector<double>& features, int64_t columns, size_t rows) {
  std::vector<double> extended(rows * static_cast<size_t>(columns + 1), 1.0);
  for (size_t i = 0; i < rows; ++i)
    std::copy_n(&features[i * static_cast<size_t>(columns)], columns, &extended[i * static_cast<size_t>(columns + 1)]);
  return extended;
}

// X^T X, lower triangle, plus the penalty on the diagonal.
std::vector<double> penalised_gram(const std::vector<double>& extended, int64_t width, size_t rows) {
  std::vector<double> gram(static_cast<size_t>(width * width));
  cblas_dsyrk(CblasRowMajor, CblasLower, CblasTrans, static_cast<int>(width), static_cast<int>(rows), 1,
              extended.data(), static_cast<int>(width), 0, gram.data(), static_cast<int>(width));
  for (int64_t j = 0; j < width; ++j) gram[j * width + j] += j + 1 < width ? kPenalty : kFreePenalty;
  return gram;
}

void check(int status) {
  if (status != 0) throw Error(std::string("evaluating: XGBoost: ") + XGBGetLastError());
}

class TreeData {
 public:
  explicit TreeData(const CodeMatrix& matrix) {
    check(XGDMatrixCreateFromMat(matrix.values.data(), static_cast<bst_ulong>(matrix.rows),
                                 static_cast<bst_ulong>(matrix.columns), std::numeric_limits<float>::quiet_NaN(),
                                 &handle));
  }
  ~TreeData() { XGDMatrixFree(handle); }
  TreeData(const TreeData&) = delete;
  TreeData& operator=(const TreeData&) = delete;
  DMatrixHandle handle = nullptr;
};

class Trees {
 public:
  explicit Trees(DMatrixHandle data) { check(XGBoosterCreate(&data, 1, &handle)); }
  ~Trees() { XGBoosterFree(handle); }
  Trees(const Trees&) = delete;
  Trees& operator=(const Trees&) = delete;
  void set(const char* name, const std::string& value) { check(XGBoosterSetParam(handle, name, value.c_str())); }
  BoosterHandle handle = nullptr;
};

void set_parameters(Trees& trees, TreeLearner learner, int classes, uint64_t seed) {
  trees.set("verbosity", "0");
  trees.set("nthread", "1");
  trees.set("tree_method", "hist");
  trees.set("seed", std::to_string(seed & 0x7fffffff));
  trees.set("objective", classes == 0 ? "reg:squarederror" : classes == 2 ? "binary:logistic" : "multi:softprob");
  if (classes > 2) trees.set("num_class", std::to_string(classes));
  if (learner == TreeLearner::kForest) {
    trees.set("num_parallel_tree", std::to_string(kForestTrees));
    trees.set("max_depth", "12");
    trees.set("eta", "1");
    trees.set("subsample", "0.632");
    trees.set("colsample_bynode", "0.3");
  } else {
    trees.set("max_depth", "6");
    trees.set("eta", "0.1");
  }
}

}  // namespace

std::vector<double> fit_ridge(const std::vector<double>& features, int64_t columns,
                              const std::vector<double>& targets) {
  const int64_t width = columns + 1;
  // A regression's intercept is the targets' mean when nothing else explains them: centring keeps the sums small.
  const double mean = std::accumulate(targets.begin(), targets.end(), 0.0) / static_cast<double>(targets.size());
  const std::vector<double> extended = with_intercept(features, columns, targets.size());
  std::vector<double> gram = penalised_gram(extended, width, targets.size());
  std::vector<double> right(static_cast<size_t>(width));
  for (size_t i = 0; i < targets.size(); ++i)
    for (int64_t j = 0; j < width; ++j) right[j] += extended[i * width + j] * (targets[i] - mean);
  solve(gram, right);
  right.back() += mean;
  return right;
}

std::vector<double> fit_logistic(const std::vector<double>& features, int64_t columns,
                                 const std::vector<double>& targets) {
  const int64_t width = columns + 1;
  const size_t rows = targets.size();
  const std::vector<double> extended = with_intercept(features, columns, rows);
  std::vector<double> weights(static_cast<size_t>(width)), scaled(extended.size());
  const auto loss = [&](const std::vector<double>& at) {
    double sum = 0;
    const std::vector<double> scores = linear_scores(features, columns, at);
    for (size_t i = 0; i < rows; ++i) {
      const double margin = targets[i] > 0.5 ? scores[i] : -scores[i];
      sum += margin > 0 ? std::log1p(std::exp(-margin)) : std::log1p(std::exp(margin)) - margin;
    }
    for (int64_t j = 0; j < columns; ++j) sum += kPenalty / 2 * at[j] * at[j];
    return sum;
  };
  double current = loss(weights);
  for (int step = 0; step < kMostSteps; ++step) {
    const std::vector<double> scores = linear_scores(features, columns, weights);
    std::vector<double> direction(static_cast<size_t>(width));
    for (size_t i = 0; i < rows; ++i) {
      const double probability = 1 / (1 + std::exp(-scores[i]));
      const double root = std::sqrt(probability * (1 - probability)), rest = targets[i] - probability;
      for (int64_t j = 0; j < width; ++j) {
        const double value = extended[i * width + j];
        direction[j] += value * rest;
        scaled[i * width + j] = value * root;
      }
    }
    for (int64_t j = 0; j < columns; ++j) direction[j] -= kPenalty * weights[j];
    std::vector<double> hessian = penalised_gram(scaled, width, rows);
    solve(hessian, direction);
    // Newton's step, halved until the loss falls: far from the optimum the full one can overshoot.
    double length = 1, reached = current;
    std::vector<double> tried = weights;
    for (int halving = 0; halving < 30; ++halving, length /= 2) {
      for (int64_t j = 0; j < width; ++j) tried[j] = weights[j] + length * direction[j];
      reached = loss(tried);
      if (reached < current) break;
    }
    if (!(reached < current)) break;
    weights = tried;
    const bool done = current - reached <= 1e-12 * (1 + current);
    current = reached;
    if (done) break;
  }
  return weights;
}

std::vector<double> linear_scores(const std::vector<double>& features, int64_t columns,
                                  const std::vector<double>& weights) {
  const size_t rows = columns == 0 ? 0 : features.size() / static_cast<size_t>(columns);
  std::vector<double> scores(rows, weights.back());
  if (rows > 0)
    cblas_dgemv(CblasRowMajor, CblasNoTrans, static_cast<int>(rows), static_cast<int>(columns), 1, features.data(),
                static_cast<int>(columns), weights.data(), 1, 1, scores.data(), 1);
  return scores;
}

std::vector<float> train_and_predict(TreeLearner learner, int rounds, const CodeMatrix& train,
                                     const std::vector<float>& targets, int classes, const CodeMatrix& test,
                                     uint64_t seed) {
  const TreeData train_data(train), test_data(test);
  check(XGDMatrixSetFloatInfo(train_data.handle, "label", targets.data(), targets.size()));
  Trees trees(train_data.handle);
  set_parameters(trees, learner, classes, seed);
  // A forest is one round of parallel trees, so its start matters: for a regression, the targets' mean.
  if (classes == 0)
    trees.set("base_score", std::to_string(std::accumulate(targets.begin(), targets.end(), 0.0) /
                                           static_cast<double>(targets.size())));
  const int iterations = learner == TreeLearner::kForest ? 1 : rounds;
  for (int round = 0; round < iterations; ++round)
    check(XGBoosterUpdateOneIter(trees.handle, round, train_data.handle));
  bst_ulong length = 0;
  const float* predicted = nullptr;
  check(XGBoosterPredict(trees.handle, test_data.handle, 0, 0, 0, &length, &predicted));
  return std::vector<float>(predicted, predicted + length);
}

double area_under_curve(const std::vector<float>& scores, const std::vector<uint8_t>& labels) {
  std::vector<size_t> order(scores.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) { return scores[a] < scores[b]; });
  double area = 0, negatives = 0, positives = 0;
  for (size_t i = 0; i < order.size();) {
    double tied_negatives = 0, tied_positives = 0;
    const float score = scores[order[i]];
    for (; i < order.size() && scores[order[i]] == score; ++i)
      (labels[order[i]] ? tied_positives : tied_negatives) += 1;
    area += tied_positives * (negatives + tied_negatives / 2);
    negatives += tied_negatives;
    positives += tied_positives;
  }
  return negatives > 0 && positives > 0 ? area / (negatives * positives) : kUndefined;
}

LearnerScores score_regression(const std::vector<double>& predicted, const std::vector<double>& actual) {
  const auto count = static_cast<double>(actual.size());
  const double mean = std::accumulate(actual.begin(), actual.end(), 0.0) / count;
  double squares = 0, absolute = 0, total = 0;
  for (size_t i = 0; i < actual.size(); ++i) {
    const double error = predicted[i] - actual[i];
    squares += error * error;
    absolute += std::abs(error);
    total += (actual[i] - mean) * (actual[i] - mean);
  }
  LearnerScores scores;
  scores.root_mean_square_error = std::sqrt(squares / count);
  scores.mean_absolute_error = absolute / count;
  if (total > 0) scores.r2 = 1 - squares / total;
  return scores;
}

LearnerScores score_classification(const std::vector<double>& probabilities, int classes,
                                   const std::vector<int32_t>& actual) {
  std::vector<int64_t> right(classes), predicted(classes), present(classes);
  for (size_t i = 0; i < actual.size(); ++i) {
    const auto row = probabilities.begin() + static_cast<int64_t>(i) * classes;
    const auto best = static_cast<int32_t>(std::max_element(row, row + classes) - row);
    ++predicted[best];
    ++present[actual[i]];
    right[best] += best == actual[i];
  }
  LearnerScores scores;
  scores.accuracy =
      static_cast<double>(std::accumulate(right.begin(), right.end(), int64_t{0})) / static_cast<double>(actual.size());
  double f1 = 0;
  int occurring = 0;
  for (int k = 0; k < classes; ++k) {
    if (predicted[k] + present[k] == 0) continue;
    f1 += 2.0 * static_cast<double>(right[k]) / static_cast<double>(predicted[k] + present[k]);
    ++occurring;
  }
  scores.macro_f1 = f1 / occurring;
  if (classes == 2) {
    std::vector<float> second(actual.size());
    for (size_t i = 0; i < actual.size(); ++i) second[i] = static_cast<float>(probabilities[2 * i + 1]);
    scores.auc = area_under_curve(second, std::vector<uint8_t>(actual.begin(), actual.end()));
  }
  return scores;
}

}  // namespace doppel
