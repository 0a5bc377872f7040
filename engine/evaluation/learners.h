// Learners that judge tables, and the scores of their predictions. All are deterministic.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/evaluation/evaluation.h"
#include "engine/evaluation/features.h"

namespace doppel {

// Minimises |y - X w - b|^2 + |w|^2 by the normal equations. `features` [rows, columns], row-major; returns columns + 1
// weights, the intercept b last.
std::vector<double> fit_ridge(const std::vector<double>& features, int64_t columns, const std::vector<double>& targets);

// Minimises sum of log losses + |w|^2 / 2 by Newton's method (scikit-learn's LogisticRegression with C = 1); `targets`
// are 0 or 1. Returns as fit_ridge does.
std::vector<double> fit_logistic(const std::vector<double>& features, int64_t columns,
                                 const std::vector<double>& targets);

// X w + b of each row.
std::vector<double> linear_scores(const std::vector<double>& features, int64_t columns,
                                  const std::vector<double>& weights);

enum class TreeLearner : uint8_t { kForest, kBoosting };

// Trains XGBoost's trees (forest: 100 trees of depth 12 on samples of 63 % of rows and 30 % of columns a node;
// boosting: `rounds` of depth 6 at rate 0.1) and predicts. classes: 0 regression, 2 the second class's probability,
// more: the probability of each, [rows, classes]. On one thread, so that the sums' order is fixed.
std::vector<float> train_and_predict(TreeLearner learner, int rounds, const CodeMatrix& train,
                                     const std::vector<float>& targets, int classes, const CodeMatrix& test,
                                     uint64_t seed);

// Area under the ROC curve; ties count half. NaN unless both labels occur.
double area_under_curve(const std::vector<float>& scores, const std::vector<uint8_t>& labels);

// `predicted` [rows] against `actual`.
LearnerScores score_regression(const std::vector<double>& predicted, const std::vector<double>& actual);
// `probabilities` [rows, classes], row-major. Macro F1: over the classes that occur in either, as scikit-learn has it.
LearnerScores score_classification(const std::vector<double>& probabilities, int classes,
                                   const std::vector<int32_t>& actual);

}  // namespace doppel
