// Shapes, trends and single-column scores by SDMetrics' definitions.
#include <algorithm>
#include <array>
#include <bit>
#include <charconv>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "engine/evaluation/evaluation.h"
#include "engine/table/cells.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int kBins = 10;                 // of a continuous column beside a discrete one
constexpr int64_t kDenseCells = 1 << 20;  // contingency tables up to this size are arrays
constexpr int kChartBins = 40;
constexpr size_t kChartLevels = 20;

// One column of one table, made ready for both kinds of score.
struct PreparedColumn {
  int64_t rows = 0, missing = 0;
  std::vector<double> values;  // continuous: [rows], NaN where missing
  std::vector<uint64_t> keys;  // continuous: of the present values, ascending; equal where the values are
  std::vector<int32_t> codes;  // [rows] discrete: level, `levels` for unseen, levels + 1 for missing. Continuous: bin
  int32_t code_count = 0;
  double minimum = kUndefined, maximum = kUndefined, mean = kUndefined;
  std::vector<double> centred;  // continuous without missing values: values - mean
  double norm = 0;              // of `centred`
};

bool is_number(const std::string& text, double& value) {
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  return error == std::errc() && end == text.data() + text.size() && std::isfinite(value);
}

// Ascending order of unsigned keys: radix sort by 11 bits, only as many passes as the keys' range needs.
void sort_keys(std::vector<uint64_t>& keys) {
  if (keys.size() < 2) return;
  const auto [low, high] = std::minmax_element(keys.begin(), keys.end());
  const uint64_t base = *low, range = *high - base;
  std::vector<uint64_t> other(keys.size());
  for (int shift = 0; shift < 64 && (range >> shift) != 0; shift += 11) {
    std::array<uint32_t, 2049> start{};
    for (const uint64_t key : keys) ++start[((key - base) >> shift & 2047) + 1];
    std::partial_sum(start.begin(), start.end(), start.begin());
    for (const uint64_t key : keys) other[start[(key - base) >> shift & 2047]++] = key;
    keys.swap(other);
  }
}

// A number whose unsigned order is the doubles' order; -0 and +0 agree.
uint64_t ordered_bits(double value) {
  const auto bits = std::bit_cast<uint64_t>(value + 0.0);
  return bits >> 63 ? ~bits : bits | uint64_t{1} << 63;
}

// KSComplement compares values rounded to 14 decimals, as numpy rounds them.
double round_for_comparison(double value) {
  return std::abs(value) < 1e290 ? std::nearbyint(value * 1e14) / 1e14 : value;
}

void fill_values(const ColumnSchema& schema, const Column& column, PreparedColumn& prepared) {
  const int64_t rows = prepared.rows;
  prepared.values.assign(rows, kUndefined);
  prepared.keys.reserve(rows);
  double constant = 0;
  if (schema.kind == ColumnKind::kConstant) is_number(schema.levels.at(0), constant);
  const auto divisor = static_cast<double>(power_of_ten(schema.kind == ColumnKind::kDecimal ? schema.decimals : 0));
  for (int64_t row = 0; row < rows; ++row) {
    if (column.is_missing(row)) continue;
    double value = constant;
    if (!column.quanta.empty()) {
      value = static_cast<double>(column.quanta[row]) / divisor;
      prepared.keys.push_back(static_cast<uint64_t>(column.quanta[row]) ^ uint64_t{1} << 63);
    } else {
      if (!column.reals.empty()) value = column.reals[row];
      if (!std::isfinite(value)) continue;  // infinities have no place in any score: they count as missing
      prepared.keys.push_back(ordered_bits(round_for_comparison(value)));
    }
    prepared.values[row] = value;
  }
  prepared.missing = rows - static_cast<int64_t>(prepared.keys.size());
}

// The eleven edges of numpy.histogram_bin_edges(values, 10); numpy.digitize then gives bins 1 to 10, 11 for the maximum
// and for missing values.
std::array<double, kBins + 1> bin_edges(double minimum, double maximum) {
  if (std::isnan(minimum)) minimum = 0, maximum = 1;
  if (minimum == maximum) minimum -= 0.5, maximum += 0.5;
  std::array<double, kBins + 1> edges{};
  const double step = (maximum - minimum) / kBins;
  for (int i = 0; i <= kBins; ++i) edges[i] = i * step + minimum;
  edges[kBins] = maximum;
  return edges;
}

// The whole part of a bin's position, within [0, last]; 0 for the undefined ones of ranges beyond a double's.
int64_t to_bin(double position, int64_t last) {
  return position > 0 ? static_cast<int64_t>(std::min(position, static_cast<double>(last))) : 0;
}

void fill_bins(PreparedColumn& prepared) {
  const auto edges = bin_edges(prepared.minimum, prepared.maximum);
  const double width = edges[1] - edges[0];
  prepared.codes.resize(prepared.rows);
  prepared.code_count = kBins + 2;
  for (int64_t row = 0; row < prepared.rows; ++row) {
    const double value = prepared.values[row];
    int bin = kBins + 1;
    if (value == value) {
      // A guess by division is within one of the bin by comparison.
      bin = static_cast<int>(to_bin((value - edges[0]) / width, kBins)) + 1;
      while (bin <= kBins && value >= edges[bin]) ++bin;
      while (bin > 0 && value < edges[bin - 1]) --bin;
    }
    prepared.codes[row] = bin;
  }
}

void centre(PreparedColumn& prepared) {
  double sum = 0;
  for (const double value : prepared.values) {
    if (std::isnan(value)) continue;
    sum += value;
    if (!(value >= prepared.minimum)) prepared.minimum = value;
    if (!(value <= prepared.maximum)) prepared.maximum = value;
  }
  const int64_t present = prepared.rows - prepared.missing;
  prepared.mean = sum / static_cast<double>(present);
  if (prepared.missing > 0) return;
  prepared.centred.resize(prepared.rows);
  double squares = 0;
  for (int64_t row = 0; row < prepared.rows; ++row) {
    prepared.centred[row] = prepared.values[row] - prepared.mean;
    squares += prepared.centred[row] * prepared.centred[row];
  }
  prepared.norm = std::sqrt(squares);
}

void fill_codes(const ColumnSchema& schema, const Column& column, PreparedColumn& prepared) {
  const auto levels = static_cast<int32_t>(schema.levels.size());
  prepared.code_count = levels + 2;
  prepared.codes.resize(prepared.rows);
  for (int64_t row = 0; row < prepared.rows; ++row) {
    int32_t code = column.codes.empty() ? 0 : column.codes[row];
    if (code == kUnseenCode) code = levels;
    if (column.is_missing(row)) code = levels + 1, ++prepared.missing;
    prepared.codes[row] = code;
  }
}

ColumnShape shape_of(const ColumnSchema& schema) {
  double number;
  switch (schema.kind) {
    case ColumnKind::kInteger:
    case ColumnKind::kDecimal:
    case ColumnKind::kReal:
    case ColumnKind::kDatetime:
      return ColumnShape::kContinuous;
    case ColumnKind::kBoolean:
    case ColumnKind::kCategory:
      return ColumnShape::kDiscrete;
    case ColumnKind::kConstant:
      return is_number(schema.levels.at(0), number) ? ColumnShape::kContinuous : ColumnShape::kDiscrete;
    default:
      return ColumnShape::kSkipped;
  }
}

PreparedColumn prepare(const ColumnSchema& schema, ColumnShape shape, const Table& table, size_t index) {
  PreparedColumn prepared;
  prepared.rows = table.rows;
  const Column& column = table.columns[index];
  if (shape == ColumnShape::kContinuous) {
    fill_values(schema, column, prepared);
    sort_keys(prepared.keys);
    centre(prepared);
    fill_bins(prepared);
  } else if (shape == ColumnShape::kDiscrete) {
    fill_codes(schema, column, prepared);
  } else {
    for (int64_t row = 0; row < table.rows; ++row) prepared.missing += column.is_missing(row);
    if (schema.kind == ColumnKind::kEmpty) prepared.missing = table.rows;
  }
  return prepared;
}

// 1 - the largest distance between the two empirical distribution functions.
double ks_complement(const std::vector<uint64_t>& real, const std::vector<uint64_t>& synthetic) {
  if (real.empty() || synthetic.empty()) return kUndefined;
  const auto real_count = static_cast<double>(real.size()), synthetic_count = static_cast<double>(synthetic.size());
  double distance = 0;
  size_t i = 0, j = 0;
  while (i < real.size() && j < synthetic.size()) {
    const uint64_t value = std::min(real[i], synthetic[j]);
    while (i < real.size() && real[i] == value) ++i;
    while (j < synthetic.size() && synthetic[j] == value) ++j;
    distance =
        std::max(distance, std::abs(static_cast<double>(i) / real_count - static_cast<double>(j) / synthetic_count));
  }
  return 1 - distance;
}

std::vector<int64_t> count_codes(const PreparedColumn& column) {
  std::vector<int64_t> counts(column.code_count);
  for (const int32_t code : column.codes) ++counts[code];
  return counts;
}

DensityChart chart_density(const ColumnSchema& schema, const PreparedColumn& real, const PreparedColumn& synthetic) {
  DensityChart chart;
  std::vector<double> sorted;
  for (const PreparedColumn* side : {&real, &synthetic})
    for (const double value : side->values)
      if (!std::isnan(value)) sorted.push_back(value);
  if (sorted.empty()) return chart;
  // The outermost 0.2 % do not stretch the axis.
  const size_t tail = sorted.size() / 500;
  std::nth_element(sorted.begin(), sorted.begin() + static_cast<int64_t>(tail), sorted.end());
  double low = sorted[tail];
  std::nth_element(sorted.begin(), sorted.end() - 1 - static_cast<int64_t>(tail), sorted.end());
  double high = sorted[sorted.size() - 1 - tail];
  if (schema.kind == ColumnKind::kInteger) {  // bins of equally many whole numbers
    const double width = std::max(1.0, std::ceil((high - low + 1) / kChartBins));
    const auto bins = static_cast<int>(std::clamp(std::ceil((high - low + 1) / width), 1.0, double{kChartBins}));
    for (int i = 0; i <= bins; ++i) chart.edges.push_back(low - 0.5 + i * width);
  } else {
    if (low == high) low -= 0.5, high += 0.5;
    for (int i = 0; i <= kChartBins; ++i) chart.edges.push_back(low + (high - low) * i / kChartBins);
  }
  const auto fill = [&](const PreparedColumn& side, std::vector<double>& shares) {
    const auto bins = static_cast<int64_t>(chart.edges.size()) - 1;
    const double width = (chart.edges.back() - chart.edges.front()) / static_cast<double>(bins);
    shares.assign(bins, 0);
    const auto present = static_cast<double>(side.rows - side.missing);
    std::vector<int64_t> counts(bins);
    for (const double value : side.values) {
      if (std::isnan(value)) continue;
      const double position = (value - chart.edges.front()) / width;
      ++counts[to_bin(position, bins - 1)];
    }
    for (int64_t bin = 0; bin < bins; ++bin) shares[bin] = present > 0 ? static_cast<double>(counts[bin]) / present : 0;
  };
  fill(real, chart.real);
  fill(synthetic, chart.synthetic);
  return chart;
}

LevelChart chart_levels(const ColumnSchema& schema, const PreparedColumn& real, const PreparedColumn& synthetic) {
  const std::vector<int64_t> real_counts = count_codes(real), synthetic_counts = count_codes(synthetic);
  const auto real_rows = static_cast<double>(real.rows), synthetic_rows = static_cast<double>(synthetic.rows);
  std::vector<size_t> order(schema.levels.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return real_counts[a] > real_counts[b]; });
  LevelChart chart;
  chart.missing_real = static_cast<double>(real.missing) / real_rows;
  chart.missing_synthetic = static_cast<double>(synthetic.missing) / synthetic_rows;
  chart.other_synthetic = static_cast<double>(synthetic_counts[schema.levels.size()]) / synthetic_rows;
  for (size_t i = 0; i < order.size(); ++i) {
    const double real_share = static_cast<double>(real_counts[order[i]]) / real_rows;
    const double synthetic_share = static_cast<double>(synthetic_counts[order[i]]) / synthetic_rows;
    if (i < kChartLevels) {
      chart.levels.push_back(schema.levels[order[i]]);
      chart.real.push_back(real_share);
      chart.synthetic.push_back(synthetic_share);
    } else {
      chart.other_real += real_share;
      chart.other_synthetic += synthetic_share;
    }
  }
  return chart;
}

void score_continuous(const PreparedColumn& real, const PreparedColumn& synthetic, ColumnEvaluation& column) {
  column.metric = "KSComplement";
  column.shape_score = ks_complement(real.keys, synthetic.keys);
  const double range = real.maximum - real.minimum;
  if (range > 0) {
    // Python's max(undefined, 0) keeps the undefined: no synthetic value covers nothing that could be measured.
    const double below = (synthetic.minimum - real.minimum) / range, above = (real.maximum - synthetic.maximum) / range;
    if (!std::isnan(below)) column.range_coverage = std::max(1 - (std::max(below, 0.0) + std::max(above, 0.0)), 0.0);
  }
  const int64_t considered = real.missing > 0 ? synthetic.rows - synthetic.missing : synthetic.rows;
  if (considered == 0) return;
  int64_t within = 0;
  for (const double value : synthetic.values) within += value >= real.minimum && value <= real.maximum;
  column.boundary_adherence = static_cast<double>(within) / static_cast<double>(considered);
}

void score_discrete(const ColumnSchema& schema, const PreparedColumn& real, const PreparedColumn& synthetic,
                    ColumnEvaluation& column) {
  column.metric = "TVComplement";
  const std::vector<int64_t> real_counts = count_codes(real), synthetic_counts = count_codes(synthetic);
  const auto real_present = static_cast<double>(real.rows - real.missing);
  const auto synthetic_present = static_cast<double>(synthetic.rows - synthetic.missing);
  const size_t levels = schema.levels.size();
  double variation = 0;
  int64_t real_levels = 0, covered = 0, adherent = real.missing > 0 ? synthetic.missing : 0;
  for (size_t level = 0; level <= levels; ++level) {  // the last one: unseen
    variation += std::abs(static_cast<double>(real_counts[level]) / real_present -
                          static_cast<double>(synthetic_counts[level]) / synthetic_present);
    real_levels += real_counts[level] > 0;
    covered += real_counts[level] > 0 && synthetic_counts[level] > 0;
    if (real_counts[level] > 0)
      adherent += synthetic_counts[level];
    else
      column.unseen_rows += synthetic_counts[level];
  }
  if (real_present > 0 && synthetic_present > 0) column.shape_score = 1 - 0.5 * variation;
  if (real_levels > 0) column.category_coverage = static_cast<double>(covered) / static_cast<double>(real_levels);
  column.category_adherence = static_cast<double>(adherent) / static_cast<double>(synthetic.rows);
}

// Pearson's r over the rows in which both have a value.
double correlation(const PreparedColumn& first, const PreparedColumn& second) {
  if (first.minimum == first.maximum || second.minimum == second.maximum) return kUndefined;
  if (first.missing == 0 && second.missing == 0) {
    double product = 0;
    for (int64_t row = 0; row < first.rows; ++row) product += first.centred[row] * second.centred[row];
    return std::clamp(product / (first.norm * second.norm), -1.0, 1.0);
  }
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
  return std::clamp(xy / (std::sqrt(xx) * std::sqrt(yy)), -1.0, 1.0);
}

// The rows of each combination of two columns' codes: cell first * code_count(second) + second. Cells without rows are
// left out where the table is large.
struct Contingency {
  std::vector<std::pair<int64_t, int64_t>> cells;  // cell and count, ascending
};

Contingency count_pairs(const PreparedColumn& first, const PreparedColumn& second) {
  const int64_t width = second.code_count, cells = first.code_count * width;
  Contingency counted;
  if (cells <= kDenseCells) {
    // Two arrays taken in turn: neighbouring rows are often equal, and an increment waits for the one before it.
    std::vector<int32_t> even(cells), odd(cells);
    int64_t row = 0;
    for (; row + 1 < first.rows; row += 2) {
      ++even[first.codes[row] * width + second.codes[row]];
      ++odd[first.codes[row + 1] * width + second.codes[row + 1]];
    }
    if (row < first.rows) ++even[first.codes[row] * width + second.codes[row]];
    for (int64_t cell = 0; cell < cells; ++cell)
      if (even[cell] + odd[cell] > 0) counted.cells.emplace_back(cell, int64_t{even[cell]} + odd[cell]);
    return counted;
  }
  std::vector<uint64_t> keys(first.rows);
  for (int64_t row = 0; row < first.rows; ++row)
    keys[row] = static_cast<uint64_t>(first.codes[row] * width + second.codes[row]);
  sort_keys(keys);
  for (const uint64_t key : keys) {
    const auto cell = static_cast<int64_t>(key);
    if (counted.cells.empty() || counted.cells.back().first != cell) counted.cells.emplace_back(cell, 0);
    ++counted.cells.back().second;
  }
  return counted;
}

// Cramer's V without correction: sqrt(chi2 / n / (min(rows, columns) - 1)), with sum(o^2 / e) - n for chi2.
double cramers_v(const Contingency& counted, const PreparedColumn& first, const PreparedColumn& second) {
  const int64_t width = second.code_count;
  std::vector<int64_t> row_sums(first.code_count), column_sums(width);
  for (const auto& [cell, count] : counted.cells) {
    row_sums[cell / width] += count;
    column_sums[cell % width] += count;
  }
  const auto used = [](const std::vector<int64_t>& sums) {
    return std::count_if(sums.begin(), sums.end(), [](int64_t sum) { return sum > 0; });
  };
  const auto smaller = std::min(used(row_sums), used(column_sums));
  if (smaller < 2) return kUndefined;
  double squares = 0;
  for (const auto& [cell, count] : counted.cells) {
    const auto observed = static_cast<double>(count);
    squares += observed * observed / static_cast<double>(row_sums[cell / width]) /
               static_cast<double>(column_sums[cell % width]);
  }
  return std::sqrt(std::max(0.0, squares - 1) / static_cast<double>(smaller - 1));
}

// 1 - half the summed differences of the cells' shares.
double contingency_similarity(const Contingency& real, int64_t real_rows, const Contingency& synthetic,
                              int64_t synthetic_rows) {
  double variation = 0;
  auto i = real.cells.begin(), j = synthetic.cells.begin();
  while (i != real.cells.end() || j != synthetic.cells.end()) {
    const bool in_real = i != real.cells.end() && (j == synthetic.cells.end() || i->first <= j->first);
    const bool in_synthetic = j != synthetic.cells.end() && (i == real.cells.end() || j->first <= i->first);
    const double real_share = in_real ? static_cast<double>((i++)->second) / static_cast<double>(real_rows) : 0;
    const double synthetic_share =
        in_synthetic ? static_cast<double>((j++)->second) / static_cast<double>(synthetic_rows) : 0;
    variation += std::abs(real_share - synthetic_share) / 2;
  }
  return 1 - variation;
}

void score_correlation(const PreparedColumn& real_first, const PreparedColumn& real_second,
                       const PreparedColumn& synthetic_first, const PreparedColumn& synthetic_second,
                       PairEvaluation& pair) {
  pair.metric = "CorrelationSimilarity";
  pair.real_correlation = correlation(real_first, real_second);
  pair.synthetic_correlation = correlation(synthetic_first, synthetic_second);
  // SDMetrics leaves out a real correlation of exactly 0 even without a threshold.
  if (std::abs(pair.real_correlation) > 0 && !std::isnan(pair.synthetic_correlation))
    pair.trend_score = 1 - std::abs(pair.real_correlation - pair.synthetic_correlation) / 2;
  pair.meets_threshold = std::abs(pair.real_correlation) > kRealCorrelationThreshold;
}

void score_contingency(const PreparedColumn& real_first, const PreparedColumn& real_second,
                       const PreparedColumn& synthetic_first, const PreparedColumn& synthetic_second,
                       PairEvaluation& pair) {
  pair.metric = "ContingencySimilarity";
  const Contingency real = count_pairs(real_first, real_second);
  const Contingency synthetic = count_pairs(synthetic_first, synthetic_second);
  pair.trend_score = contingency_similarity(real, real_first.rows, synthetic, synthetic_first.rows);
  pair.real_association = cramers_v(real, real_first, real_second);
  pair.synthetic_association = cramers_v(synthetic, synthetic_first, synthetic_second);
  pair.meets_threshold = pair.real_association > kRealAssociationThreshold;
}

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

ColumnEvaluation score_column(const ColumnSchema& schema, ColumnShape shape, const PreparedColumn& real,
                              const PreparedColumn& synthetic) {
  ColumnEvaluation column;
  column.name = schema.name;
  column.kind = schema.kind;
  column.unit = schema.unit;
  column.shape = shape;
  column.missing_share_real = static_cast<double>(real.missing) / static_cast<double>(real.rows);
  column.missing_share_synthetic = static_cast<double>(synthetic.missing) / static_cast<double>(synthetic.rows);
  column.missing_value_similarity = 1 - std::abs(column.missing_share_real - column.missing_share_synthetic);
  if (shape == ColumnShape::kContinuous) {
    score_continuous(real, synthetic, column);
    column.density = chart_density(schema, real, synthetic);
  } else if (shape == ColumnShape::kDiscrete) {
    score_discrete(schema, real, synthetic, column);
    column.level_shares = chart_levels(schema, real, synthetic);
  }
  return column;
}

}  // namespace

Evaluation evaluate_quality(const TableSchema& schema, const Table& real, const Table& synthetic) {
  if (real.rows == 0 || synthetic.rows == 0)
    throw InputError(std::string("the ") + (real.rows == 0 ? "real" : "synthetic") + " table has no rows to evaluate");
  Evaluation evaluation;
  evaluation.real_rows = real.rows;
  evaluation.synthetic_rows = synthetic.rows;
  std::vector<PreparedColumn> reals, synthetics;
  for (size_t j = 0; j < schema.columns.size(); ++j) {
    const ColumnShape shape = shape_of(schema.columns[j]);
    reals.push_back(prepare(schema.columns[j], shape, real, j));
    synthetics.push_back(prepare(schema.columns[j], shape, synthetic, j));
    evaluation.columns.push_back(score_column(schema.columns[j], shape, reals[j], synthetics[j]));
  }
  const auto& columns = evaluation.columns;
  for (size_t i = 0; i < columns.size(); ++i) {
    for (size_t j = i + 1; j < columns.size(); ++j) {
      if (columns[i].shape == ColumnShape::kSkipped || columns[j].shape == ColumnShape::kSkipped) continue;
      PairEvaluation pair;
      pair.first = i;
      pair.second = j;
      const bool both = columns[i].shape == ColumnShape::kContinuous && columns[j].shape == ColumnShape::kContinuous;
      (both ? score_correlation : score_contingency)(reals[i], reals[j], synthetics[i], synthetics[j], pair);
      evaluation.pairs.push_back(pair);
    }
  }
  add_totals(evaluation);
  add_correlation_matrices(evaluation);
  for (const ColumnEvaluation& column : columns) {
    if (column.unseen_rows > 0)
      evaluation.notes.push_back(std::to_string(column.unseen_rows) + " synthetic rows of column '" + column.name +
                                 "' have a level that the real table does not");
  }
  return evaluation;
}

}  // namespace doppel
