// Shapes and single-column scores by SDMetrics' definitions, and charts.
#include <cmath>
#include <numeric>

#include "engine/evaluation/compared_column.h"

namespace doppel {
namespace {

constexpr int kChartBins = 40;
constexpr size_t kChartLevels = 20;

// 1 - the largest distance between the two empirical distribution functions.
double ks_complement(const SortedNumbers& real, const SortedNumbers& synthetic) {
  if (real.empty() || synthetic.empty()) return kUndefined;
  const auto real_count = static_cast<double>(real.size()), synthetic_count = static_cast<double>(synthetic.size());
  double distance = 0;
  size_t i = 0, j = 0;
  while (i < real.size() && j < synthetic.size()) {
    const int64_t value = std::min(real.key_to_compare(i), synthetic.key_to_compare(j));
    while (i < real.size() && real.key_to_compare(i) == value) ++i;
    while (j < synthetic.size() && synthetic.key_to_compare(j) == value) ++j;
    distance =
        std::max(distance, std::abs(static_cast<double>(i) / real_count - static_cast<double>(j) / synthetic_count));
  }
  return 1 - distance;
}

// Of the values of both, which are more than `skipped`, the one before which so many others come in its order:
// ascending, or descending.
double value_after(size_t skipped, bool ascending, const SortedNumbers& a, const SortedNumbers& b) {
  const auto place = [&](const SortedNumbers& of, size_t i) { return ascending ? i : of.size() - 1 - i; };
  size_t i = 0, j = 0;
  while (true) {
    bool from_a = j == b.size();
    if (i < a.size() && j < b.size()) {
      const int64_t key_a = a.key(place(a, i)), key_b = b.key(place(b, j));
      from_a = ascending ? key_a <= key_b : key_a >= key_b;
    }
    if (i + j == skipped) return from_a ? a.value(place(a, i)) : b.value(place(b, j));
    (from_a ? i : j) += 1;
  }
}

std::vector<double> chart_edges(const ColumnSchema& schema, const SortedNumbers& real, const SortedNumbers& synthetic) {
  // The outermost 0.2 % do not stretch the axis.
  const size_t tail = (real.size() + synthetic.size()) / 500;
  double low = value_after(tail, true, real, synthetic), high = value_after(tail, false, real, synthetic);
  std::vector<double> edges;
  if (schema.kind == ColumnKind::kInteger) {  // bins of equally many whole numbers
    const double width = std::max(1.0, std::ceil((high - low + 1) / kChartBins));
    const auto bins = static_cast<int>(std::clamp(std::ceil((high - low + 1) / width), 1.0, double{kChartBins}));
    for (int i = 0; i <= bins; ++i) edges.push_back(low - 0.5 + i * width);
  } else {
    if (low == high) low -= 0.5, high += 0.5;
    for (int i = 0; i <= kChartBins; ++i) edges.push_back(low + (high - low) * i / kChartBins);
  }
  return edges;
}

std::vector<double> shares_of_bins(const SortedNumbers& numbers, const std::vector<double>& edges) {
  const auto bins = static_cast<int64_t>(edges.size()) - 1;
  const double width = (edges.back() - edges.front()) / static_cast<double>(bins);
  std::vector<double> shares;
  int64_t before = 0;
  for (int64_t bin = 0; bin < bins; ++bin) {
    const int64_t end =
        numbers.count_before([&](double value) { return to_bin((value - edges.front()) / width, bins - 1) <= bin; });
    shares.push_back(numbers.empty() ? 0 : static_cast<double>(end - before) / static_cast<double>(numbers.size()));
    before = end;
  }
  return shares;
}

DensityChart chart_density(const ColumnSchema& schema, const SortedNumbers& real, const SortedNumbers& synthetic) {
  if (real.empty() && synthetic.empty()) return {};
  const std::vector<double> edges = chart_edges(schema, real, synthetic);
  return {edges, shares_of_bins(real, edges), shares_of_bins(synthetic, edges)};
}

LevelChart chart_levels(const ColumnSchema& schema, const ComparedColumn& real, const ComparedColumn& synthetic) {
  const std::vector<int64_t>&real_counts = real.counts, &synthetic_counts = synthetic.counts;
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

void score_continuous(const ComparedColumn& real, const ComparedColumn& synthetic, ColumnEvaluation& column) {
  column.metric = "KSComplement";
  column.shape_score = ks_complement(real.sorted, synthetic.sorted);
  const double range = real.maximum - real.minimum;
  if (range > 0) {
    // Python's max(undefined, 0) keeps the undefined: no synthetic value covers nothing that could be measured.
    const double below = (synthetic.minimum - real.minimum) / range, above = (real.maximum - synthetic.maximum) / range;
    if (!std::isnan(below)) column.range_coverage = std::max(1 - (std::max(below, 0.0) + std::max(above, 0.0)), 0.0);
  }
  const int64_t considered = real.missing > 0 ? synthetic.rows - synthetic.missing : synthetic.rows;
  if (considered == 0) return;
  const int64_t within = synthetic.sorted.count_before([&](double value) { return value <= real.maximum; }) -
                         synthetic.sorted.count_before([&](double value) { return value < real.minimum; });
  column.boundary_adherence = static_cast<double>(within) / static_cast<double>(considered);
}

void score_discrete(const ColumnSchema& schema, const ComparedColumn& real, const ComparedColumn& synthetic,
                    ColumnEvaluation& column) {
  column.metric = "TVComplement";
  const std::vector<int64_t>&real_counts = real.counts, &synthetic_counts = synthetic.counts;
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

}  // namespace

ColumnEvaluation score_column(const ColumnSchema& schema, const ComparedColumn& real, const ComparedColumn& synthetic) {
  ColumnEvaluation column;
  column.name = schema.name;
  column.kind = schema.kind;
  column.unit = schema.unit;
  column.shape = real.shape;
  column.missing_share_real = static_cast<double>(real.missing) / static_cast<double>(real.rows);
  column.missing_share_synthetic = static_cast<double>(synthetic.missing) / static_cast<double>(synthetic.rows);
  column.missing_value_similarity = 1 - std::abs(column.missing_share_real - column.missing_share_synthetic);
  if (real.shape == ColumnShape::kContinuous) {
    score_continuous(real, synthetic, column);
    column.density = chart_density(schema, real.sorted, synthetic.sorted);
  } else if (real.shape == ColumnShape::kDiscrete) {
    score_discrete(schema, real, synthetic, column);
    column.level_shares = chart_levels(schema, real, synthetic);
  }
  return column;
}

}  // namespace doppel
