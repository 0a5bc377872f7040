// Trends by SDMetrics' definitions: correlations of two continuous columns, contingency tables of any other two.
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/evaluation/compared_column.h"
#include "kernels/backend.h"

namespace doppel {
namespace {

constexpr int64_t kBlockCells = int64_t{1} << 20;  // of numbers whose co-moments are summed at a time
constexpr double kCancelled = 1e-6;  // of a sum of squares: with less left of it, it is summed again about the mean
constexpr double kRounding = 1e-14;  // of a correlation: less is 0

// Pearson's r over the rows in which both have a value.
double correlate_rows(const ComparedColumn& first, const ComparedColumn& second) {
  std::vector<double> x, y;
  for (int64_t row = 0; row < first.rows; ++row) {
    if (std::isnan(first.values[row]) || std::isnan(second.values[row])) continue;
    x.push_back(first.values[row]);
    y.push_back(second.values[row]);
  }
  const auto varies = [](const std::vector<double>& v) {
    return std::any_of(v.begin(), v.end(), [&](double value) { return value != v[0]; });
  };
  if (x.size() < 2 || !varies(x) || !varies(y)) return kUndefined;
  const auto count = static_cast<double>(x.size());
  const double mean_x = std::accumulate(x.begin(), x.end(), 0.0) / count;
  const double mean_y = std::accumulate(y.begin(), y.end(), 0.0) / count;
  double xx = 0, yy = 0, xy = 0;
  for (size_t i = 0; i < x.size(); ++i) {
    const double dx = x[i] - mean_x, dy = y[i] - mean_y;
    xx += dx * dx;
    yy += dy * dy;
    xy += dx * dy;
  }
  return xy / (std::sqrt(xx) * std::sqrt(yy));
}

// Pearson's r of all pairs of some columns of numbers, each over the rows in which both have a value, from the columns'
// co-moments about their means.
class Correlations {
 public:
  Correlations(std::vector<const ComparedColumn*> columns, const Backend& backend);
  // Undefined where a column does not vary.
  double of(size_t i, size_t j) const {
    const ComparedColumn &first = *columns_[i], &second = *columns_[j];
    if (!(first.minimum < first.maximum) || !(second.minimum < second.maximum)) return kUndefined;
    double r = from_moments(i, j);
    if (std::isnan(r)) r = correlate_rows(first, second);
    return std::abs(r) < kRounding ? 0 : std::clamp(r, -1.0, 1.0);
  }

 private:
  // Not a number where sums of squares cancel.
  double from_moments(size_t i, size_t j) const {
    const size_t ij = i * columns_.size() + j, ji = j * columns_.size() + i;
    const double count = moments_.count[ij], x = moments_.sum[ij], y = moments_.sum[ji];
    const double xx = moments_.square[ij] - x * x / count, yy = moments_.square[ji] - y * y / count;
    if (!(xx > kCancelled * moments_.square[ij]) || !(yy > kCancelled * moments_.square[ji])) return kUndefined;
    return (moments_.product[ij] - x * y / count) / (std::sqrt(xx) * std::sqrt(yy));
  }

  std::vector<const ComparedColumn*> columns_;
  CoMoments moments_;
};

Correlations::Correlations(std::vector<const ComparedColumn*> columns, const Backend& backend)
    : columns_(std::move(columns)), moments_(static_cast<int64_t>(columns_.size())) {
  if (columns_.size() < 2) return;
  const int64_t rows = columns_[0]->rows, block = std::max<int64_t>(kBlockCells / moments_.columns, 1);
  const bool gaps = std::ranges::any_of(columns_, [](const ComparedColumn* column) { return column->missing > 0; });
  std::vector<double> values, present;
  for (int64_t first = 0; first < rows; first += block) {
    const int64_t size = std::min(block, rows - first);
    values.clear();
    present.clear();
    for (const ComparedColumn* column : columns_) {
      const double scale = std::max(column->maximum - column->mean, column->mean - column->minimum);
      for (int64_t row = first; row < first + size; ++row) {
        const double value = (column->values[row] - column->mean) / scale;
        const bool is_there = std::isfinite(value);
        values.push_back(is_there ? value : 0);
        if (gaps) present.push_back(is_there);
      }
    }
    backend.accumulate_co_moments({size, moments_.columns, values, present}, moments_);
  }
}

// Cramer's V without correction: sqrt(chi2 / n / (min(rows, columns) - 1)), with sum(o^2 / e) - n for chi2.
double cramers_v(const PairCounts& counted, const ComparedColumn& first, const ComparedColumn& second) {
  const int64_t width = second.code_count;
  std::vector<int64_t> row_sums(first.code_count), column_sums(width);
  for (const auto& [cell, count] : counted) {
    row_sums[cell / width] += count;
    column_sums[cell % width] += count;
  }
  const auto used = [](const std::vector<int64_t>& sums) {
    return std::count_if(sums.begin(), sums.end(), [](int64_t sum) { return sum > 0; });
  };
  const auto smaller = std::min(used(row_sums), used(column_sums));
  if (smaller < 2) return kUndefined;
  double squares = 0;
  for (const auto& [cell, count] : counted) {
    const auto observed = static_cast<double>(count);
    squares += observed * observed / static_cast<double>(row_sums[cell / width]) /
               static_cast<double>(column_sums[cell % width]);
  }
  return std::sqrt(std::max(0.0, squares - 1) / static_cast<double>(smaller - 1));
}

// 1 - half the summed differences of the cells' shares.
double contingency_similarity(const PairCounts& real, int64_t real_rows, const PairCounts& synthetic,
                              int64_t synthetic_rows) {
  double variation = 0;
  auto i = real.begin(), j = synthetic.begin();
  while (i != real.end() || j != synthetic.end()) {
    const bool in_real = i != real.end() && (j == synthetic.end() || i->cell <= j->cell);
    const bool in_synthetic = j != synthetic.end() && (i == real.end() || j->cell <= i->cell);
    const double real_share = in_real ? static_cast<double>((i++)->rows) / static_cast<double>(real_rows) : 0;
    const double synthetic_share =
        in_synthetic ? static_cast<double>((j++)->rows) / static_cast<double>(synthetic_rows) : 0;
    variation += std::abs(real_share - synthetic_share) / 2;
  }
  return 1 - variation;
}

// One table's pairs: what the backend holds of its columns, by their place among all.
class TablePairs {
 public:
  TablePairs(const std::vector<ComparedColumn>& columns, const Backend& backend)
      : columns_(columns), correlations_(continuous(columns), backend) {
    CodedColumns coded;
    for (const ComparedColumn& column : columns) {
      coded.rows = column.rows;
      code_place_.push_back(static_cast<int32_t>(coded.codes.size()));
      number_place_.push_back(numbers_);
      numbers_ += column.shape == ColumnShape::kContinuous;
      if (column.shape == ColumnShape::kSkipped) continue;
      coded.codes.push_back(column.codes);
      coded.code_count.push_back(column.code_count);
    }
    counts_ = backend.prepare_pair_counts(coded);
  }
  const ComparedColumn& column(size_t i) const { return columns_[i]; }
  int64_t rows() const { return columns_[0].rows; }
  double correlation(size_t i, size_t j) const { return correlations_.of(number_place_[i], number_place_[j]); }
  // Of column i beside each of `others`.
  std::vector<PairCounts> count(size_t i, const std::vector<size_t>& others) const {
    std::vector<ColumnPair> pairs;
    for (const size_t j : others) pairs.push_back({code_place_[i], code_place_[j]});
    return counts_->count(pairs);
  }

 private:
  static std::vector<const ComparedColumn*> continuous(const std::vector<ComparedColumn>& columns) {
    std::vector<const ComparedColumn*> numbers;
    for (const ComparedColumn& column : columns)
      if (column.shape == ColumnShape::kContinuous) numbers.push_back(&column);
    return numbers;
  }
  const std::vector<ComparedColumn>& columns_;
  Correlations correlations_;
  std::unique_ptr<PreparedPairCounts> counts_;
  std::vector<int32_t> code_place_;
  std::vector<size_t> number_place_;
  size_t numbers_ = 0;
};

void score_correlation(const TablePairs& real, const TablePairs& synthetic, PairEvaluation& pair) {
  pair.metric = "CorrelationSimilarity";
  pair.real_correlation = real.correlation(pair.first, pair.second);
  pair.synthetic_correlation = synthetic.correlation(pair.first, pair.second);
  // SDMetrics leaves out a real correlation of exactly 0 even without a threshold.
  if (std::abs(pair.real_correlation) > 0 && !std::isnan(pair.synthetic_correlation))
    pair.trend_score = 1 - std::abs(pair.real_correlation - pair.synthetic_correlation) / 2;
  pair.meets_threshold = std::abs(pair.real_correlation) > kRealCorrelationThreshold;
}

void score_contingency(const TablePairs& real, const PairCounts& real_counts, const TablePairs& synthetic,
                       const PairCounts& synthetic_counts, PairEvaluation& pair) {
  pair.metric = "ContingencySimilarity";
  pair.trend_score = contingency_similarity(real_counts, real.rows(), synthetic_counts, synthetic.rows());
  pair.real_association = cramers_v(real_counts, real.column(pair.first), real.column(pair.second));
  pair.synthetic_association = cramers_v(synthetic_counts, synthetic.column(pair.first), synthetic.column(pair.second));
  pair.meets_threshold = pair.real_association > kRealAssociationThreshold;
}

// Column i beside those after it.
void score_pairs_of(size_t i, const TablePairs& real, const TablePairs& synthetic, size_t columns,
                    std::vector<PairEvaluation>& pairs) {
  std::vector<size_t> others, places;  // whose contingency tables are asked for, and where among the pairs
  for (size_t j = i + 1; j < columns; ++j) {
    if (real.column(j).shape == ColumnShape::kSkipped) continue;
    PairEvaluation& pair = pairs.emplace_back();
    pair.first = i;
    pair.second = j;
    if (real.column(i).shape == ColumnShape::kContinuous && real.column(j).shape == ColumnShape::kContinuous) {
      score_correlation(real, synthetic, pair);
    } else {
      others.push_back(j);
      places.push_back(pairs.size() - 1);
    }
  }
  if (others.empty()) return;
  const std::vector<PairCounts> real_counts = real.count(i, others), synthetic_counts = synthetic.count(i, others);
  for (size_t k = 0; k < others.size(); ++k)
    score_contingency(real, real_counts[k], synthetic, synthetic_counts[k], pairs[places[k]]);
}

}  // namespace

std::vector<PairEvaluation> score_pairs(const std::vector<ComparedColumn>& real,
                                        const std::vector<ComparedColumn>& synthetic, const Backend& backend) {
  const TablePairs real_pairs(real, backend), synthetic_pairs(synthetic, backend);
  std::vector<PairEvaluation> pairs;
  for (size_t i = 0; i < real.size(); ++i)
    if (real[i].shape != ColumnShape::kSkipped) score_pairs_of(i, real_pairs, synthetic_pairs, real.size(), pairs);
  return pairs;
}

}  // namespace doppel
