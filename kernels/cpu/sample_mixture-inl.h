// What a tile of a mixture has besides the steps of sample_table-inl.h, which includes this once per instruction set:
// each row's member, its scores, the states of its variables, and the values of columns by their states.
//
// Rows of a tile are of different members, so what differs between rows is read from memory, one row after another: a
// row's scores are computed with its latents in the lanes (then transposed), its states by a multiplication and a load
// each. The processor overlaps the loads of several rows, as no row waits for another and no branch depends on what is
// drawn; the states drawn again, from a node above, are listed and drawn apart.
#include <algorithm>
#include <bit>
#include <cstring>

#include "kernels/common/philox.h"
#include "kernels/cpu/plain_lanes.h"
#include "kernels/cpu/sample_table.h"
#include "kernels/random.h"

#if defined(DOPPEL_SIMD) ? defined(DOPPEL_SAMPLE_MIXTURE_TOGGLE) == defined(HWY_TARGET_TOGGLE) \
                         : !defined(DOPPEL_SAMPLE_MIXTURE_TOGGLE)
#ifdef DOPPEL_SAMPLE_MIXTURE_TOGGLE
#undef DOPPEL_SAMPLE_MIXTURE_TOGGLE
#else
#define DOPPEL_SAMPLE_MIXTURE_TOGGLE
#endif

DOPPEL_PORTABLE_BEGIN

// Without a branch, which would go the wrong way as often as not.
DOPPEL_PORTABLE int32_t draw_outcome(const AliasEntry* entries, uint32_t count, uint32_t word) {
  const uint64_t product = uint64_t{word} * count;
  const AliasEntry& entry = entries[product >> 32];
  return entry.outcome[static_cast<uint32_t>(product) >= entry.threshold];
}

// words: by their bits.
template <class L>
void draw_members(const PreparedMixture& mixture, const float* words, int64_t rows, int32_t* members) {
  const AliasEntry* entries = mixture.member.data();
  const auto count = static_cast<uint32_t>(mixture.member.size());
  for (int64_t row = 0; row < rows; ++row)
    members[row] = draw_outcome(entries, count, std::bit_cast<uint32_t>(words[row]));
}

// The scores of one row but for its own noise: to [padded latents].
template <class L>
DOPPEL_PORTABLE void scores_of_row(const PreparedMixture& mixture, const LatentVector* weights, const float* normals,
                                   int64_t stride, float* scores) {
  using V = typename L::Latents;
  constexpr int kParts = LatentVector::kLatents / V::kLanes;
  for (int32_t vector = 0; vector < mixture.latent_vectors; ++vector, scores += LatentVector::kLatents) {
    typename V::Float sums[kParts];
    DOPPEL_UNROLL(8)
    for (int part = 0; part < kParts; ++part) sums[part] = V::load(weights->latent + part * V::kLanes);
    ++weights;
    for (int32_t k = 0; k < mixture.used[vector]; ++k, ++weights) {
      const auto normal = V::set(normals[k * stride]);
      DOPPEL_UNROLL(8)
      for (int part = 0; part < kParts; ++part)
        sums[part] = V::fused(V::load(weights->latent + part * V::kLanes), normal, sums[part]);
    }
    DOPPEL_UNROLL(8)
    for (int part = 0; part < kParts; ++part) V::store(sums[part], scores + part * V::kLanes);
  }
}

// kLanes rows whose scores are in row_scores: transposed, with their own noise, to scores + latent * stride.
template <class L>
DOPPEL_PORTABLE void transpose_scores(const PreparedMixture& mixture, const int32_t* members, const float* normals,
                                      int64_t stride, const float* row_scores, float* scores) {
  const int32_t latents = mixture.latent_vectors * LatentVector::kLatents;
  const auto residuals = mixture.weights_per_member - static_cast<size_t>(mixture.latent_vectors);
  for (int32_t latent = 0; latent < latents; latent += 4) {
    const float* records[L::kLanes];
    typename L::Float sums[4];
    for (int lane = 0; lane < L::kLanes; ++lane) records[lane] = row_scores + lane * latents + latent;
    L::load_records(records, sums);
    const int32_t* draws = mixture.residual_draw.data() + latent;
    if (std::max(std::max(draws[0], draws[1]), std::max(draws[2], draws[3])) >= 0) {
      typename L::Float residual[4];
      for (int lane = 0; lane < L::kLanes; ++lane) {
        const size_t member = static_cast<size_t>(members[lane]) * mixture.weights_per_member;
        records[lane] = mixture.weights[member + residuals].latent + latent;
      }
      L::load_records(records, residual);
      for (int i = 0; i < 4; ++i)
        if (draws[i] >= 0) sums[i] = L::fused(residual[i], L::load(normals + draws[i] * stride), sums[i]);
    }
    for (int i = 0; i < 4; ++i) L::store(sums[i], scores + (latent + i) * stride);
  }
}

template <class L>
void scores_of_mixture(const PreparedMixture& mixture, int64_t rows, int64_t stride, TileScratch& scratch) {
  static_assert(L::kLanes <= kMostLanes);
  const int32_t latents = mixture.latent_vectors * LatentVector::kLatents;
  for (int64_t row = 0; row < rows; row += L::kLanes) {
    const int32_t* members = scratch.members + row;
    for (int lane = 0; lane < L::kLanes; ++lane)
      scores_of_row<L>(mixture,
                       mixture.weights.data() + static_cast<size_t>(members[lane]) * mixture.weights_per_member,
                       scratch.normals + row + lane, stride, scratch.row_scores + lane * latents);
    transpose_scores<L>(mixture, members, scratch.normals + row, stride, scratch.row_scores, scratch.scores + row);
  }
}

// The first draw of each variable of each row; words: [variables, stride], by their bits.
template <class L>
void draw_states(const PreparedMixture& mixture, const int32_t* members, const float* words, int64_t rows,
                 int64_t stride, int32_t* states) {
  const auto variables = static_cast<size_t>(mixture.variables);
  const AliasEntry* entries = mixture.entries.data();
  for (int64_t row = 0; row < rows; ++row) {
    const EmissionNode* nodes = mixture.nodes.data() + static_cast<size_t>(members[row]) * variables;
    for (size_t variable = 0; variable < variables; ++variable) {
      const int64_t at = static_cast<int64_t>(variable) * stride + row;
      const EmissionNode node = nodes[variable];
      states[at] = draw_outcome(entries + node.first, node.entries, std::bit_cast<uint32_t>(words[at]));
    }
  }
}

// Numbers of the rows of a tile whose state is kAbove, then zeros up to a whole vector.
template <class L>
DOPPEL_PORTABLE int64_t list_above(const int32_t* states, int64_t rows, int32_t* listed) {
  int64_t count = 0;
  for (int64_t row = 0; row < rows; row += L::kLanes)
    count += L::store_where_negative(L::load_int(states + row), static_cast<int32_t>(row), listed + count);
  for (int64_t i = count; i % L::kLanes != 0; ++i) listed[i] = 0;
  return count;
}

// One block of words of the listed rows, [4, stride]. Rows of a vector must share the high word of their numbers.
template <class L>
void words_of_listed(uint64_t seed, uint64_t first_row, const int32_t* listed, int64_t count, uint32_t block,
                     int64_t stride, uint32_t* words) {
  const PhiloxKey key = philox_key(seed);
  const PhiloxKeys<L> keys = philox_keys<L>(key);
  const auto first = L::set_int(static_cast<int32_t>(static_cast<uint32_t>(first_row)));
  for (int64_t i = 0; i < count; i += L::kLanes) {
    const auto low = L::words_of_int(L::add_int(first, L::load_int(listed + i)));
    const uint64_t number = first_row + static_cast<uint64_t>(listed[i]);
    const auto row = philox_row<L>(low, static_cast<uint32_t>(number >> 32), static_cast<uint32_t>(Stream::kRows), key);
    typename L::Words out[4];
    philox_block<L>(row, block, key, keys, out);
    for (int word = 0; word < 4; ++word)
      L::store(L::int_of_words(out[word]), reinterpret_cast<int32_t*>(words) + word * stride + i);
  }
}

// States that are kAbove: drawn again from the node above, and so on.
template <class L, class One>
void draw_above(const PreparedTable& table, uint64_t seed, uint64_t first_row, TileScratch& scratch) {
  const PreparedMixture& mixture = *table.mixture;
  const int64_t stride = table.stride;
  const bool wraps = (first_row & 0xFFFFFFFFu) + static_cast<uint64_t>(table.tile_rows) > uint64_t{1} << 32;
  for (int32_t variable = 0; variable < mixture.variables; ++variable) {
    int32_t* states = scratch.states + variable * stride;
    const int64_t count = list_above<L>(states, table.tile_rows, scratch.listed);
    const auto block = static_cast<uint32_t>(table.blocks + mixture.word_blocks + variable);
    const auto fill_words = wraps ? words_of_listed<One> : words_of_listed<L>;
    fill_words(seed, first_row, scratch.listed, count, block, stride, scratch.words);
    for (int64_t i = 0; i < count; ++i) {
      const int32_t row = scratch.listed[i];
      size_t node = static_cast<size_t>(scratch.members[row]) * static_cast<size_t>(mixture.variables) +
                    static_cast<size_t>(variable);
      int32_t state = Emission::kAbove;
      for (const uint32_t* word = scratch.words + i; state == Emission::kAbove; word += stride) {
        node = mixture.above[node];
        state = draw_outcome(mixture.entries.data() + mixture.nodes[node].first, mixture.nodes[node].entries, *word);
      }
      states[row] = state;
    }
  }
}

// Members, scores and states of a tile whose normals and words are drawn.
template <class L, class One>
void mixture_of_tile(const PreparedTable& table, uint64_t seed, uint64_t first_row, TileScratch& scratch) {
  const PreparedMixture& mixture = *table.mixture;
  const int64_t rows = table.tile_rows, stride = table.stride;
  const float* words = scratch.normals + 4 * table.blocks * stride;
  draw_members<L>(mixture, words, rows, scratch.members);
  scores_of_mixture<L>(mixture, rows, stride, scratch);
  draw_states<L>(mixture, scratch.members, words + stride, rows, stride, scratch.states);
  draw_above<L, One>(table, seed, first_row, scratch);
}

// Values of the states; rows whose state is kLatent keep what they have.
template <class Value>
void values_of_states(const PreparedColumn& column, const std::vector<StateValue<Value>>& state_values,
                      const int32_t* states, int64_t rows, Value* values) {
  const StateValue<Value>* of_state = state_values.data();
  if (!column.has_latent) {
    for (int64_t row = 0; row < rows; ++row) values[row] = of_state[states[row]].value;
    return;
  }
  for (int64_t row = 0; row < rows; ++row) {
    const StateValue<Value>& state = of_state[states[row]];
    values[row] = (values[row] & state.kept) | state.value;
  }
}

// 64 rows: bit i is 1 where row i has a value.
template <class L>
DOPPEL_PORTABLE uint64_t presence_of_states(const PreparedColumn& column, const int32_t* states) {
  uint64_t missing = 0;
  if (column.missing_states != 0) {
    const auto bits = L::set_int(static_cast<int32_t>(column.missing_states));
    for (int row = 0; row < 64; row += L::kLanes)
      missing |= uint64_t{L::bits_where_negative(L::shift_left(bits, L::load_int(states + row)))} << row;
  } else {
    const StateRole* roles = column.state_role.data();
    for (int row = 0; row < 64; ++row) missing |= uint64_t{roles[states[row]] == StateRole::kMissing} << row;
  }
  return ~missing;
}

DOPPEL_PORTABLE_END
#endif
