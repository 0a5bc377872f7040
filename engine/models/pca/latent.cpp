#include "engine/models/pca/latent.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/models/score_axis.h"

namespace doppel {
namespace {

constexpr double kCellShare = 1.0 / 1024;  // of coarsened cells, smaller towards the tails
constexpr double kCellTailShare = 0.05;

// Weighted mean and deviation; numbers that are not finite count as the nearest finite one.
std::vector<double> standardise(std::vector<double> values, const std::vector<int64_t>& counts, double& mean,
                                double& deviation) {
  double least = INFINITY, greatest = -INFINITY, weight = 0, sum = 0, squares = 0;
  for (const double value : values)
    if (std::isfinite(value)) least = std::min(least, value), greatest = std::max(greatest, value);
  if (!(least <= greatest)) least = greatest = 0;
  for (double& value : values) value = std::isnan(value) ? 0 : std::clamp(value, least, greatest);
  for (size_t i = 0; i < values.size(); ++i) weight += static_cast<double>(counts[i]);
  for (size_t i = 0; i < values.size(); ++i) sum += values[i] * (static_cast<double>(counts[i]) / weight);
  const double scale = std::max(std::abs(least - sum), std::abs(greatest - sum));  // squares must not overflow
  if (scale > 0)
    for (size_t i = 0; i < values.size(); ++i)
      squares += (values[i] - sum) / scale * ((values[i] - sum) / scale) * (static_cast<double>(counts[i]) / weight);
  mean = sum;
  deviation = scale * std::sqrt(squares);
  for (double& value : values) value = deviation > 0 ? (value - mean) / deviation : 0;
  return values;
}

Latent make_value_latent(size_t column, const TableProfile& profile) {
  const ColumnSchema& schema = profile.schema.columns[column];
  const Distribution& distribution = profile.columns[column].distribution;
  Latent latent;
  latent.column = column;
  if (is_discrete(schema.kind)) {
    std::vector<int32_t> order(schema.levels.size());
    std::iota(order.begin(), order.end(), 0);
    set_order(latent, profile.columns[column].level_counts, std::move(order));
    return latent;
  }
  latent.is_number = true;
  latent.boundaries = score_boundaries(distribution.counts);
  latent.score = mean_scores(latent.boundaries);
  std::vector<double> values = distribution.reals;
  if (values.empty()) values.assign(distribution.quanta.begin(), distribution.quanta.end());
  latent.value = standardise(std::move(values), distribution.counts, latent.mean, latent.deviation);
  return latent;
}

Latent make_missingness_latent(size_t column, const TableProfile& profile) {
  Latent latent;
  latent.column = column;
  latent.is_missingness = true;
  latent.boundaries = score_boundaries(position_counts(latent, profile));
  latent.score = mean_scores(latent.boundaries);
  return latent;
}

// Consecutive cells put together as long as they hold little.
struct CoarseCells {
  std::vector<double> boundaries;
  std::vector<std::pair<size_t, size_t>> members;  // [first, last) fine cells
};

CoarseCells coarsen(const std::vector<double>& boundaries, const std::vector<double>& cumulative) {
  CoarseCells coarse;
  coarse.boundaries.push_back(boundaries.front());
  for (size_t first = 0; first < cumulative.size();) {
    const double start = first == 0 ? 0 : cumulative[first - 1];
    size_t end = first + 1;
    while (end < cumulative.size()) {
      const double middle = 0.5 * (start + cumulative[end]);
      if (cumulative[end] - start > std::min(kCellShare, kCellTailShare * std::min(middle, 1 - middle))) break;
      ++end;
    }
    coarse.members.emplace_back(first, end);
    coarse.boundaries.push_back(boundaries[end]);
    first = end;
  }
  return coarse;
}

}  // namespace

std::vector<int64_t> position_counts(const Latent& latent, const TableProfile& profile) {
  const ColumnProfile& column = profile.columns[latent.column];
  if (latent.is_missingness) return {profile.rows - column.present, column.present};
  return is_discrete(profile.schema.columns[latent.column].kind) ? column.level_counts : column.distribution.counts;
}

void set_order(Latent& latent, const std::vector<int64_t>& level_counts, std::vector<int32_t> order) {
  std::vector<int64_t> ordered;
  for (const int32_t code : order) ordered.push_back(level_counts[code]);
  latent.boundaries = score_boundaries(ordered);
  const std::vector<double> scores = mean_scores(latent.boundaries);
  latent.score.assign(order.size(), 0);
  for (size_t i = 0; i < order.size(); ++i) latent.score[order[i]] = scores[i];
  latent.order = std::move(order);
}

std::vector<Latent> make_latents(const TableProfile& profile) {
  std::vector<Latent> latents;
  for (size_t c = 0; c < profile.columns.size(); ++c) {
    const ColumnKind kind = profile.schema.columns[c].kind;
    if ((is_numeric(kind) || is_discrete(kind)) && profile.columns[c].present > 0)
      latents.push_back(make_value_latent(c, profile));
  }
  for (size_t c = 0; c < profile.columns.size(); ++c) {
    const int64_t present = profile.columns[c].present;
    if (present > 0 && present < profile.rows && profile.schema.columns[c].kind != ColumnKind::kEmpty)
      latents.push_back(make_missingness_latent(c, profile));
  }
  return latents;
}

void fill_functions(Latent& latent, const TableProfile& profile) {
  std::vector<int64_t> counts = position_counts(latent, profile);
  std::vector<size_t> position(counts.size());  // of each cell
  std::iota(position.begin(), position.end(), size_t{0});
  if (!latent.order.empty()) position.assign(latent.order.begin(), latent.order.end());
  const auto total = static_cast<double>(std::accumulate(counts.begin(), counts.end(), int64_t{0}));
  std::vector<double> cumulative;
  int64_t below = 0;
  for (const size_t p : position) cumulative.push_back(static_cast<double>(below += counts[p]) / total);

  const CoarseCells coarse = coarsen(latent.boundaries, cumulative);
  const std::vector<double> coefficients = hermite_coefficients(coarse.boundaries, kHermiteTerms);
  const auto fill = [&](CellFunction& function, auto level_at) {
    function = CellFunction{};
    function.series.assign(kHermiteTerms + 1, 0);
    double mean = 0;
    for (size_t cell = 0; cell < coarse.members.size(); ++cell) {
      const auto [first, end] = coarse.members[cell];
      const double start = first == 0 ? 0 : cumulative[first - 1], share = cumulative[end - 1] - start;
      double level = 0;
      for (size_t i = first; i < end; ++i)
        if (counts[position[i]] > 0)
          level += level_at(position[i]) * (static_cast<double>(counts[position[i]]) / (share * total));
      function.cumulative.push_back(cumulative[end - 1]);
      function.level.push_back(level);
      mean += share * level;
      function.variance += share * level * level;
      for (int k = 0; k <= kHermiteTerms; ++k)
        function.series[k] += level * coefficients[cell * (kHermiteTerms + 1) + k];
    }
    for (double& level : function.level) level -= mean;
    function.variance = std::max(0.0, function.variance - mean * mean);
  };
  fill(latent.score_function, [&](size_t p) { return latent.score[p]; });
  if (!latent.is_number) return;
  fill(latent.value_function, [&](size_t p) { return latent.value[p]; });
  fill(latent.square_function, [&](size_t p) { return latent.value[p] * latent.value[p]; });
}

void look_up(const Latent& latent, const std::vector<double>& by_position, const EncodedRows& block, double* values,
             double* present) {
  const int32_t* positions = block.column(latent.column);
  for (int64_t row = 0; row < block.rows; ++row) {
    const bool is_there = positions[row] != kMissingPosition;
    if (latent.is_missingness) {
      values[row] = by_position[is_there];
      present[row] = 1;
    } else {
      values[row] = is_there ? by_position[positions[row]] : 0;
      present[row] = is_there;
    }
  }
}

}  // namespace doppel
