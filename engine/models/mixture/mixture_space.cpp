#include "engine/models/mixture/mixture_space.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <string>
#include <utility>

#include "engine/models/score_axis.h"
#include "kernels/common/philox.h"
#include "kernels/random.h"

namespace doppel {
namespace {

bool is_listed(const ColumnSchema& schema, const ColumnProfile& profile) {
  const Distribution& distribution = profile.distribution;
  if (!is_numeric(schema.kind)) return true;
  if (!distribution.exact) return false;
  const size_t values = distribution.counts.size();
  if (values <= kFewValues) return true;
  const int64_t most = *std::max_element(distribution.counts.begin(), distribution.counts.end());
  return values <= kHeapedValues && static_cast<double>(most) > kHeap * static_cast<double>(profile.present);
}

size_t count_positions(const ColumnSchema& schema, const ColumnProfile& profile) {
  if (is_discrete(schema.kind)) return schema.levels.size();
  if (is_numeric(schema.kind)) return profile.distribution.counts.size();
  return 1;
}

int64_t count_at(const ColumnSchema& schema, const ColumnProfile& profile, size_t position) {
  if (is_discrete(schema.kind)) return profile.level_counts[position];
  if (is_numeric(schema.kind)) return profile.distribution.counts[position];
  return profile.present;
}

// All parts of a column; one at most: it needs no variable.
VariableColumn split_column(size_t c, const TableProfile& profile) {
  const ColumnSchema& schema = profile.schema.columns[c];
  const ColumnProfile& column = profile.columns[c];
  VariableColumn split{c, {}, {}};
  const size_t positions = column.present > 0 ? count_positions(schema, column) : 0;
  split.part_of_position.assign(1 + positions, -1);
  if (column.present < profile.rows) {
    split.part_of_position[0] = 0;
    split.parts.push_back({StateRole::kMissing, 0});
  }
  const bool listed = is_listed(schema, column);
  int32_t latent_part = -1;
  for (size_t p = 0; p < positions; ++p) {
    const int64_t count = count_at(schema, column, p);
    if (count == 0) continue;
    const bool is_value =
        listed || (column.distribution.exact && static_cast<double>(count) > kAtom * static_cast<double>(profile.rows));
    if (!is_value && latent_part >= 0) {
      split.part_of_position[1 + p] = latent_part;
      continue;
    }
    const auto part = static_cast<int32_t>(split.parts.size());
    split.part_of_position[1 + p] = part;
    split.parts.push_back({is_value ? StateRole::kValue : StateRole::kLatent, static_cast<int32_t>(p)});
    if (!is_value) latent_part = part;
  }
  return split;
}

MixtureVariable make_variable(VariableColumn column) {
  MixtureVariable variable;
  variable.states = static_cast<int32_t>(column.parts.size());
  variable.parts_of_state.resize(column.parts.size());
  std::iota(variable.parts_of_state.begin(), variable.parts_of_state.end(), 0);
  variable.columns.push_back(std::move(column));
  return variable;
}

LatentAxis make_axis(const VariableColumn& split, const TableProfile& profile) {
  const Distribution& distribution = profile.columns[split.column].distribution;
  LatentAxis axis{split.column, -1, {0}};
  double below = 0;
  for (size_t p = 0; p < distribution.counts.size(); ++p) {
    const int32_t part = split.part_of_position[1 + p];
    const bool counts = part >= 0 && split.parts[part].role == StateRole::kLatent;
    axis.cumulative.push_back(below += counts ? static_cast<double>(distribution.counts[p]) : 0);
  }
  for (double& share : axis.cumulative) share /= below;
  return axis;
}

// What a combination of parts is found by.
std::string key_of(const int32_t* parts, size_t columns) {
  return std::string(reinterpret_cast<const char*>(parts), columns * sizeof(int32_t));
}

// How often pairs of states occur: combination a + b * states of a, and its count; ascending.
using PairCounts = std::vector<std::pair<int64_t, int64_t>>;

PairCounts count_pairs(const std::vector<int32_t>& a, const std::vector<int32_t>& b, int64_t states_a,
                       int64_t states_b) {
  constexpr int64_t kMostCounters = 1 << 12;
  PairCounts pairs;
  if (states_a * states_b <= kMostCounters) {
    std::vector<int64_t> count(static_cast<size_t>(states_a * states_b));
    for (size_t row = 0; row < a.size(); ++row) ++count[static_cast<size_t>(a[row] + b[row] * states_a)];
    for (size_t c = 0; c < count.size(); ++c)
      if (count[c] > 0) pairs.emplace_back(static_cast<int64_t>(c), count[c]);
    return pairs;
  }
  std::vector<int64_t> combinations(a.size());
  for (size_t row = 0; row < a.size(); ++row) combinations[row] = a[row] + b[row] * states_a;
  std::sort(combinations.begin(), combinations.end());
  for (const int64_t combination : combinations) {
    if (pairs.empty() || pairs.back().first != combination) pairs.emplace_back(combination, 0);
    ++pairs.back().second;
  }
  return pairs;
}

// Nats a row that the likelihood of the rows rises by when two variables become one, less what the states cost.
double gain_of_joining(const std::vector<int32_t>& a, const std::vector<int32_t>& b, int64_t states_a,
                       int64_t states_b) {
  const PairCounts pairs = count_pairs(a, b, states_a, states_b);
  const auto states = static_cast<int64_t>(pairs.size());
  if (states > kMostJoined) return 0;
  std::vector<double> count_a(states_a), count_b(states_b);
  for (const auto& [combination, count] : pairs) {
    count_a[combination % states_a] += static_cast<double>(count);
    count_b[combination / states_a] += static_cast<double>(count);
  }
  const auto n = static_cast<double>(a.size());
  double information = 0;
  for (const auto& [combination, count] : pairs) {
    const auto joint = static_cast<double>(count);
    information += joint * std::log(joint * n / (count_a[combination % states_a] * count_b[combination / states_a]));
  }
  return (information - 0.5 * std::log(n) * static_cast<double>(states - states_a - states_b + 1)) / n;
}

MixtureVariable join(const MixtureVariable& a, const MixtureVariable& b, const PairCounts& pairs) {
  MixtureVariable joined;
  joined.columns = a.columns;
  joined.columns.insert(joined.columns.end(), b.columns.begin(), b.columns.end());
  const size_t width_a = a.columns.size(), width_b = b.columns.size();
  for (const auto& [combination, count] : pairs) {
    const int32_t* parts_a = a.parts_of_state.data() + static_cast<size_t>(combination % a.states) * width_a;
    const int32_t* parts_b = b.parts_of_state.data() + static_cast<size_t>(combination / a.states) * width_b;
    joined.parts_of_state.insert(joined.parts_of_state.end(), parts_a, parts_a + width_a);
    joined.parts_of_state.insert(joined.parts_of_state.end(), parts_b, parts_b + width_b);
    const int32_t* parts = joined.parts_of_state.data() + static_cast<size_t>(joined.states) * joined.columns.size();
    joined.state_of_combination[key_of(parts, joined.columns.size())] = joined.states;
    ++joined.states;
  }
  return joined;
}

// Variables with the states of sample rows, and what joining each pair would bring.
class VariableJoiner {
 public:
  VariableJoiner(std::vector<MixtureVariable>& variables, RowBlocks& blocks, int64_t rows_in_all)
      : variables_(variables), states_(variables.size()) {
    // Of many variables fewer rows tell as much in the same time.
    const auto all = static_cast<int64_t>(variables.size());
    const int64_t pairs = std::max<int64_t>(1, all * (all - 1) / 2);
    const int64_t stride = std::max<int64_t>(1, rows_in_all / std::min(kJoinRows, kMostJoinCounts / pairs));
    blocks.for_each([&](const EncodedRows& block) {
      for (int64_t row = (stride - block.first_row % stride) % stride; row < block.rows; row += stride)
        for (size_t v = 0; v < variables_.size(); ++v)
          states_[v].push_back(std::max(variables_[v].state_of(block, row), 0));
    });
  }

  void join_all() {
    gain_.assign(variables_.size(), {});
    for (size_t b = 0; b < variables_.size(); ++b)
      for (size_t a = 0; a < b; ++a) gain_[b].push_back(gain(a, b));
    for (;;) {
      double best = kLeastGain;
      size_t best_a = 0, best_b = 0;
      for (size_t b = 0; b < variables_.size(); ++b)
        for (size_t a = 0; a < b; ++a)
          if (gain_[b][a] > best) best = gain_[b][a], best_a = a, best_b = b;
      if (best_a == best_b) return;
      join_pair(best_a, best_b);
    }
  }

 private:
  double gain(size_t a, size_t b) const {
    if (variables_[a].states > kMostJoined || variables_[b].states > kMostJoined) return 0;
    return gain_of_joining(states_[a], states_[b], variables_[a].states, variables_[b].states);
  }

  // b joins a.
  void join_pair(size_t a, size_t b) {
    const int32_t states_a = variables_[a].states;
    const PairCounts pairs = count_pairs(states_[a], states_[b], states_a, variables_[b].states);
    variables_[a] = join(variables_[a], variables_[b], pairs);
    for (size_t row = 0; row < states_[a].size(); ++row) {
      const std::pair<int64_t, int64_t> key{states_[a][row] + static_cast<int64_t>(states_[b][row]) * states_a, 0};
      states_[a][row] = static_cast<int32_t>(std::lower_bound(pairs.begin(), pairs.end(), key) - pairs.begin());
    }
    variables_.erase(variables_.begin() + static_cast<int64_t>(b));
    states_.erase(states_.begin() + static_cast<int64_t>(b));
    gain_.erase(gain_.begin() + static_cast<int64_t>(b));
    for (size_t v = b; v < gain_.size(); ++v) gain_[v].erase(gain_[v].begin() + static_cast<int64_t>(b));
    for (size_t v = 0; v < variables_.size(); ++v)
      if (v != a) gain_[std::max(a, v)][std::min(a, v)] = gain(std::min(a, v), std::max(a, v));
  }

  std::vector<MixtureVariable>& variables_;
  std::vector<std::vector<int32_t>> states_;  // [variables] [rows of the sample]
  std::vector<std::vector<double>> gain_;     // [variables] of each variable before it
};

}  // namespace

int32_t MixtureVariable::state_of(const EncodedRows& block, int64_t row) const {
  if (columns.size() == 1) return columns[0].part_of(block.column(columns[0].column)[row]);
  std::vector<int32_t> seen(columns.size());
  for (size_t c = 0; c < columns.size(); ++c) {
    seen[c] = columns[c].part_of(block.column(columns[c].column)[row]);
    if (seen[c] < 0) return -1;
  }
  const auto found = state_of_combination.find(key_of(seen.data(), seen.size()));
  return found == state_of_combination.end() ? -1 : found->second;
}

MixtureSpace make_mixture_space(const TableProfile& profile, RowBlocks& blocks) {
  MixtureSpace space;
  for (size_t c = 0; c < profile.columns.size(); ++c) {
    if (profile.columns[c].present == 0) continue;
    VariableColumn split = split_column(c, profile);
    const bool has_latent = std::any_of(split.parts.begin(), split.parts.end(),
                                        [](const ColumnPart& part) { return part.role == StateRole::kLatent; });
    if (has_latent) space.axes.push_back(make_axis(split, profile));
    if (split.parts.size() > 1) space.variables.push_back(make_variable(std::move(split)));
  }
  VariableJoiner(space.variables, blocks, profile.rows).join_all();
  for (LatentAxis& axis : space.axes)
    for (size_t v = 0; v < space.variables.size(); ++v)
      for (const VariableColumn& column : space.variables[v].columns)
        if (column.column == axis.column) axis.variable = static_cast<int32_t>(v);
  space.is_low_rank = space.axes.size() > kMostFullAxes;
  return space;
}

int64_t count_rows(const RowsByPattern& rows) {
  int64_t count = 0;
  for (const RowsOfPattern& pattern : rows) count += pattern.rows;
  return count;
}

std::vector<int64_t> count_states(const MixtureSpace& space, const RowsByPattern& rows, size_t variable) {
  std::vector<int64_t> counts(space.variables[variable].states);
  const size_t variables = space.variables.size();
  for (const RowsOfPattern& pattern : rows)
    for (int64_t row = 0; row < pattern.rows; ++row)
      if (const int32_t state = pattern.states[row * variables + variable]; state >= 0) ++counts[state];
  return counts;
}

double fit_uniform(uint64_t seed, uint64_t index, uint32_t use) {
  return (static_cast<double>(philox_words(seed, index, use, Stream::kFit)[0]) + 0.5) * 0x1p-32;
}

float RowCollector::latent_of(size_t axis, int32_t position, uint64_t row) const {
  const std::vector<double>& cumulative = space_.axes[axis].cumulative;
  if (position == kMissingPosition || !(cumulative[position] < cumulative[position + 1]))
    return std::numeric_limits<float>::quiet_NaN();
  const double low = cumulative[position], high = cumulative[position + 1];
  constexpr double kEdge = 1e-7;
  const double share = low + (high - low) * fit_uniform(seed_, row, static_cast<uint32_t>(axis));
  return static_cast<float>(normal_quantile(std::clamp(share, kEdge, 1 - kEdge)));
}

void RowCollector::add(const EncodedRows& block, int64_t row) {
  const size_t axes = space_.axes.size();
  mask_.clear();
  latents_.clear();
  for (size_t a = 0; a < axes; ++a) {
    const int32_t position = block.column(space_.axes[a].column)[row];
    const float z = latent_of(a, position, static_cast<uint64_t>(block.first_row + row));
    const bool is_kept = space_.is_low_rank || !std::isnan(z);
    mask_.push_back(is_kept ? '1' : '0');
    if (is_kept) latents_.push_back(z);
  }
  const auto [found, is_new] = by_mask_.try_emplace(mask_, rows_.size());
  if (is_new) {
    RowsOfPattern& pattern = rows_.emplace_back();
    for (size_t a = 0; a < axes; ++a)
      (mask_[a] == '1' ? pattern.present : pattern.absent).push_back(static_cast<int32_t>(a));
  }
  RowsOfPattern& pattern = rows_[found->second];
  ++pattern.rows;
  for (const MixtureVariable& variable : space_.variables) pattern.states.push_back(variable.state_of(block, row));
  pattern.latents.insert(pattern.latents.end(), latents_.begin(), latents_.end());
}

RowsByPattern RowCollector::take() {
  by_mask_.clear();
  return std::exchange(rows_, {});
}

}  // namespace doppel
