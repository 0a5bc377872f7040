#include "engine/models/mixture/mixture_privacy.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "engine/models/mixture/mixture_recipe.h"
#include "engine/models/score_axis.h"
#include "engine/table/cells.h"
#include "engine/table/row_points.h"

namespace doppel {
namespace {

constexpr int64_t kDrawnPerCompared = 4;                                          // where few rows are compared
constexpr double kMostDifferences = double{kMostCompared * kMostCompared} * 128;  // of wide tables fewer rows
constexpr int64_t kBlocks = 32;  // of either set, that the standard error is found from
// Of fit_uniform, the last two and the variable or the axis.
constexpr uint32_t kUseTraining = 0x40000003u, kUseHeldOut = 0x40000004u, kUseMember = 0x40000005u;
constexpr uint32_t kUseState = 0x41000000u, kUseNormal = 0x42000000u;

// Rows as states and as the shares of each axis below them, where the latent counts.
struct PlacedRows {
  int64_t rows = 0;
  std::vector<int32_t> states;  // [rows, variables]
  std::vector<double> shares;   // [rows, axes]
};

// `most` rows, or all, any of them as likely as any other, in any order.
PlacedRows choose(const MixtureSpace& space, const RowsByPattern& from, int64_t most, uint64_t seed, uint32_t use) {
  struct Place {
    double key;
    const RowsOfPattern* pattern;
    int64_t row;
  };
  std::vector<Place> places;
  for (const RowsOfPattern& pattern : from)
    for (int64_t row = 0; row < pattern.rows; ++row)
      places.push_back({fit_uniform(seed, places.size(), use), &pattern, row});
  std::stable_sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.key < b.key; });
  places.resize(std::min<size_t>(places.size(), most));

  const size_t variables = space.variables.size(), axes = space.axes.size();
  PlacedRows chosen;
  chosen.rows = static_cast<int64_t>(places.size());
  chosen.shares.resize(places.size() * axes);
  double* shares = chosen.shares.data();
  for (const auto& [key, pattern, row] : places) {
    const int32_t* states = pattern->states.data() + row * variables;
    chosen.states.insert(chosen.states.end(), states, states + variables);
    const size_t here = pattern->present.size();
    for (size_t i = 0; i < here; ++i) shares[pattern->present[i]] = normal_cdf(pattern->latents[row * here + i]);
    shares += axes;
  }
  return chosen;
}

// Draws rows of a mixture.
class MixtureRowDrawer {
 public:
  MixtureRowDrawer(const MixtureSpace& space, const MixtureParameters& parameters, uint64_t seed)
      : parameters_(parameters), axes_(space.axes.size()), seed_(seed), member_(parameters.members) {
    add_members(parameters, sampler_);
    std::partial_sum(parameters.weight.begin(), parameters.weight.end(), member_.begin());
    for (const EmissionTree& tree : parameters.emissions) {
      std::vector<double>& cumulative = emission_.emplace_back(tree.probability.size());
      std::partial_sum(tree.probability.begin(), tree.probability.end(), cumulative.begin());
    }
  }

  PlacedRows draw(int64_t rows) const {
    PlacedRows drawn{rows, {}, {}};
    drawn.states.reserve(rows * emission_.size());
    std::vector<double> normal(sampler_.components);
    for (int64_t row = 0; row < rows; ++row) {
      const auto index = static_cast<uint64_t>(row);
      const double goal = fit_uniform(seed_, index, kUseMember) * member_.back();
      const int64_t m = std::min<int64_t>(std::upper_bound(member_.begin(), member_.end(), goal) - member_.begin(),
                                          parameters_.members - 1);
      for (size_t v = 0; v < emission_.size(); ++v) drawn.states.push_back(draw_state(v, m, index));
      for (size_t k = 0; k < normal.size(); ++k)
        normal[k] = normal_quantile(fit_uniform(seed_, index, kUseNormal + static_cast<uint32_t>(k)));
      for (size_t a = 0; a < axes_; ++a) drawn.shares.push_back(draw_latent(a, m, index, normal));
    }
    return drawn;
  }

 private:
  int32_t draw_state(size_t v, int64_t node, uint64_t row) const {
    const EmissionTree& tree = parameters_.emissions[v];
    double goal = fit_uniform(seed_, row, kUseState + static_cast<uint32_t>(v));
    for (;; node = parameters_.above(node)) {
      const auto first = emission_[v].begin() + tree.first[node], end = emission_[v].begin() + tree.first[node + 1];
      const double before = tree.first[node] == 0 ? 0 : *(first - 1);
      const auto found = std::upper_bound(first, end, before + goal);
      if (found != end) return tree.state[found - emission_[v].begin()];
      if (parameters_.above(node) < 0) return tree.state[tree.first[node + 1] - 1];
      // What is left of the uniform number is uniform below the share that the node above decides.
      const double own = first == end ? 0 : *(end - 1) - before;
      goal = std::clamp((goal - own) / tree.up[node], 0.0, 1.0);
    }
  }

  double draw_latent(size_t axis, int64_t m, uint64_t row, const std::vector<double>& normal) const {
    const size_t place = m * sampler_.latents + axis;
    double z = sampler_.mean[place];
    for (size_t k = 0; k < normal.size(); ++k)
      z += static_cast<double>(sampler_.factor[place * normal.size() + k]) * normal[k];
    if (sampler_.residual[place] > 0)
      z += sampler_.residual[place] *
           normal_quantile(fit_uniform(seed_, row, kUseNormal + static_cast<uint32_t>(normal.size() + axis)));
    return z;
  }

  const MixtureParameters& parameters_;
  size_t axes_;
  uint64_t seed_;
  TableSampler sampler_;  // the members alone
  std::vector<double> member_;
  std::vector<std::vector<double>> emission_;  // [variables] running sums of probabilities
};

// A column that rows differ in.
struct ComparedColumn {
  size_t column = 0;
  PointColumn point;
  int32_t axis = -1, variable = -1;
  size_t place = 0;  // in the variable
  double spread = 0;
};

class RowPlacer {
 public:
  RowPlacer(const TableProfile& profile, const MixtureSpace& space) : profile_(profile), space_(space) {
    for (size_t c = 0; c < profile.columns.size(); ++c) {
      const ColumnKind kind = profile.schema.columns[c].kind;
      if (!has_values(kind)) continue;
      ComparedColumn column{.column = c, .point = {.is_number = is_numeric(kind)}};
      for (size_t a = 0; a < space.axes.size(); ++a)
        if (space.axes[a].column == c) column.axis = static_cast<int32_t>(a);
      for (size_t v = 0; v < space.variables.size(); ++v)
        for (size_t i = 0; i < space.variables[v].columns.size(); ++i)
          if (space.variables[v].columns[i].column == c) column.variable = static_cast<int32_t>(v), column.place = i;
      if (column.axis < 0 && column.variable < 0) continue;
      if (column.point.is_number && !profile.columns[c].distribution.counts.empty()) {
        column.point.minimum = value_at(c, 0);
        column.point.range = value_at(c, profile.columns[c].distribution.counts.size() - 1) - column.point.minimum;
      }
      columns_.push_back(column);
    }
  }

  // The columns that differ most in these rows come first from now on (kernels/nearest.h).
  void order_by(const PlacedRows& rows) {
    for (ComparedColumn& column : columns_) {
      std::vector<float> places;
      for (int64_t row = 0; row < rows.rows; ++row) places.push_back(place(column, rows, row));
      column.spread = spread_of(places);
    }
    std::stable_sort(columns_.begin(), columns_.end(),
                     [](const ComparedColumn& a, const ComparedColumn& b) { return a.spread > b.spread; });
  }

  size_t columns() const { return columns_.size(); }
  std::vector<float> points(const PlacedRows& rows) const {
    std::vector<float> values;
    values.reserve(rows.rows * columns_.size());
    for (int64_t row = 0; row < rows.rows; ++row)
      for (const ComparedColumn& column : columns_) values.push_back(place(column, rows, row));
    return values;
  }

  // Shares of drawn latents become ranks among the rows where they count.
  void calibrate(PlacedRows& rows) const {
    const size_t axes = space_.axes.size();
    for (const ComparedColumn& column : columns_) {
      if (column.axis < 0) continue;
      std::vector<std::pair<double, int64_t>> order;
      for (int64_t row = 0; row < rows.rows; ++row)
        if (is_latent(column, rows, row)) order.emplace_back(rows.shares[row * axes + column.axis], row);
      std::sort(order.begin(), order.end());
      for (size_t i = 0; i < order.size(); ++i)
        rows.shares[order[i].second * axes + column.axis] =
            (static_cast<double>(i) + 0.5) / static_cast<double>(order.size());
    }
  }

 private:
  double value_at(size_t c, size_t position) const {
    const ColumnSchema& schema = profile_.schema.columns[c];
    const Distribution& distribution = profile_.columns[c].distribution;
    if (!is_numeric(schema.kind)) return static_cast<double>(position);
    if (!distribution.reals.empty()) return distribution.reals[position];
    return real_of(distribution.quanta[position], schema.kind == ColumnKind::kDecimal ? schema.decimals : 0);
  }

  // None: a state never seen.
  const ColumnPart* part_of(const ComparedColumn& column, const PlacedRows& rows, int64_t row) const {
    const int32_t state = rows.states[row * space_.variables.size() + column.variable];
    return state < 0 ? nullptr : &space_.variables[column.variable].part(state, column.place);
  }
  bool is_latent(const ComparedColumn& column, const PlacedRows& rows, int64_t row) const {
    if (column.variable < 0) return true;
    const ColumnPart* part = part_of(column, rows, row);
    return part != nullptr && part->role == StateRole::kLatent;
  }

  float place(const ComparedColumn& column, const PlacedRows& rows, int64_t row) const {
    if (is_latent(column, rows, row)) {
      const std::vector<double>& cumulative = space_.axes[column.axis].cumulative;
      const double share = rows.shares[row * space_.axes.size() + column.axis];
      const auto above = std::upper_bound(cumulative.begin() + 1, cumulative.end() - 1, share);
      return column.point.place(value_at(column.column, above - cumulative.begin() - 1));
    }
    const ColumnPart* part = part_of(column, rows, row);
    const bool has_value = part != nullptr && part->role == StateRole::kValue;
    return column.point.place(has_value ? value_at(column.column, part->position)
                                        : std::numeric_limits<double>::quiet_NaN());
  }

  const TableProfile& profile_;
  const MixtureSpace& space_;
  std::vector<ComparedColumn> columns_;
};

// Points in blocks by chance, each in ascending order.
std::vector<std::vector<float>> split(const std::vector<float>& points, size_t columns, size_t blocks) {
  std::vector<std::vector<float>> parts(blocks);
  for (size_t row = 0; row * columns < points.size(); ++row)
    parts[row % blocks].insert(parts[row % blocks].end(), points.begin() + row * columns,
                               points.begin() + (row + 1) * columns);
  for (std::vector<float>& part : parts) part = sort_points(part, columns);
  return parts;
}

// The nearest of all blocks.
struct Nearest {
  std::vector<float> distance;
  std::vector<int32_t> block;
};

Nearest find_nearest(const Backend& backend, const std::vector<float>& queries,
                     const std::vector<std::vector<float>>& blocks, size_t columns) {
  const auto width = static_cast<int64_t>(columns), rows = static_cast<int64_t>(queries.size()) / width;
  Nearest nearest{std::vector<float>(rows, std::numeric_limits<float>::infinity()), std::vector<int32_t>(rows)};
  for (size_t b = 0; b < blocks.size(); ++b) {
    const std::vector<float> found = backend.nearest_distances(
        {rows, width, queries}, {static_cast<int64_t>(blocks[b].size()) / width, width, blocks[b]});
    for (size_t i = 0; i < found.size(); ++i)
      if (found[i] < nearest.distance[i]) nearest.distance[i] = found[i], nearest.block[i] = static_cast<int32_t>(b);
  }
  return nearest;
}

double variance_of(const std::vector<double>& values) {
  const auto n = static_cast<double>(values.size());
  const double mean = std::accumulate(values.begin(), values.end(), 0.0) / n;
  double squares = 0;
  for (const double value : values) squares += (value - mean) * (value - mean);
  return squares / (n - 1);
}

}  // namespace

struct MixturePrivacy::Points {
  const MixtureSpace& space;
  uint64_t seed;
  const Backend& backend;
  RowPlacer placer;
  int64_t compared = 0;
  std::vector<std::vector<float>> training, held_out;  // [blocks]
};

MixturePrivacy::MixturePrivacy(const TableProfile& profile, const MixtureSpace& space, const RowSample& sample,
                               uint64_t seed, const Backend& backend) {
  auto points = std::make_unique<Points>(Points{space, seed, backend, RowPlacer(profile, space), 0, {}, {}});
  const auto compared_columns = static_cast<double>(std::max<size_t>(points->placer.columns(), 1));
  const auto affordable = static_cast<int64_t>(std::sqrt(kMostDifferences / compared_columns));
  points->compared = std::min({count_rows(sample.training), count_rows(sample.held_out), kMostCompared, affordable});
  const PlacedRows training = choose(space, sample.training, points->compared, seed, kUseTraining);
  const PlacedRows held_out = choose(space, sample.held_out, points->compared, seed, kUseHeldOut);
  points->placer.order_by(training);
  const size_t columns = points->placer.columns();
  const auto blocks = static_cast<size_t>(std::min(points->compared, kBlocks));
  if (columns > 0 && blocks > 1) {
    points->training = split(points->placer.points(training), columns, blocks);
    points->held_out = split(points->placer.points(held_out), columns, blocks);
  }
  points_ = std::move(points);
}
MixturePrivacy::~MixturePrivacy() = default;

NearerEstimate MixturePrivacy::measure(const MixtureParameters& parameters) const {
  const Points& points = *points_;
  if (points.training.empty()) return {};
  PlacedRows rows = MixtureRowDrawer(points.space, parameters, points.seed)
                        .draw(std::min(kDrawnPerCompared * points.compared, kMostCompared));
  points.placer.calibrate(rows);
  const size_t columns = points.placer.columns();
  const std::vector<float> queries = sort_points(points.placer.points(rows), columns);
  const Nearest training = find_nearest(points.backend, queries, points.training, columns);
  const Nearest held_out = find_nearest(points.backend, queries, points.held_out, columns);
  // Each row drawn is its nearest row's: what the blocks have of them varies as the share does.
  std::vector<double> of_training(points.training.size()), of_held_out(points.training.size());
  NearerEstimate estimate{.share = 0};
  for (size_t i = 0; i < training.distance.size(); ++i) {
    const double nearer = compare_distances({&training.distance[i], 1}, {&held_out.distance[i], 1}, columns).nearer /
                          static_cast<double>(rows.rows);
    estimate.share += nearer;
    of_training[training.block[i]] += nearer;
    of_held_out[held_out.block[i]] += 1 / static_cast<double>(rows.rows) - nearer;
  }
  const double variance = 0.5 * (variance_of(of_training) + variance_of(of_held_out));
  estimate.standard_error = std::sqrt(0.5 * static_cast<double>(of_training.size()) * variance);
  return estimate;
}

}  // namespace doppel
