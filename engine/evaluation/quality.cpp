// Quality by SDMetrics' definitions: the scores of all columns and pairs, and their totals.
#include <cmath>

#include "engine/evaluation/compared_column.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

// Mean of what is defined; undefined where nothing is.
class Mean {
 public:
  void add(double value) {
    if (std::isnan(value)) return;
    sum_ += value;
    ++count_;
  }
  double value() const { return count_ > 0 ? sum_ / count_ : kUndefined; }

 private:
  double sum_ = 0;
  int count_ = 0;
};

void add_totals(Evaluation& evaluation) {
  Mean shapes, trends, strong_trends;
  for (const ColumnEvaluation& column : evaluation.columns) shapes.add(column.shape_score);
  for (const PairEvaluation& pair : evaluation.pairs) {
    trends.add(pair.trend_score);
    if (pair.meets_threshold) strong_trends.add(pair.trend_score);
  }
  const auto total = [&](double trend) {
    Mean overall;
    overall.add(shapes.value());
    overall.add(trend);
    return QualityScore{shapes.value(), trend, overall.value()};
  };
  evaluation.classic = total(trends.value());
  evaluation.with_thresholds = total(strong_trends.value());
}

void add_correlation_matrices(Evaluation& evaluation) {
  std::vector<size_t> position(evaluation.columns.size());
  for (size_t j = 0; j < evaluation.columns.size(); ++j) {
    if (evaluation.columns[j].shape != ColumnShape::kContinuous) continue;
    position[j] = evaluation.continuous.size();
    evaluation.continuous.push_back(j);
  }
  const size_t order = evaluation.continuous.size();
  evaluation.correlation_real.assign(order * order, 1);
  evaluation.correlation_synthetic.assign(order * order, 1);
  for (const PairEvaluation& pair : evaluation.pairs) {
    if (pair.metric != "CorrelationSimilarity") continue;
    const size_t i = position[pair.first], j = position[pair.second];
    evaluation.correlation_real[i * order + j] = evaluation.correlation_real[j * order + i] = pair.real_correlation;
    evaluation.correlation_synthetic[i * order + j] = evaluation.correlation_synthetic[j * order + i] =
        pair.synthetic_correlation;
  }
}

}  // namespace

Evaluation evaluate_quality(const TableSchema& schema, const Table& real, const Table& synthetic,
                            const Backend& backend) {
  if (real.rows == 0 || synthetic.rows == 0)
    throw InputError(std::string("the ") + (real.rows == 0 ? "real" : "synthetic") + " table has no rows to evaluate");
  Evaluation evaluation;
  evaluation.real_rows = real.rows;
  evaluation.synthetic_rows = synthetic.rows;
  std::vector<ComparedColumn> reals, synthetics;
  for (size_t j = 0; j < schema.columns.size(); ++j) {
    reals.push_back(compare_column(schema.columns[j], real, j, backend));
    synthetics.push_back(compare_column(schema.columns[j], synthetic, j, backend));
    evaluation.columns.push_back(score_column(schema.columns[j], reals[j], synthetics[j]));
    reals[j].sorted = synthetics[j].sorted = {};  // what pairs need no more
  }
  evaluation.pairs = score_pairs(reals, synthetics, backend);
  add_totals(evaluation);
  add_correlation_matrices(evaluation);
  for (const ColumnEvaluation& column : evaluation.columns) {
    if (column.unseen_rows > 0)
      evaluation.notes.push_back(std::to_string(column.unseen_rows) + " synthetic rows of column '" + column.name +
                                 "' have a level that the real table does not");
  }
  return evaluation;
}

}  // namespace doppel
