// Table samplers for tests, and the naive reference: every storage and transform, one row at a time, straight from the
// definitions in kernels/table.h and random.h, sharing no code with the sampler but philox, Box-Muller
// and the direction numbers and places of Sobol' points.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <random>
#include <vector>

#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/common/sobol.h"
#include "kernels/cpu/sobol.h"
#include "kernels/random.h"
#include "kernels/table.h"

namespace doppel {

struct SampledColumn {
  std::vector<std::byte> values;
  std::vector<uint8_t> validity;
  bool operator==(const SampledColumn&) const = default;
};
using SampledTable = std::vector<SampledColumn>;

inline ColumnSampler segments_column(Storage storage, std::mt19937_64& random, size_t segments) {
  ColumnSampler column;
  column.storage = storage;
  const bool integers = is_integer(storage);
  std::vector<float> cuts;
  std::normal_distribution<float> normal;
  while (cuts.size() + 1 < segments) {
    const float cut = normal(random) * 1.5f;
    if (cut > -6 && cut < 6) cuts.push_back(cut);
  }
  cuts.push_back(-kScoreLimit);
  std::sort(cuts.begin(), cuts.end());
  cuts.erase(std::unique(cuts.begin(), cuts.end()), cuts.end());
  column.lower = cuts;
  std::uniform_int_distribution<int64_t> width(1, 1000), base(-100000, 100000);
  for (size_t s = 0; s < cuts.size(); ++s) {
    const double length = double(s + 1 < cuts.size() ? cuts[s + 1] : kScoreLimit) - cuts[s];
    const int64_t wide = s % 3 == 0 ? 1 : width(random);
    if (integers) {
      column.base.push_back(storage == Storage::kInt64 && s % 2 ? base(random) << 36 : base(random));
      column.width.push_back(storage == Storage::kInt64 && s % 5 == 1 ? wide << 40 : wide);
      column.scale.push_back(static_cast<double>(column.width.back()) / length);
    } else {
      const double low = static_cast<double>(base(random)) * 0.37,
                   high = s % 3 == 0 ? low : low + static_cast<double>(wide) * 0.01;
      column.real_base.push_back(low);
      column.real_top.push_back(high);
      column.real_slope.push_back((high - low) / length);
    }
  }
  return column;
}

inline ColumnSampler linear_column(Storage storage) {
  ColumnSampler column;
  column.storage = storage;
  column.transform = Transform::kLinear;
  column.mean = 12.5;
  column.deviation = 7.25;
  column.minimum = -2;
  column.maximum = 31;
  return column;
}

// Entries of a node: outcomes in [least, states), thresholds of all sizes.
inline void add_entries(AliasTable& table, size_t entries, int32_t least, int32_t states, std::mt19937_64& random) {
  std::uniform_int_distribution<int32_t> outcome(least, states - 1);
  for (size_t entry = 0; entry < entries; ++entry) {
    table.threshold.push_back(entry % 5 == 0 ? 0 : entry % 5 == 1 ? UINT32_MAX : static_cast<uint32_t>(random()));
    table.below.push_back(outcome(random));
    table.above.push_back(outcome(random));
  }
}

// A variable whose members stand below `levels` - 1 levels of further nodes, the topmost one alone.
inline Emission random_emission(int32_t members, int32_t states, int32_t levels, std::mt19937_64& random) {
  Emission emission;
  emission.states = states;
  emission.first = {0};
  for (int32_t level = 0, size = members, first = 0; level < levels; ++level) {
    const bool is_top = level + 1 == levels;
    const int32_t next_size = level + 2 == levels ? 1 : std::max(1, std::min(size, 3));
    for (int32_t i = 0; i < size; ++i) {
      emission.above.push_back(is_top ? -1 : first + size + i % next_size);
      const size_t entries = 1 + random() % static_cast<uint64_t>(2 * states);
      add_entries(emission.table, entries, is_top ? 0 : Emission::kAbove, states, random);
      emission.first.push_back(static_cast<int64_t>(emission.table.threshold.size()));
    }
    first += size;
    size = next_size;
  }
  return emission;
}

// Gives a column a variable, whose states take the roles in turn.
inline void give_states(ColumnSampler& column, int32_t variable, int32_t states, std::vector<StateRole> roles,
                        std::mt19937_64& random) {
  column.emission = variable;
  column.missing_latent = -1;
  for (int32_t state = 0; state < states; ++state) {
    const StateRole role = roles[static_cast<size_t>(state) % roles.size()];
    const auto value = role == StateRole::kValue ? static_cast<int32_t>(random()) : 0;
    column.state_role.push_back(role);
    if (column.storage == Storage::kInt32) column.state_integer.push_back(value);
    if (column.storage == Storage::kInt64) column.state_integer.push_back(int64_t{value} << 31);
    if (!is_integer(column.storage)) column.state_real.push_back(value * 0.37);
  }
  const std::vector<StateRole>& taken = column.state_role;
  if (std::find(taken.begin(), taken.end(), StateRole::kLatent) != taken.end()) return;
  for (auto* segments : {&column.real_base, &column.real_top, &column.real_slope, &column.scale}) segments->clear();
  column.lower.clear();
  column.base.clear();
  column.width.clear();
}

// All storages and transforms, each with and without gaps; segment tables of 1 to `segments` entries.
inline TableSampler every_kind_of_column(int32_t latents, int32_t components, size_t segments, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  TableSampler sampler;
  sampler.latents = latents;
  sampler.components = components;
  const float scale = 1 / std::sqrt(float(components + 1));
  for (int32_t i = 0; i < latents * components; ++i)
    sampler.factor.push_back(i % 7 == 3 ? 0.0f : normal(random) * scale);
  for (int32_t i = 0; i < latents; ++i) sampler.residual.push_back(i % 3 == 1 ? 0.5f : 0.0f);
  int32_t next = 0;
  for (Storage storage : {Storage::kInt32, Storage::kInt64, Storage::kFloat32, Storage::kFloat64}) {
    for (int kind = 0; kind < 4; ++kind) {
      ColumnSampler column = linear_column(storage);
      if (kind != 0) column = segments_column(storage, random, kind == 1 ? 1 : kind == 2 ? 12 : segments);
      column.latent = next++ % latents;
      if (kind % 2 == 0) {
        column.missing_latent = next++ % latents;
        column.missing_threshold = -0.7f;
      }
      sampler.columns.push_back(column);
    }
  }
  return sampler;
}

struct MixtureShape {
  int32_t members = 7, latents = 6, components = 5, variables = 3, levels = 2;
  bool balanced = false;
};

// every_kind_of_column as a mixture: where there are variables, two of three columns have one. Without latents all do.
inline TableSampler random_mixture(const MixtureShape& shape, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  TableSampler sampler = every_kind_of_column(std::max(shape.latents, 1), shape.components, 40, seed);
  sampler.members = shape.members;
  sampler.balanced = shape.balanced;
  sampler.latents = shape.latents;
  sampler.factor.clear();
  sampler.residual.clear();
  const int32_t scores = shape.members * shape.latents;
  for (int32_t i = 0; i < scores; ++i) {
    const int32_t member = i / shape.latents, latent = i % shape.latents;
    sampler.mean.push_back(latent % 5 == 4 ? -0.0f : normal(random));
    sampler.residual.push_back(latent % 3 == 1 && (member + latent) % 4 != 0 ? 0.5f : 0.0f);
    for (int32_t k = 0; k < shape.components; ++k)  // triangular, as a Cholesky factor is, and with other zeros
      sampler.factor.push_back(k > latent + 1 || i % 7 == 3 ? 0.0f : normal(random) * 0.3f);
  }
  add_entries(sampler.member, static_cast<size_t>(2 * shape.members), 0, shape.members, random);
  constexpr auto kValue = StateRole::kValue, kMissing = StateRole::kMissing, kLatent = StateRole::kLatent;
  const std::vector<std::vector<StateRole>> roles = {
      {kValue},  {kLatent, kValue},   {kValue, kMissing}, {kValue, kLatent, kMissing},
      {kLatent}, {kMissing, kLatent}, {kMissing}};
  for (int32_t v = 0; v < shape.variables; ++v)
    sampler.emissions.push_back(random_emission(shape.members, 1 + v * v, shape.levels, random));
  size_t turn = 0;
  for (size_t c = 0; c < sampler.columns.size() && shape.variables > 0; ++c) {
    if (shape.latents > 0 && c % 3 == 2) continue;
    const auto variable = static_cast<int32_t>(c) % shape.variables;
    std::vector<StateRole> chosen = roles[turn++ % roles.size()];
    if (shape.latents == 0) std::replace(chosen.begin(), chosen.end(), kLatent, kValue);
    give_states(sampler.columns[c], variable, 1 + variable * variable, chosen, random);
  }
  return sampler;
}

// As many members as states of a variable, each of which sees one or two of the last three or goes up.
inline TableSampler wide_mixture(int32_t count, uint64_t seed) {
  TableSampler sampler = random_mixture({.members = count, .latents = 1, .components = 1, .variables = 2}, seed);
  std::mt19937_64 random(seed + 1);
  Emission& wide = sampler.emissions[1];
  wide = Emission{.states = count, .above = {}, .first = {0}, .table = {}};
  for (int32_t node = 0; node <= count; ++node) {
    const bool is_top = node == count;
    wide.above.push_back(is_top ? -1 : count);
    add_entries(wide.table, is_top ? 1000 : 1, is_top ? 0 : count - 3, count, random);
    if (!is_top) wide.table.below.back() = Emission::kAbove;
    wide.first.push_back(static_cast<int64_t>(wide.table.threshold.size()));
  }
  sampler.columns.assign(2, ColumnSampler());
  sampler.columns[1].storage = Storage::kInt64;
  for (ColumnSampler& column : sampler.columns) give_states(column, 1, count, {StateRole::kValue}, random);
  return sampler;
}

// Images as engine/models/image/image_pca.h makes them: a label a member, and a latent and a column a level.
inline TableSampler image_mixture(int32_t labels, int32_t levels, int32_t components, uint64_t seed) {
  TableSampler sampler = random_mixture(
      {.members = labels, .latents = levels, .components = components, .variables = 1, .levels = 1, .balanced = true},
      seed);
  for (float& mean : sampler.mean) mean = 128 + 64 * mean;
  for (float& weight : sampler.factor) weight *= 64;
  sampler.emissions[0] = Emission{.states = labels, .above = {}, .first = {0}, .table = {}};
  for (int32_t label = 0; label < labels; ++label) {
    sampler.emissions[0].above.push_back(-1);
    sampler.emissions[0].first.push_back(label + 1);
    sampler.emissions[0].table.threshold.push_back(0);
    sampler.emissions[0].table.below.push_back(label);
    sampler.emissions[0].table.above.push_back(label);
  }
  sampler.columns.assign(static_cast<size_t>(levels) + 1, ColumnSampler());
  for (int32_t level = 0; level < levels; ++level) {
    ColumnSampler& column = sampler.columns[static_cast<size_t>(level)];
    column.transform = Transform::kLinear;
    column.latent = level;
    column.maximum = 255;
  }
  ColumnSampler& label = sampler.columns.back();
  label.emission = 0;
  label.state_role.assign(static_cast<size_t>(labels), StateRole::kValue);
  for (int32_t i = 0; i < labels; ++i) label.state_integer.push_back(i);
  return sampler;
}

namespace reference {

inline std::vector<float> normals_of_row(uint64_t seed, uint64_t row, int32_t draws) {
  std::vector<float> normals;
  for (uint32_t block = 0; normals.size() < static_cast<size_t>(draws); ++block) {
    const auto words = philox({uint32_t(row), uint32_t(row >> 32), block, uint32_t(Stream::kRows)},
                              {uint32_t(seed), uint32_t(seed >> 32)});
    for (int pair = 0; pair < 4; pair += 2) {
      float first, second;
      portable::box_muller<PlainLanes>(int32_t(words[pair]), int32_t(words[pair + 1]), first, second);
      normals.push_back(first);
      normals.push_back(second);
    }
  }
  return normals;
}

inline uint32_t word_of_row(uint64_t seed, uint64_t row, int32_t block, int32_t word) {
  return philox({uint32_t(row), uint32_t(row >> 32), uint32_t(block), uint32_t(Stream::kRows)},
                {uint32_t(seed), uint32_t(seed >> 32)})[size_t(word)];
}

// Word of a balanced mixture (kernels/common/sobol.h), bit by bit.
inline uint32_t sobol_word(uint64_t seed, uint64_t row, int32_t dimension) {
  const auto order = philox_words(seed, row / 1024, 0, Stream::kOrder);
  const uint32_t index = uint32_t(row / 1024 * 1024) + sobol_place(order.data(), uint32_t(row % 1024));
  uint32_t word = philox_words(seed, row >> 32, uint32_t(dimension / 4), Stream::kShift)[size_t(dimension % 4)];
  const auto direction = sobol_directions(dimension + 1);
  for (size_t bit = 0; bit < 32; ++bit)
    if (index >> bit & 1) word ^= direction[size_t(dimension) * 32 + bit];
  return word;
}

inline bool has_residual(const TableSampler& sampler, int32_t latent) {
  for (int32_t member = 0; member < sampler.members; ++member)
    if (sampler.residual[size_t(member * sampler.latents + latent)] > 0) return true;
  return false;
}

inline int32_t normals_per_row(const TableSampler& sampler) {
  int32_t normals = sampler.components;
  for (int32_t latent = 0; latent < sampler.latents; ++latent) normals += has_residual(sampler, latent);
  return normals;
}

inline int32_t draw(const AliasTable& table, int64_t first, int64_t last, uint32_t word) {
  const uint64_t product = uint64_t(word) * uint64_t(last - first);
  const size_t entry = size_t(first) + size_t(product >> 32);
  return uint32_t(product) < table.threshold[entry] ? table.below[entry] : table.above[entry];
}

// What a row of a mixture draws besides normals.
struct Discrete {
  int32_t member = 0;
  std::vector<int32_t> states;
};

inline Discrete discrete_of_row(const TableSampler& sampler, uint64_t seed, uint64_t row) {
  Discrete drawn;
  if (sampler.member.threshold.empty()) return drawn;
  const int32_t words = (normals_per_row(sampler) + 3) / 4;  // the block where they begin
  const auto variables = int32_t(sampler.emissions.size());
  const int32_t up = words + (1 + variables + 3) / 4;
  const auto word_at = [&](int32_t place) {
    return sampler.balanced && place < kSobolDimensions ? sobol_word(seed, row, place)
                                                        : word_of_row(seed, row, words + place / 4, place % 4);
  };
  drawn.member = draw(sampler.member, 0, int64_t(sampler.member.threshold.size()), word_at(0));
  for (int32_t v = 0; v < variables; ++v) {
    const Emission& emission = sampler.emissions[size_t(v)];
    int32_t node = drawn.member, draws = 0;
    uint32_t word = word_at(1 + v);
    int32_t state;
    while ((state = draw(emission.table, emission.first[size_t(node)], emission.first[size_t(node) + 1], word)) < 0) {
      node = emission.above[size_t(node)];
      word = word_of_row(seed, row, up + v, draws++);
    }
    drawn.states.push_back(state);
  }
  return drawn;
}

inline std::vector<float> scores_of_row(const TableSampler& sampler, uint64_t seed, uint64_t row, int32_t member) {
  const std::vector<float> normals = normals_of_row(seed, row, normals_per_row(sampler));
  std::vector<float> scores;
  int32_t draw = sampler.components;
  for (int32_t latent = 0; latent < sampler.latents; ++latent) {
    const auto at = size_t(member * sampler.latents + latent);
    float z = sampler.mean.empty() || sampler.mean[at] == 0 ? 0 : sampler.mean[at];
    for (int32_t k = 0; k < sampler.components; ++k) {
      const float weight = sampler.factor[at * size_t(sampler.components) + size_t(k)];
      if (weight != 0) z = std::fma(weight, normals[size_t(k)], z);
    }
    if (has_residual(sampler, latent)) {
      if (sampler.residual[at] > 0) z = std::fma(sampler.residual[at], normals[size_t(draw)], z);
      ++draw;
    }
    scores.push_back(z);
  }
  return scores;
}

template <class Real>
Real clamp(Real x, Real low, Real high) {
  const Real y = x < low ? low : x;
  return y > high ? high : y;
}

template <class Real>
int64_t integer_of(const ColumnSampler& column, size_t s, float offset) {
  const Real steps = std::trunc(Real(offset) * Real(column.scale[s]));
  return column.base[s] + int64_t(clamp(steps, Real(0), Real(column.width[s] - 1)));
}

template <class Real>
Real real_of(const ColumnSampler& column, size_t s, float offset) {
  return clamp(std::fma(Real(offset), Real(column.real_slope[s]), Real(column.real_base[s])), Real(column.real_base[s]),
               Real(column.real_top[s]));
}

template <class Value>
void put(Value value, SampledColumn& out) {
  const auto* bytes = reinterpret_cast<const std::byte*>(&value);
  out.values.insert(out.values.end(), bytes, bytes + sizeof value);
}

inline void put_value(const ColumnSampler& column, float z, bool present, SampledColumn& out) {
  const float clamped = clamp(z, -kScoreLimit, kScoreLimit);
  size_t s = 0;
  while (s + 1 < column.lower.size() && column.lower[s + 1] <= clamped) ++s;
  const float offset = column.lower.empty() ? 0 : clamped - column.lower[s];
  const bool linear = column.transform == Transform::kLinear;
  const double value = clamp(std::fma(double(z), column.deviation, column.mean), column.minimum, column.maximum);
  switch (column.storage) {
    case Storage::kInt32:
      return put(present ? int32_t(linear ? std::nearbyint(value) : double(integer_of<float>(column, s, offset))) : 0,
                 out);
    case Storage::kInt64:
      return put(present ? (linear ? int64_t(std::nearbyint(value)) : integer_of<double>(column, s, offset)) : 0, out);
    case Storage::kFloat32: {
      const float narrow =
          clamp(std::fma(z, float(column.deviation), float(column.mean)), float(column.minimum), float(column.maximum));
      return put(present ? (linear ? narrow : real_of<float>(column, s, offset)) : 0.0f, out);
    }
    case Storage::kFloat64:
      return put(present ? (linear ? value : real_of<double>(column, s, offset)) : 0.0, out);
  }
}

inline void put_state(const ColumnSampler& column, size_t state, SampledColumn& out) {
  switch (column.storage) {
    case Storage::kInt32:
      return put(int32_t(column.state_integer[state]), out);
    case Storage::kInt64:
      return put(column.state_integer[state], out);
    case Storage::kFloat32:
      return put(float(column.state_real[state]), out);
    case Storage::kFloat64:
      return put(column.state_real[state], out);
  }
}

// Appends the row's value; whether it has one.
inline bool put_cell(const ColumnSampler& column, const std::vector<float>& scores, const Discrete& drawn,
                     SampledColumn& out) {
  if (column.emission < 0) {
    const bool present =
        column.missing_latent < 0 || !(scores[size_t(column.missing_latent)] < column.missing_threshold);
    put_value(column, scores[size_t(column.latent)], present, out);
    return present;
  }
  const auto state = size_t(drawn.states[size_t(column.emission)]);
  const StateRole role = column.state_role[state];
  if (role == StateRole::kLatent) {
    put_value(column, scores[size_t(column.latent)], true, out);
  } else {
    put_state(column, state, out);  // 0 where it is missing
  }
  return role != StateRole::kMissing;
}

inline SampledTable sample(const TableSampler& sampler, uint64_t seed, uint64_t first_row, int64_t rows) {
  SampledTable table(sampler.columns.size());
  for (SampledColumn& column : table) column.validity.assign(size_t(rows + 7) / 8, 0);
  for (int64_t row = 0; row < rows; ++row) {
    const Discrete drawn = discrete_of_row(sampler, seed, first_row + uint64_t(row));
    const std::vector<float> scores = scores_of_row(sampler, seed, first_row + uint64_t(row), drawn.member);
    for (size_t c = 0; c < table.size(); ++c)
      if (put_cell(sampler.columns[c], scores, drawn, table[c]))
        table[c].validity[size_t(row) / 8] |= uint8_t(1u << (row % 8));
  }
  return table;
}

}  // namespace reference

// What a prepared sampler writes into memory of a kind, between sentinels that must survive.
using Allocate = std::function<HostMemory(size_t)>;
inline SampledTable sample_with(PreparedTableSampler& prepared, const TableSampler& sampler, uint64_t seed,
                                uint64_t first_row, int64_t rows, bool& sentinels_survived,
                                const Allocate& allocate = allocate_host_memory) {
  constexpr size_t kGuard = 64;
  constexpr std::byte kSentinel{0xA5};
  std::vector<HostMemory> memory;
  std::vector<ColumnBuffer> buffers;
  for (const ColumnSampler& column : sampler.columns) {
    const size_t bytes = size_t(rows) * bytes_per_value(column.storage), bits = size_t(rows + 7) / 8;
    const size_t all = bytes + bits + 4 * kGuard;
    memory.push_back(allocate(all));
    std::fill_n(memory.back().get(), all, kSentinel);
    auto* start = memory.back().get() + (kGuard - reinterpret_cast<uintptr_t>(memory.back().get()) % kGuard);
    buffers.push_back({start, reinterpret_cast<uint8_t*>(start + bytes + kGuard)});
  }
  prepared.sample(seed, first_row, rows, buffers);
  SampledTable table;
  sentinels_survived = true;
  for (size_t c = 0; c < buffers.size(); ++c) {
    const size_t bytes = size_t(rows) * bytes_per_value(sampler.columns[c].storage), bits = size_t(rows + 7) / 8;
    const auto* values = static_cast<const std::byte*>(buffers[c].values);
    const auto* validity = reinterpret_cast<const std::byte*>(buffers[c].validity);
    for (size_t i = 0; i < kGuard; ++i)
      sentinels_survived = sentinels_survived && values[bytes + i] == kSentinel && validity[bits + i] == kSentinel;
    table.push_back({{values, values + bytes}, {buffers[c].validity, buffers[c].validity + bits}});
  }
  return table;
}

}  // namespace doppel
