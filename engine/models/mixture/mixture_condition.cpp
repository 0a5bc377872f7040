#include "engine/models/mixture/mixture_condition.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <string>

#include "engine/models/alias_table.h"
#include "engine/models/mixture/gaussian_rotation.h"
#include "engine/models/mixture/mixture_view.h"
#include "engine/models/mixture/tilted_normals.h"
#include "kernels/common/elementary.h"
#include "kernels/common/error.h"
#include "kernels/common/truncated_normal.h"

namespace doppel {
namespace {

constexpr double kNothing = -std::numeric_limits<double>::infinity();
constexpr size_t kMostCells = 1 << 20, kMostPatterns = 1 << 12, kMostNumbers = size_t{1} << 28;

[[noreturn]] void too_many_cells() {
  throw UsageError("--where: the conditions name too many separate values and ranges to be met together: name fewer");
}

// ---- the conditions in terms of the mixture

// States of a variable that bound the same latents.
struct StateClass {
  std::vector<int32_t> limits;  // ascending numbers of Question::limits
  std::vector<int32_t> states;
  std::vector<double> probability;  // [nodes]
};

// A condition on one column of the sampler.
struct ColumnQuestion {
  std::vector<bool> allows_part;  // of column.parts()
  LatentUse use = LatentUse::kForbidden;
  int32_t limit = -1;  // of kLimited
};

struct Question {
  std::vector<LatentLimit> limits;
  std::vector<int32_t> always;                     // limits of columns without a variable
  std::vector<std::vector<StateClass>> variables;  // one class of all states where there is no condition
};

class Questioner {
 public:
  Questioner(const MixtureView& view, const Conditions& conditions) : view_(view) {
    for (size_t c = 0; c < view.columns.size(); ++c)
      for (const ColumnCondition& condition : conditions)
        if (condition.column == static_cast<size_t>(view.recipe.sampled[c])) ask(c, condition);
    for (size_t v = 0; v < view.variables.size(); ++v) question_.variables.push_back(classes_of(v));
  }
  Question take() { return std::move(question_); }

 private:
  bool allows_part(size_t c, const MixtureColumn::Part& part, const ColumnCondition& condition) const {
    const ColumnSchema& schema = view_.recipe.schema.columns[condition.column];
    if (part.role == StateRole::kMissing) return condition.allows_missing;
    if (schema.kind == ColumnKind::kKey || schema.kind == ColumnKind::kText) return condition.allows_text;
    return is_integer(view_.columns[c].storage()) ? condition.allows(part.value.integer)
                                                  : condition.allows(part.value.real);
  }

  void ask(size_t c, const ColumnCondition& condition) {
    const MixtureColumn& column = view_.columns[c];
    const ColumnSampler& sampler = view_.recipe.sampler.columns[c];
    ColumnQuestion& asked = asked_[c];
    bool other_values = false;
    for (const MixtureColumn::Part& part : column.parts()) {
      const bool is_allowed = part.role != StateRole::kLatent && allows_part(c, part, condition);
      asked.allows_part.push_back(is_allowed);
      other_values = other_values || is_allowed;
    }
    if (sampler.has_latent()) {
      LatentLimit limit;
      limit.column = c;
      asked.use =
          limit_latent(view_.recipe.schema.columns[condition.column], sampler, column, condition, other_values, limit);
      if (asked.use == LatentUse::kLimited) {
        asked.limit = static_cast<int32_t>(question_.limits.size());
        question_.limits.push_back(std::move(limit));
      }
      if (column.latent_part() >= 0)
        asked.allows_part[static_cast<size_t>(column.latent_part())] = asked.use != LatentUse::kForbidden;
    }
    if (column.variable() >= 0) return;
    if (asked.use == LatentUse::kForbidden) is_impossible_ = true;
    if (asked.limit >= 0) question_.always.push_back(asked.limit);
  }

  // Whether a state meets the conditions, and which limits it brings.
  bool allows_state(size_t variable, int32_t state, std::vector<int32_t>& limits) const {
    limits.clear();
    for (const int32_t c : view_.columns_of_variable[variable]) {
      const auto asked = asked_.find(static_cast<size_t>(c));
      if (asked == asked_.end()) continue;
      const int32_t part = view_.columns[static_cast<size_t>(c)].part_of_state(state);
      if (!asked->second.allows_part[static_cast<size_t>(part)]) return false;
      if (asked->second.limit >= 0 && part == view_.columns[static_cast<size_t>(c)].latent_part())
        limits.push_back(asked->second.limit);
    }
    std::sort(limits.begin(), limits.end());
    return !is_impossible_;
  }

  std::vector<StateClass> classes_of(size_t variable) const {
    const StateTree& tree = view_.variables[variable];
    std::map<std::vector<int32_t>, std::vector<int32_t>> states_of;
    std::vector<int32_t> limits;
    for (int32_t state = 0; state < tree.states(); ++state)
      if (allows_state(variable, state, limits)) states_of[limits].push_back(state);
    std::vector<StateClass> classes;
    for (auto& [of_class, states] : states_of) {
      StateClass& added = classes.emplace_back(StateClass{of_class, std::move(states), {}});
      added.probability.assign(tree.nodes(), 1);
      if (static_cast<int32_t>(added.states.size()) < tree.states())
        tree.find_probabilities(added.states, added.probability);
    }
    return classes;
  }

  const MixtureView& view_;
  std::map<size_t, ColumnQuestion> asked_;
  bool is_impossible_ = false;
  Question question_;
};

// ---- cells

// One class of each variable, and the limits that come with them.
struct Pattern {
  std::vector<size_t> classes;
  std::vector<int32_t> points, bounded;  // limits
};

std::vector<Pattern> patterns_of(const Question& question) {
  std::vector<Pattern> patterns(1);
  for (const std::vector<StateClass>& classes : question.variables) {
    std::vector<Pattern> longer;
    for (const Pattern& pattern : patterns)
      for (size_t k = 0; k < classes.size(); ++k) {
        longer.push_back(pattern);
        longer.back().classes.push_back(k);
      }
    if (longer.size() > kMostPatterns) too_many_cells();
    patterns = std::move(longer);
  }
  for (Pattern& pattern : patterns) {
    std::vector<int32_t> limits = question.always;
    for (size_t v = 0; v < pattern.classes.size(); ++v) {
      const StateClass& chosen = question.variables[v][pattern.classes[v]];
      limits.insert(limits.end(), chosen.limits.begin(), chosen.limits.end());
    }
    for (const int32_t limit : limits)
      (question.limits[static_cast<size_t>(limit)].point ? pattern.points : pattern.bounded).push_back(limit);
  }
  return patterns;
}

// A member under a pattern.
struct Pair {
  size_t member = 0;
  const Pattern* pattern = nullptr;
  GaussianRotation rotation;
  std::vector<int32_t> order;  // of the bounded limits: their components
  double log_weight = 0;       // without the spans' probability
};

struct WeightedCell {
  BoundedCell cell;  // its member: the number of the pair
  double log_weight = 0;
};

class CellMaker {
 public:
  CellMaker(const MixtureView& view, const Question& question) : view_(view), question_(question) {
    const TableSampler& sampler = view.recipe.sampler;
    components_ = static_cast<size_t>(sampler.components);
    const std::vector<int32_t> noise = residual_draws(sampler);
    for (const LatentLimit& limit : question.limits) components_ += noise[static_cast<size_t>(limit.latent)] >= 0;
    components_ = std::max(components_, question.limits.size());
  }

  void add(size_t member, const Pattern& pattern) {
    double log_weight = view_.weight[member] > 0 ? log_of_positive(view_.weight[member]) : kNothing;
    for (size_t v = 0; v < pattern.classes.size(); ++v) {
      const double probability = question_.variables[v][pattern.classes[v]].probability[member];
      log_weight += probability > std::numeric_limits<double>::min() ? log_of_positive(probability) : kNothing;
    }
    if (!(log_weight > kNothing)) return;
    if ((pairs_.size() + 1) * static_cast<size_t>(view_.latents) * components_ > kMostNumbers) too_many_cells();
    Pair pair{member, &pattern, GaussianRotation(view_.recipe.sampler, member, components_), {}, log_weight};
    for (const int32_t limit : pattern.points) {
      const LatentLimit& point = limit_of(limit);
      pair.log_weight += pair.rotation.fix(static_cast<size_t>(point.latent), *point.point);
    }
    if (!(pair.log_weight > kNothing)) return;
    order_limits(pair);
    pairs_.push_back(std::move(pair));
    add_cells(pairs_.size() - 1);
  }

  size_t components() const { return components_; }
  const std::vector<Pair>& pairs() const { return pairs_; }
  std::vector<WeightedCell>& cells() { return cells_; }

 private:
  const LatentLimit& limit_of(int32_t limit) const { return question_.limits[static_cast<size_t>(limit)]; }

  // The least probable limit first, given where the ones before are expected to be, each taken as the span from its
  // lowest to its highest score (Gibson, Glasbey and Elston, 1994): then the tilting accepts most.
  void order_limits(Pair& pair) {
    GaussianRotation& rotation = pair.rotation;
    const size_t first = rotation.rotated();
    std::vector<int32_t> left = pair.pattern->bounded;
    std::vector<double> expected;
    while (!left.empty()) {
      size_t best = 0;
      double least = 0, place = 0;
      for (size_t i = 0; i < left.size(); ++i) {
        const LatentLimit& limit = limit_of(left[i]);
        const auto latent = static_cast<size_t>(limit.latent);
        double mean = rotation.mean(latent);
        for (size_t j = 0; j < expected.size(); ++j)
          mean = std::fma(rotation.weight(latent, first + j), expected[j], mean);
        const double deviation = std::max(rotation.deviation(latent), kLeastDeviation);
        const TruncatedNormal normal((double{limit.spans.front().low} - mean) / deviation,
                                     (double{limit.spans.back().high} - mean) / deviation);
        if (i == 0 || normal.log_probability() < least)
          best = i, least = normal.log_probability(), place = normal.mean();
      }
      pair.order.push_back(left[best]);
      rotation.rotate(static_cast<size_t>(limit_of(left[best]).latent));
      expected.push_back(place);
      left.erase(left.begin() + static_cast<int64_t>(best));
    }
  }

  // One cell for each choice of a span of each limit.
  void add_cells(size_t number) {
    const Pair& pair = pairs_[number];
    const size_t k = pair.order.size();
    std::vector<size_t> choice(k);
    while (true) {
      if (cells_.size() == kMostCells) too_many_cells();
      add_cell(number, choice);
      size_t i = 0;
      while (i < k && ++choice[i] == limit_of(pair.order[i]).spans.size()) choice[i++] = 0;
      if (i == k) return;
    }
  }

  void add_cell(size_t number, const std::vector<size_t>& choice) {
    const Pair& pair = pairs_[number];
    const GaussianRotation& rotation = pair.rotation;
    const size_t k = pair.order.size(), first = rotation.rotated() - k;
    WeightedCell weighted{{static_cast<int32_t>(number), {}, {}, 0}, pair.log_weight};
    std::vector<double> weight(k * k), low(k), high(k);
    for (size_t i = 0; i < k; ++i) {
      const LatentLimit& limit = limit_of(pair.order[i]);
      const auto latent = static_cast<size_t>(limit.latent);
      const double deviation = std::max(rotation.weight(latent, first + i), kLeastDeviation);
      const ScoreSpan span = limit.spans[choice[i]];
      for (size_t j = 0; j < i; ++j) weight[i * k + j] = rotation.weight(latent, first + j) / deviation;
      low[i] = (double{span.low} - rotation.mean(latent)) / deviation;
      high[i] = (double{span.high} - rotation.mean(latent)) / deviation;
      weighted.cell.bounds.push_back({limit.latent, span.low, span.high, low[i], high[i], 0});
    }
    if (k > 0) {
      const TiltedNormals normals(weight, low, high);
      for (size_t i = 0; i < k; ++i) weighted.cell.bounds[i].tilt = normals.tilt()[i];
      weighted.cell.log_bound = normals.log_bound();
      weighted.cell.weight = std::move(weight);
      weighted.log_weight += weighted.cell.log_bound;
    }
    if (weighted.log_weight > kNothing) cells_.push_back(std::move(weighted));
  }

  static constexpr double kLeastDeviation = 1e-12;  // of a latent that others decide

  const MixtureView& view_;
  const Question& question_;
  size_t components_ = 0;
  std::vector<Pair> pairs_;
  std::vector<WeightedCell> cells_;
};

// ---- the new sampler

// Nodes of the pairs, then for each class those above that can be reached.
Emission restricted(const StateTree& tree, const std::vector<StateClass>& classes, size_t variable, size_t old_members,
                    const std::vector<const Pair*>& pairs) {
  const auto nodes = tree.nodes();
  std::vector<std::vector<int32_t>> number(classes.size(), std::vector<int32_t>(nodes, -1));
  std::vector<std::vector<bool>> allowed(classes.size(), std::vector<bool>(static_cast<size_t>(tree.states())));
  auto next = static_cast<int32_t>(pairs.size());
  for (size_t k = 0; k < classes.size(); ++k) {
    for (const int32_t state : classes[k].states) allowed[k][static_cast<size_t>(state)] = true;
    for (size_t node = old_members; node < nodes; ++node)
      if (classes[k].probability[node] > 0) number[k][node] = next++;
  }
  Emission emission;
  emission.states = tree.states();
  emission.first.push_back(0);
  const auto add_node = [&](size_t k, size_t node) {
    const auto old = static_cast<int32_t>(node);
    std::vector<Outcome> outcomes;
    for (size_t i = 0; i < tree.own_states(old).size(); ++i) {
      const int32_t state = tree.own_states(old)[i];
      if (allowed[k][static_cast<size_t>(state)]) outcomes.push_back({state, tree.own_probabilities(old)[i]});
    }
    const int32_t above = tree.above(old);
    const double up = above < 0 ? 0 : tree.up(old) * classes[k].probability[static_cast<size_t>(above)];
    if (up > 0) outcomes.push_back({Emission::kAbove, up});
    emission.above.push_back(up > 0 ? number[k][static_cast<size_t>(above)] : -1);
    append_alias(outcomes, emission.table);
    emission.first.push_back(static_cast<int64_t>(emission.table.threshold.size()));
  };
  for (const Pair* pair : pairs) add_node(pair->pattern->classes[variable], pair->member);
  for (size_t k = 0; k < classes.size(); ++k)
    for (size_t node = old_members; node < nodes; ++node)
      if (number[k][node] >= 0) add_node(k, node);
  return emission;
}

// A column that holds one real number.
void pin(const LatentLimit& limit, ColumnSampler& column) {
  column.lower = {-kScoreLimit};
  column.real_base = column.real_top = {limit.value};
  column.real_slope = {0};
}

TableSampler make_sampler(const MixtureView& view, const Question& question, size_t components,
                          const std::vector<const Pair*>& pairs) {
  const TableSampler& old = view.recipe.sampler;
  TableSampler sampler;
  sampler.members = static_cast<int32_t>(pairs.size());
  sampler.latents = old.latents;
  sampler.columns = old.columns;
  const size_t points = pairs.front()->pattern->points.size();  // the same in all: nothing but a latent allows a point
  sampler.components = static_cast<int32_t>(components - points);
  for (const Pair* pair : pairs)
    for (size_t l = 0; l < static_cast<size_t>(old.latents); ++l) {
      sampler.mean.push_back(effective_weight(static_cast<float>(pair->rotation.mean(l))));
      sampler.residual.push_back(effective_weight(static_cast<float>(pair->rotation.residual(l))));
      for (size_t k = points; k < components; ++k)
        sampler.factor.push_back(effective_weight(static_cast<float>(pair->rotation.weight(l, k))));
    }
  for (size_t v = 0; v < view.variables.size(); ++v)
    sampler.emissions.push_back(
        restricted(view.variables[v], question.variables[v], v, static_cast<size_t>(view.members), pairs));
  for (const LatentLimit& limit : question.limits)
    if (limit.point) pin(limit, sampler.columns[limit.column]);
  return sampler;
}

AliasTable alias_of(const std::vector<double>& weights) {
  std::vector<Outcome> outcomes;
  for (size_t i = 0; i < weights.size(); ++i) outcomes.push_back({static_cast<int32_t>(i), weights[i]});
  AliasTable table;
  append_alias(outcomes, table);
  return table;
}

}  // namespace

ConditionedMixture condition_mixture(const TableRecipe& recipe, const Conditions& conditions) {
  const MixtureView view(recipe);
  const Question question = Questioner(view, conditions).take();
  const std::vector<Pattern> patterns = patterns_of(question);
  CellMaker maker(view, question);
  for (size_t member = 0; member < static_cast<size_t>(view.members); ++member)
    for (const Pattern& pattern : patterns) maker.add(member, pattern);

  constexpr double kLeastLogProbability = -644;  // 1e-280
  double most = kNothing, total = 0;
  for (const WeightedCell& cell : maker.cells()) most = std::max(most, cell.log_weight);
  if (!(most > kLeastLogProbability))
    throw UsageError("--where: the model gives these conditions together the probability zero: no row meets them");
  for (const WeightedCell& cell : maker.cells()) total += exp_below_zero(cell.log_weight - most);

  ConditionedMixture result;
  std::vector<const Pair*> pairs;
  std::vector<double> member_weights, cell_weights;
  std::vector<int32_t> number(maker.pairs().size(), -1);
  for (WeightedCell& weighted : maker.cells()) {
    const double share = exp_below_zero(weighted.log_weight - most) / total;
    if (share < kLeastCellShare) continue;
    const auto pair = static_cast<size_t>(weighted.cell.member);
    if (number[pair] < 0) {
      number[pair] = static_cast<int32_t>(pairs.size());
      pairs.push_back(&maker.pairs()[pair]);
      member_weights.push_back(0);
    }
    weighted.cell.member = number[pair];
    member_weights[static_cast<size_t>(number[pair])] += share;
    cell_weights.push_back(share);
    result.is_bound = result.is_bound || weighted.cell.bounds.size() > 1;
    result.cells.push_back(std::move(weighted.cell));
  }
  // A density may be above 1.
  result.probability = most > 0 ? total / exp_below_zero(-most) : total * exp_below_zero(most);
  result.is_density = !pairs.front()->pattern->points.empty();
  result.recipe = recipe;
  result.recipe.sampler = make_sampler(view, question, maker.components(), pairs);
  result.recipe.sampler.member = alias_of(member_weights);
  result.recipe.sampler.balanced = recipe.sampler.balanced;
  result.cell = alias_of(cell_weights);
  if (std::all_of(result.cells.begin(), result.cells.end(), [](const auto& cell) { return cell.bounds.empty(); }))
    result.cells.clear(), result.cell = {};
  check_table_recipe(result.recipe);
  return result;
}

}  // namespace doppel
