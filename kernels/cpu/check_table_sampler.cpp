#include <algorithm>
#include <cmath>
#include <limits>
#include <string>

#include "kernels/common/error.h"
#include "kernels/table.h"

namespace doppel {
namespace {

void require(bool holds, size_t column, const char* what) {
  if (!holds) throw Error("table sampler: column " + std::to_string(column) + ": " + what);
}

bool finite_in(double value, Storage storage) {
  return storage == Storage::kInt32 || storage == Storage::kFloat32 ? std::isfinite(static_cast<float>(value))
                                                                    : std::isfinite(value);
}

void check_integers(const ColumnSampler& column, size_t index) {
  const size_t segments = column.lower.size();
  require(column.base.size() == segments && column.width.size() == segments && column.scale.size() == segments, index,
          "integer segment tables of different lengths");
  const bool narrow = column.storage == Storage::kInt32;
  const int64_t widest = int64_t{1} << (narrow ? 24 : 53);
  const int64_t lowest = narrow ? std::numeric_limits<int32_t>::min() : std::numeric_limits<int64_t>::min();
  const int64_t highest = narrow ? std::numeric_limits<int32_t>::max() : std::numeric_limits<int64_t>::max();
  for (size_t s = 0; s < segments; ++s) {
    require(column.width[s] >= 1 && column.width[s] <= widest, index, "a segment's width is out of range");
    require(column.base[s] >= lowest && column.base[s] <= highest - (column.width[s] - 1), index,
            "a segment's values do not fit its storage");
    require(column.scale[s] >= 0 && finite_in(column.scale[s], column.storage), index,
            "a segment's scale is out of range");
  }
}

void check_reals(const ColumnSampler& column, size_t index) {
  const size_t segments = column.lower.size();
  require(
      column.real_base.size() == segments && column.real_top.size() == segments && column.real_slope.size() == segments,
      index, "real segment tables of different lengths");
  for (size_t s = 0; s < segments; ++s) {
    require(finite_in(column.real_base[s], column.storage) && finite_in(column.real_top[s], column.storage) &&
                finite_in(column.real_slope[s], column.storage),
            index, "a segment's values do not fit its storage");
    require(column.real_base[s] <= column.real_top[s], index, "a segment ends below its start");
  }
}

void check_segments(const ColumnSampler& column, size_t index) {
  const size_t segments = column.lower.size();
  require(segments >= 1 && segments < (size_t{1} << 30), index, "no segments, or too many");
  require(column.lower[0] == -kScoreLimit, index, "the first segment does not start at the score limit");
  for (size_t s = 1; s < segments; ++s)
    require(column.lower[s] > column.lower[s - 1], index, "segments are not ascending");
  require(column.lower.back() <= kScoreLimit, index, "a segment starts beyond the score limit");
  if (is_integer(column.storage)) {
    check_integers(column, index);
  } else {
    check_reals(column, index);
  }
}

void check_linear(const ColumnSampler& column, size_t index) {
  for (double number : {column.mean, column.deviation, column.minimum, column.maximum})
    require(finite_in(number, column.storage == Storage::kFloat32 ? Storage::kFloat32 : Storage::kFloat64), index,
            "a linear transform that is not finite");
  require(column.minimum <= column.maximum, index, "the maximum is below the minimum");
  double limit = std::numeric_limits<double>::max();
  if (column.storage == Storage::kInt32) limit = std::numeric_limits<int32_t>::max();
  if (column.storage == Storage::kInt64) limit = 0x1p53;
  require(column.minimum >= -limit - (column.storage == Storage::kInt32 ? 1 : 0) && column.maximum <= limit, index,
          "bounds that do not fit the storage");
}

void check_transform(const ColumnSampler& column, size_t index) {
  if (column.transform == Transform::kSegments) {
    check_segments(column, index);
  } else {
    check_linear(column, index);
  }
}

// ---- mixtures

bool fits(int64_t value, Storage storage) {
  return storage == Storage::kInt64 ||
         (value >= std::numeric_limits<int32_t>::min() && value <= std::numeric_limits<int32_t>::max());
}

// The states of a column that has a variable.
void check_states(const ColumnSampler& column, const Emission& emission, size_t index) {
  const auto states = static_cast<size_t>(emission.states);
  const bool integers = is_integer(column.storage);
  require(column.missing_latent == -1, index, "a missing latent beside a variable");
  require(column.state_role.size() == states && column.state_integer.size() == (integers ? states : 0) &&
              column.state_real.size() == (integers ? 0 : states),
          index, "roles or values of its states of the wrong number");
  for (size_t state = 0; state < states; ++state) {
    const StateRole role = column.state_role[state];
    require(role <= StateRole::kLatent, index, "a state's role is unknown");
    require(integers ? fits(column.state_integer[state], column.storage)
                     : finite_in(column.state_real[state], column.storage),
            index, "a state's value does not fit its storage");
    require(role == StateRole::kValue || (integers ? column.state_integer[state] == 0 : column.state_real[state] == 0),
            index, "a state that is no value has one");
  }
}

void check_column(const ColumnSampler& column, const TableSampler& sampler, size_t index) {
  require(column.emission >= -1 && column.emission < static_cast<int64_t>(sampler.emissions.size()), index,
          "variable out of range");
  if (column.emission >= 0) {
    check_states(column, sampler.emissions[static_cast<size_t>(column.emission)], index);
  } else {
    require(column.state_role.empty() && column.state_integer.empty() && column.state_real.empty(), index,
            "states without a variable");
  }
  if (!column.has_latent()) return require(column.lower.empty(), index, "segments that no state uses");
  require(column.latent >= 0 && column.latent < sampler.latents, index, "latent out of range");
  require(column.missing_latent >= -1 && column.missing_latent < sampler.latents, index, "missing latent out of range");
  require(!std::isnan(column.missing_threshold), index, "the missing threshold is not a number");
  check_transform(column, index);
}

// Of the mixture itself, or of variable `index`.
[[noreturn]] void fail_mixture(const std::string& what) {
  throw Error("table sampler: mixture: " + what);
}
[[noreturn]] void fail_variable(size_t index, const std::string& what) {
  throw Error("table sampler: variable " + std::to_string(index) + ": " + what);
}

bool same_lengths(const AliasTable& table) {
  return table.below.size() == table.threshold.size() && table.above.size() == table.threshold.size();
}

// Entries [first, last) of a table: outcomes in [least, outcomes).
bool in_range(const AliasTable& table, size_t first, size_t last, int32_t least, int32_t outcomes) {
  for (size_t entry = first; entry < last; ++entry)
    for (int32_t outcome : {table.below[entry], table.above[entry]})
      if (outcome < least || outcome >= outcomes) return false;
  return true;
}

// Nodes stand below greater ones that are no members, and no chain of them is longer than one block of words serves.
void check_tree(const Emission& emission, int32_t members, size_t index) {
  const size_t nodes = emission.above.size();
  std::vector<int32_t> nodes_up(nodes, 0);
  for (size_t node = nodes; node-- > 0;) {
    const int64_t above = emission.above[node];
    if (above == -1) continue;
    if (above <= static_cast<int64_t>(node) || above < members || above >= static_cast<int64_t>(nodes))
      fail_variable(index, "a node stands below itself, a member or none that there is");
    nodes_up[node] = nodes_up[static_cast<size_t>(above)] + 1;
    if (nodes_up[node] > Emission::kMostNodesUp) fail_variable(index, "its tree is too high");
  }
}

void check_emission(const Emission& emission, int32_t members, size_t index) {
  const size_t nodes = emission.above.size();
  if (emission.states < 1) fail_variable(index, "no states");
  if (nodes < static_cast<size_t>(members)) fail_variable(index, "fewer nodes than members");
  const AliasTable& table = emission.table;
  const auto entries = static_cast<int64_t>(table.threshold.size());
  if (!same_lengths(table) || entries >= int64_t{1} << 32 || emission.first.size() != nodes + 1 ||
      emission.first.front() != 0 || emission.first.back() != entries)
    fail_variable(index, "its entries are of the wrong number");
  check_tree(emission, members, index);
  for (size_t node = 0; node < nodes; ++node)
    if (emission.first[node] >= emission.first[node + 1]) fail_variable(index, "a node without entries");
  for (size_t node = 0; node < nodes; ++node) {
    const int32_t least = emission.above[node] == -1 ? 0 : Emission::kAbove;
    if (!in_range(table, static_cast<size_t>(emission.first[node]), static_cast<size_t>(emission.first[node + 1]),
                  least, emission.states))
      fail_variable(index, "an outcome out of range");
  }
}

void check_mixture(const TableSampler& sampler) {
  if (!sampler.is_mixture()) {
    if (sampler.members != 1 || !sampler.mean.empty() || !same_lengths(sampler.member) || !sampler.emissions.empty())
      fail_mixture("members without a table to draw them from");
    return;
  }
  if (sampler.members < 1) fail_mixture("no members");
  const size_t entries = sampler.member.threshold.size();
  if (!same_lengths(sampler.member) || entries >= size_t{1} << 32 ||
      !in_range(sampler.member, 0, entries, 0, sampler.members))
    fail_mixture("a member out of range");
  if (static_cast<size_t>(sampler.members) > 2 * entries) fail_mixture("members that are never drawn");
  if (sampler.emissions.size() >= size_t{1} << 30) fail_mixture("too many variables");
  for (size_t v = 0; v < sampler.emissions.size(); ++v) check_emission(sampler.emissions[v], sampler.members, v);
}

// ---- weights

void check_weights(const std::vector<float>& weights, size_t size, const char* name) {
  if (weights.size() != size) throw Error(std::string("table sampler: ") + name + " of the wrong number");
  for (float weight : weights)
    if (!(std::abs(weight) <= 0x1p64f)) throw Error(std::string("table sampler: ") + name + " out of range");
}

}  // namespace

void check_table_sampler(const TableSampler& sampler) {
  if (sampler.latents < 0 || sampler.components < 0) throw Error("table sampler: fewer than no latents or components");
  check_mixture(sampler);
  const size_t scores = static_cast<size_t>(sampler.members) * static_cast<size_t>(sampler.latents);
  check_weights(sampler.residual, scores, "residuals");  // first: then the product below can't overflow
  check_weights(sampler.factor, scores * static_cast<size_t>(sampler.components), "factors");
  check_weights(sampler.mean, sampler.is_mixture() ? scores : 0, "means");
  for (float residual : sampler.residual)
    if (residual < 0) throw Error("table sampler: a negative residual");
  for (size_t c = 0; c < sampler.columns.size(); ++c) check_column(sampler.columns[c], sampler, c);
}

}  // namespace doppel
