#include "engine/models/mixture/conditioned_sampler.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "engine/models/mixture/mixture_view.h"
#include "kernels/common/error.h"
#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/random.h"

namespace doppel {
namespace {

constexpr int64_t kTileRows = 256;  // a multiple of 8: whole bytes of validity

// Where a row's random numbers are.
struct BlockLayout {
  uint32_t words = 0, further = 0, tries = 0, per_try = 0;  // first blocks after the normals', and blocks a try

  explicit BlockLayout(const ConditionedMixture& mixture) {
    const TableSampler& sampler = mixture.recipe.sampler;
    const size_t variables = sampler.emissions.size();
    int32_t draws = sampler.components;
    for (const int32_t draw : residual_draws(sampler)) draws = std::max(draws, draw + 1);
    size_t most = 0;
    for (const ConditionedCell& cell : mixture.cells) most = std::max(most, cell.latents.size());
    words = static_cast<uint32_t>((draws + 3) / 4);
    further = words + static_cast<uint32_t>((variables + 3) / 4);
    tries = further + static_cast<uint32_t>(variables);
    per_try = static_cast<uint32_t>((2 + 2 * most + 3) / 4);
  }
};

// The random words of one row.
class RowWords {
 public:
  using Block = std::array<uint32_t, 4>;
  RowWords(uint64_t row, PhiloxKey key, const PhiloxKeys<PlainLanes>& keys)
      : row_(portable::philox_row<PlainLanes>(static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32),
                                              static_cast<uint32_t>(Stream::kWhere), key)),
        key_(key),
        keys_(keys) {}
  Block block(uint32_t number) const {
    Block words;
    portable::philox_block<PlainLanes>(row_, number, key_, keys_, words.data());
    return words;
  }

 private:
  PhiloxRow<PlainLanes> row_;
  PhiloxKey key_;
  const PhiloxKeys<PlainLanes>& keys_;
};

// In (0, 1), of 53 bits.
double uniform_of(uint32_t high, uint32_t low) {
  const uint64_t bits = (uint64_t{high} << 32 | low) >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

int32_t draw_outcome(const AliasTable& table, size_t first, size_t entries, uint32_t word) {
  const uint64_t product = uint64_t{word} * entries;
  const size_t entry = first + (product >> 32);
  return static_cast<uint32_t>(product) < table.threshold[entry] ? table.below[entry] : table.above[entry];
}

// Tries of rows.
class CellDrawer {
 public:
  explicit CellDrawer(const ConditionedMixture& mixture) : mixture_(mixture), layout_(mixture) {
    words_.resize(4 * size_t{layout_.per_try});
    uniforms_.resize(words_.size() / 2 - 1);
    u_.resize(uniforms_.size());
  }

  const BlockLayout& layout() const { return layout_; }
  std::span<const double> u() const { return u_; }  // of the last try: the bounded normals

  // The cell if the try is accepted, else nothing.
  const ConditionedCell* attempt(const RowWords& row, uint32_t number) {
    for (uint32_t b = 0; b < layout_.per_try; ++b) {
      const RowWords::Block words = row.block(layout_.tries + number * layout_.per_try + b);
      std::copy(words.begin(), words.end(), words_.begin() + 4 * b);
    }
    const ConditionedCell& cell =
        mixture_.cells[static_cast<size_t>(draw_outcome(mixture_.cell, 0, mixture_.cell.threshold.size(), words_[0]))];
    if (cell.normals.empty()) return &cell;
    const size_t k = cell.latents.size();
    for (size_t i = 0; i < k; ++i) uniforms_[i] = uniform_of(words_[2 + 2 * i], words_[3 + 2 * i]);
    const double acceptance = (static_cast<double>(words_[1]) + 0.5) * 0x1p-32;
    return cell.normals[0].propose(std::span(uniforms_).first(k), acceptance, u_) ? &cell : nullptr;
  }

  const ConditionedCell& draw(const RowWords& row) {
    constexpr uint32_t kMostTries = 1 << 24;
    for (uint32_t number = 0; number < kMostTries; ++number)
      if (const ConditionedCell* cell = attempt(row, number)) return *cell;
    throw Error("--where: no row met the conditions in " + std::to_string(kMostTries) + " tries: give fewer ranges");
  }

 private:
  const ConditionedMixture& mixture_;
  BlockLayout layout_;
  std::vector<uint32_t> words_;
  std::vector<double> uniforms_, u_;
};

template <class Value>
Value held(const SampledValue& value) {
  if constexpr (std::is_integral_v<Value>) {
    return static_cast<Value>(value.integer);
  } else {
    return static_cast<Value>(value.real);
  }
}
template <class Value>
Value value_of_state(const ColumnSampler& column, size_t state) {
  if constexpr (std::is_integral_v<Value>) {
    return static_cast<Value>(column.state_integer[state]);
  } else {
    return static_cast<Value>(column.state_real[state]);
  }
}

class ConditionedSampler : public PreparedTableSampler {
 public:
  explicit ConditionedSampler(const ConditionedMixture& mixture) : sampler_(mixture.recipe.sampler), drawer_(mixture) {
    for (const ColumnSampler& column : sampler_.columns) columns_.emplace_back(column);
    normals_.resize(4 * size_t{drawer_.layout().words} + 1);
    prepare_weights();
    scores_.resize(padded_latents_ * kTileRows);
    states_.resize(sampler_.emissions.size() * kTileRows);
  }

  void sample(uint64_t seed, uint64_t first_row, int64_t rows, std::span<const ColumnBuffer> columns) override {
    const PhiloxKey key = philox_key(seed);
    const PhiloxKeys<PlainLanes> keys = portable::philox_keys<PlainLanes>(key);
    for (int64_t first = 0; first < rows; first += kTileRows) {
      const int64_t count = std::min(kTileRows, rows - first);
      for (int64_t i = 0; i < count; ++i)
        draw_row(RowWords(first_row + static_cast<uint64_t>(first + i), key, keys), i);
      for (size_t c = 0; c < columns.size(); ++c) write_column(c, first, count, columns[c]);
    }
  }

 private:
  void prepare_weights() {
    const auto latents = static_cast<size_t>(sampler_.latents), components = static_cast<size_t>(sampler_.components);
    padded_latents_ = (latents + kLanes - 1) / kLanes * kLanes;
    weights_per_member_ = padded_latents_ * (components + 2);
    noise_.assign(padded_latents_, normals_.size() - 1);
    const std::vector<int32_t> draws = residual_draws(sampler_);
    for (size_t l = 0; l < latents; ++l)
      if (draws[l] >= 0) noise_[l] = static_cast<size_t>(draws[l]);
    const auto add = [&](size_t latent, auto weight_of) {
      for (size_t lane = 0; lane < kLanes; ++lane)
        weights_.push_back(latent + lane < latents ? weight_of(latent + lane) : 0);
    };
    for (size_t m = 0; m < static_cast<size_t>(sampler_.members); ++m)
      for (size_t first = 0; first < latents; first += kLanes) {
        add(first, [&](size_t l) { return sampler_.mean[m * latents + l]; });
        for (size_t k = 0; k < components; ++k)
          add(first, [&](size_t l) { return sampler_.factor[(m * latents + l) * components + k]; });
        add(first, [&](size_t l) { return sampler_.residual[m * latents + l]; });
      }
  }

  void draw_row(const RowWords& row, int64_t i) {
    const ConditionedCell& cell = drawer_.draw(row);
    draw_normals(row);
    for (size_t k = 0; k < cell.latents.size(); ++k) normals_[k] = static_cast<float>(drawer_.u()[k]);
    fill_scores(static_cast<size_t>(cell.member), i);
    for (size_t k = 0; k < cell.latents.size(); ++k) {
      // Rounding may have moved the score over the span's end.
      float& z = scores_[static_cast<size_t>(cell.latents[k]) * kTileRows + static_cast<size_t>(i)];
      const ScoreSpan span = cell.spans[k];
      z = z < span.low ? span.low : z;
      if (z >= span.high) z = std::nextafter(span.high, -std::numeric_limits<float>::infinity());
    }
    draw_states(row, static_cast<size_t>(cell.member), i);
  }

  void draw_normals(const RowWords& row) {
    for (uint32_t b = 0; b < drawer_.layout().words; ++b) {
      const RowWords::Block words = row.block(b);
      for (size_t pair = 0; pair < 4; pair += 2)
        portable::box_muller<PlainLanes>(static_cast<int32_t>(words[pair]), static_cast<int32_t>(words[pair + 1]),
                                         normals_[4 * b + pair], normals_[4 * b + pair + 1]);
    }
  }

  // Four latents side by side, as the compiler does with vectors; no fma, which is a call where the machine may lack
  // it.
  void fill_scores(size_t member, int64_t i) {
    const auto components = static_cast<size_t>(sampler_.components);
    const float* weights = weights_.data() + member * weights_per_member_;
    for (size_t l = 0; l < padded_latents_; l += kLanes) {
      std::array<float, kLanes> z;
      std::copy_n(weights, kLanes, z.begin());
      weights += kLanes;
      for (size_t k = 0; k < components; ++k, weights += kLanes)
        for (size_t lane = 0; lane < kLanes; ++lane) z[lane] += weights[lane] * normals_[k];
      for (size_t lane = 0; lane < kLanes; ++lane)
        scores_[(l + lane) * kTileRows + static_cast<size_t>(i)] = z[lane] + weights[lane] * normals_[noise_[l + lane]];
      weights += kLanes;
    }
  }

  void draw_states(const RowWords& row, size_t member, int64_t i) {
    const BlockLayout& layout = drawer_.layout();
    RowWords::Block words{};
    for (size_t v = 0; v < sampler_.emissions.size(); ++v) {
      if (v % 4 == 0) words = row.block(layout.words + static_cast<uint32_t>(v / 4));
      const Emission& emission = sampler_.emissions[v];
      size_t node = member;
      int32_t state = outcome_of(emission, node, words[v % 4]);
      if (state == Emission::kAbove) {
        const RowWords::Block further = row.block(layout.further + static_cast<uint32_t>(v));
        for (size_t draw = 0; state == Emission::kAbove; ++draw) {
          node = static_cast<size_t>(emission.above[node]);
          state = outcome_of(emission, node, further[draw]);
        }
      }
      states_[v * kTileRows + static_cast<size_t>(i)] = state;
    }
  }

  static int32_t outcome_of(const Emission& emission, size_t node, uint32_t word) {
    const auto first = static_cast<size_t>(emission.first[node]), end = static_cast<size_t>(emission.first[node + 1]);
    return draw_outcome(emission.table, first, end - first, word);
  }

  void write_column(size_t c, int64_t first, int64_t count, const ColumnBuffer& buffer) {
    switch (sampler_.columns[c].storage) {
      case Storage::kInt32:
        return write_values<int32_t>(c, first, count, buffer);
      case Storage::kInt64:
        return write_values<int64_t>(c, first, count, buffer);
      case Storage::kFloat32:
        return write_values<float>(c, first, count, buffer);
      case Storage::kFloat64:
        return write_values<double>(c, first, count, buffer);
    }
  }

  template <class Value>
  void write_values(size_t c, int64_t first, int64_t count, const ColumnBuffer& buffer) {
    const ColumnSampler& column = sampler_.columns[c];
    const float* scores = scores_.data() + static_cast<size_t>(column.latent) * kTileRows;
    const int32_t* states = states_.data() + static_cast<size_t>(std::max(column.emission, 0)) * kTileRows;
    uint8_t present = 0;
    for (int64_t i = 0; i < count; ++i) {
      StateRole role = StateRole::kLatent;
      Value value{};
      if (column.emission >= 0) {
        const auto state = static_cast<size_t>(states[i]);
        role = column.state_role[state];
        if (role == StateRole::kValue) value = value_of_state<Value>(column, state);
      }
      if (role == StateRole::kLatent) {
        value = held<Value>(columns_[c].value_at(scores[i]));
      }
      static_cast<Value*>(buffer.values)[first + i] = value;
      if (buffer.validity == nullptr) continue;
      present = static_cast<uint8_t>(present | (role != StateRole::kMissing) << (i & 7));
      if ((i & 7) == 7 || i + 1 == count) buffer.validity[(first + i) / 8] = std::exchange(present, 0);
    }
  }

  const TableSampler& sampler_;
  CellDrawer drawer_;
  std::vector<MixtureColumn> columns_;
  static constexpr size_t kLanes = 4;
  size_t padded_latents_ = 0, weights_per_member_ = 0;
  std::vector<float> weights_;  // [members, padded latents / kLanes, mean | components | residual, kLanes]
  std::vector<size_t> noise_;   // [padded latents] which normal is a latent's own noise; the last, a 0, where none is
  std::vector<float> normals_;
  std::vector<float> scores_;    // [padded latents, kTileRows]
  std::vector<int32_t> states_;  // [variables, kTileRows]
};

}  // namespace

std::shared_ptr<const Generator> make_conditioned_generator(std::shared_ptr<const ConditionedMixture> mixture,
                                                            uint64_t seed, const Backend& backend) {
  const std::shared_ptr<const TableRecipe> recipe(mixture, &mixture->recipe);
  if (mixture->cells.empty()) return make_table_generator(recipe, seed, backend);
  return make_table_generator(recipe, seed, [mixture] { return std::make_unique<ConditionedSampler>(*mixture); });
}

double acceptance_of(const ConditionedMixture& mixture) {
  if (!mixture.is_bound) return 1;
  constexpr uint32_t kTries = 1 << 16;
  const PhiloxKey key = philox_key(0);
  const PhiloxKeys<PlainLanes> keys = portable::philox_keys<PlainLanes>(key);
  CellDrawer drawer(mixture);
  uint32_t accepted = 0;
  for (uint32_t row = 0; row < kTries; ++row) accepted += drawer.attempt(RowWords(row, key, keys), 0) != nullptr;
  if (accepted == 0)
    throw UsageError("--where: the conditions leave the model no row in " + std::to_string(kTries) +
                     " tries: give fewer or wider ranges");
  return static_cast<double>(accepted) / kTries;
}

ConditionedRows make_rows_where(const TableRecipe& recipe, const std::string& conditions, uint64_t seed,
                                const Backend& backend) {
  const auto mixture = std::make_shared<const ConditionedMixture>(
      condition_mixture(recipe, parse_conditions(conditions, recipe.schema)));
  ConditionedRows rows;
  rows.acceptance = acceptance_of(*mixture);
  rows.probability = mixture->probability * rows.acceptance;
  rows.is_density = mixture->is_density;
  rows.generator = make_conditioned_generator(mixture, seed, backend);
  return rows;
}

}  // namespace doppel
