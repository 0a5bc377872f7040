#include "engine/models/mixture/mixture_recipe.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "engine/models/alias_table.h"
#include "engine/models/marginals.h"
#include "engine/models/score_axis.h"
#include "engine/models/triangular.h"
#include "kernels/common/error.h"
#include "kernels/common/half.h"

namespace doppel {
namespace {

constexpr int64_t kFewStates = 8;  // of a node, whose alias entries are then a cache line

// A weight as samplers hold it: rounded to half precision, 0.02 % on average, where members are known from a few rows
// to a few thousand each. Half the memory: a thousand members stay in a core's cache.
float sampled_weight(double weight) {
  return float_of_half(half_of_float(static_cast<float>(weight)));
}

// [axes, components] of a member.
std::vector<double> factor_of(const MixtureParameters& parameters, int64_t member) {
  const int64_t axes = parameters.axes, size = axes * (parameters.is_low_rank() ? parameters.rank : axes);
  const std::vector<double>& from = parameters.is_low_rank() ? parameters.factor : parameters.covariance;
  std::vector<double> factor(from.begin() + member * size, from.begin() + (member + 1) * size);
  if (!parameters.is_low_rank() && !factorise(factor, axes))
    throw Error("mixture: a covariance is not positive definite");
  return factor;
}

// What a row may draw at a node: the states seen there and, for all others, the node above. Where the others are few,
// all states: then nothing is drawn twice, and balanced rows (kernels/table.h) share out the others, too.
std::vector<Outcome> outcomes_of(const MixtureParameters& parameters, size_t variable, int64_t node) {
  const EmissionTree& tree = parameters.emissions[variable];
  std::vector<Outcome> outcomes;
  const int64_t seen = tree.first[node + 1] - tree.first[node];
  if (tree.up[node] > 0 && tree.states <= std::max(kFewStates, 2 * seen)) {
    const std::vector<double> probability = state_probabilities(parameters, variable, node);
    for (int32_t state = 0; state < tree.states; ++state)
      if (probability[state] > 0) outcomes.push_back({state, probability[state]});
    return outcomes;
  }
  for (int64_t e = tree.first[node]; e < tree.first[node + 1]; ++e)
    outcomes.push_back({tree.state[e], tree.probability[e]});
  if (tree.up[node] > 0) outcomes.push_back({Emission::kAbove, tree.up[node]});
  return outcomes;
}

Emission make_emission(const MixtureParameters& parameters, size_t variable) {
  Emission emission;
  emission.states = parameters.emissions[variable].states;
  emission.first.push_back(0);
  for (int64_t node = 0; node < parameters.nodes(); ++node) {
    emission.above.push_back(static_cast<int32_t>(parameters.above(node)));
    append_alias(outcomes_of(parameters, variable, node), emission.table);
    emission.first.push_back(static_cast<int64_t>(emission.table.threshold.size()));
  }
  return emission;
}

// The mixture's distribution of one latent among the rows where it counts.
class AxisDistribution {
 public:
  AxisDistribution(const MixtureSpace& space, const MixtureParameters& parameters, size_t axis) {
    const int32_t variable = space.axes[axis].variable;
    double total = 0;
    for (int64_t m = 0; m < parameters.members; ++m) {
      double share = parameters.weight[m];
      if (variable >= 0) share *= latent_probability(space, parameters, axis, m);
      weight_.push_back(share);
      total += share;
      mean_.push_back(parameters.mean[m * parameters.axes + axis]);
      deviation_.push_back(std::sqrt(parameters.variance(m, static_cast<int64_t>(axis))));
    }
    for (double& weight : weight_) weight /= total;
  }

  // Where the share below is that of a standard normal at `score`, from the nearer end: by Newton's method on the
  // logarithm of that end's share, and by halves where that leaves what is known to hold the place.
  double quantile(double score) const {
    if (!std::isfinite(score)) return score;
    constexpr int kMostSteps = 60;
    constexpr double kPrecision = 1e-11;
    const double sign = score > 0 ? -1 : 1, goal = std::log(normal_cdf(sign * score));
    double low = -double{kScoreLimit}, high = kScoreLimit, z = std::clamp(score, low, high);
    for (int step = 0; step < kMostSteps && high - low > kPrecision; ++step) {
      const auto [share, density] = share_at(z, sign);
      const double excess = share > 0 ? sign * (std::log(share) - goal) : -sign;  // grows with z
      (excess > 0 ? high : low) = z;
      const double next = density > 0 ? z - excess * share / density : low;
      const double before = std::exchange(z, low < next && next < high ? next : 0.5 * (low + high));
      if (std::abs(z - before) < kPrecision) break;
    }
    return z;
  }

 private:
  static double latent_probability(const MixtureSpace& space, const MixtureParameters& parameters, size_t axis,
                                   int64_t m) {
    const auto v = static_cast<size_t>(space.axes[axis].variable);
    const MixtureVariable& variable = space.variables[v];
    const std::vector<double> probability = state_probabilities(parameters, v, m);
    const size_t columns = variable.columns.size();
    double sum = 0;
    for (int32_t s = 0; s < variable.states; ++s)
      for (size_t c = 0; c < columns; ++c)
        if (variable.columns[c].column == space.axes[axis].column &&
            variable.columns[c].parts[variable.parts_of_state[s * columns + c]].role == StateRole::kLatent)
          sum += probability[s];
    return sum;
  }
  struct Share {
    double share, density;
  };
  // The share below z (sign 1) or above (sign -1), and the density.
  Share share_at(double z, double sign) const {
    constexpr double kInverseRootTwoPi = 0.39894228040143267794;
    Share found{0, 0};
    for (size_t m = 0; m < weight_.size(); ++m) {
      const double y = (z - mean_[m]) / deviation_[m];
      found.share += weight_[m] * normal_cdf(sign * y);
      found.density += weight_[m] / deviation_[m] * kInverseRootTwoPi * std::exp(-0.5 * y * y);
    }
    return found;
  }
  std::vector<double> weight_, mean_, deviation_;
};

// Moves a column's segments along the axis. Those that lose their room give it to the next.
void move_segments(const std::function<double(double)>& place, ColumnSampler& column) {
  const ColumnSampler old = column;
  const size_t n = old.lower.size();
  std::vector<float> lower(n);
  for (size_t s = 0; s < n; ++s) lower[s] = s == 0 ? -kScoreLimit : static_cast<float>(place(old.lower[s]));
  column.lower.clear(), column.base.clear(), column.width.clear(), column.scale.clear();
  column.real_base.clear(), column.real_top.clear(), column.real_slope.clear();
  const auto top = static_cast<float>(place(normal_quantile(1 - 1e-6)));
  for (size_t s = 0; s < n; ++s) {
    const float from = column.lower.empty() ? -kScoreLimit : lower[s];
    const float to = s + 1 < n ? lower[s + 1] : kScoreLimit;
    if (!(from < to)) continue;
    // The outermost segments reach to the ends of the axis, where hardly a row falls: their values spread over the
    // part that holds all but a millionth.
    const double length =
        std::max(1e-6, static_cast<double>(s + 1 < n ? to : std::max(top, from)) - static_cast<double>(from));
    column.lower.push_back(from);
    if (is_integer(old.storage)) {
      column.base.push_back(old.base[s]);
      column.width.push_back(old.width[s]);
      column.scale.push_back(static_cast<double>(old.width[s]) / length);
    } else {
      column.real_base.push_back(old.real_base[s]);
      column.real_top.push_back(old.real_top[s]);
      column.real_slope.push_back(old.real_top[s] > old.real_base[s] ? (old.real_top[s] - old.real_base[s]) / length
                                                                     : 0);
    }
  }
}

// A number's distribution without what its variable holds.
ColumnProfile continuous_part(const ColumnProfile& profile, const LatentAxis& axis) {
  ColumnProfile part = profile;
  Distribution& values = part.distribution;
  values.quanta.clear(), values.reals.clear(), values.counts.clear();
  for (size_t p = 0; p + 1 < axis.cumulative.size(); ++p) {
    if (!(axis.cumulative[p] < axis.cumulative[p + 1])) continue;
    if (!profile.distribution.quanta.empty()) values.quanta.push_back(profile.distribution.quanta[p]);
    if (!profile.distribution.reals.empty()) values.reals.push_back(profile.distribution.reals[p]);
    values.counts.push_back(profile.distribution.counts[p]);
  }
  return part;
}

// What the variable's states mean to its column number `member`.
void set_states(const ColumnSchema& schema, const Distribution& distribution, const MixtureVariable& variable,
                size_t member, ColumnSampler& column) {
  for (int32_t s = 0; s < variable.states; ++s) {
    const ColumnPart& part = variable.part(s, member);
    const bool has_value = part.role == StateRole::kValue;
    column.state_role.push_back(part.role);
    if (!is_integer(column.storage)) {
      column.state_real.push_back(has_value ? distribution.reals[part.position] : 0);
    } else if (is_numeric(schema.kind)) {
      column.state_integer.push_back(has_value ? distribution.quanta[part.position] : 0);
    } else {
      column.state_integer.push_back(has_value ? part.position : 0);
    }
  }
}

}  // namespace

void add_columns(const TableProfile& profile, const MixtureSpace& space, const ScorePlace& place, TableRecipe& recipe) {
  std::vector<int32_t> axis_of(profile.columns.size(), -1);
  std::vector<std::pair<int32_t, size_t>> variable_of(profile.columns.size(), {-1, 0});
  for (size_t a = 0; a < space.axes.size(); ++a) axis_of[space.axes[a].column] = static_cast<int32_t>(a);
  for (size_t v = 0; v < space.variables.size(); ++v)
    for (size_t c = 0; c < space.variables[v].columns.size(); ++c)
      variable_of[space.variables[v].columns[c].column] = {static_cast<int32_t>(v), c};
  for (size_t c = 0; c < profile.columns.size(); ++c) {
    const ColumnSchema& schema = profile.schema.columns[c];
    const auto [variable, member] = variable_of[c];
    if (!has_values(schema.kind) && variable < 0) continue;
    ColumnSampler column;
    if (axis_of[c] >= 0) {
      column = make_marginal(schema, continuous_part(profile.columns[c], space.axes[axis_of[c]]), {});
      move_segments([&](double score) { return place(static_cast<size_t>(axis_of[c]), score); }, column);
      column.latent = axis_of[c];
    } else if (variable < 0) {
      column = make_marginal(schema, profile.columns[c], std::vector<int32_t>{0});
    }
    column.storage = storage_of(schema, profile.columns[c].distribution);
    if (variable >= 0) {
      column.emission = variable;
      set_states(schema, profile.columns[c].distribution, space.variables[variable], member, column);
    }
    recipe.sampler.columns.push_back(std::move(column));
    recipe.sampled.push_back(static_cast<int32_t>(c));
  }
}

void add_members(const MixtureParameters& parameters, TableSampler& sampler) {
  const int64_t members = parameters.members, axes = parameters.axes;
  const int64_t components = parameters.is_low_rank() ? parameters.rank : axes;
  sampler.members = static_cast<int32_t>(members);
  sampler.latents = static_cast<int32_t>(std::max<int64_t>(axes, 1));
  sampler.components = static_cast<int32_t>(components);
  sampler.residual.assign(members * sampler.latents, 0);
  sampler.mean.assign(members * sampler.latents, 0);
  std::vector<Outcome> outcomes;
  for (int64_t m = 0; m < members; ++m) {
    outcomes.push_back({static_cast<int32_t>(m), parameters.weight[m]});
    const std::vector<double> factor = factor_of(parameters, m);
    for (const double weight : factor) sampler.factor.push_back(sampled_weight(weight));
    for (int64_t i = 0; i < axes; ++i) {
      sampler.mean[m * sampler.latents + i] = sampled_weight(parameters.mean[m * axes + i]);
      if (parameters.is_low_rank())
        sampler.residual[m * sampler.latents + i] = static_cast<float>(std::sqrt(parameters.residual[m * axes + i]));
    }
  }
  append_alias(outcomes, sampler.member);
  sampler.balanced = true;
}

TableRecipe make_mixture_recipe(const TableProfile& profile, const MixtureSpace& space,
                                const MixtureParameters& parameters) {
  TableRecipe recipe = start_recipe(profile);
  add_members(parameters, recipe.sampler);
  for (size_t variable = 0; variable < parameters.emissions.size(); ++variable)
    recipe.sampler.emissions.push_back(make_emission(parameters, variable));
  std::vector<AxisDistribution> distributions;
  for (size_t a = 0; a < space.axes.size(); ++a) distributions.emplace_back(space, parameters, a);
  add_columns(
      profile, space, [&](size_t axis, double score) { return distributions[axis].quantile(score); }, recipe);
  return recipe;
}

}  // namespace doppel
