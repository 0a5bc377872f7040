// What a tile of a mixture has besides the steps of sample_table-inl.h, which includes this once per instruction set:
// each row's member, its scores, the states of its variables, and the values of columns by their states.
//
// Rows of a tile are of different members, so what differs between rows is read from memory, one row after another: a
// row's scores are computed with its latents in the lanes (then transposed), its states by a multiplication and a load
// each. The processor overlaps the loads of several rows, as no row waits for another and no branch depends on what is
// drawn; the states drawn again, from a node above, are listed and drawn apart.
//
// What a row costs is, besides arithmetic, the lines of its member's weights: half precision and leaving out zeros keep
// a thousand members of life expectancy in a L2 of 2 MiB (0.5 MB of weights, 0.3 MB of states), and they are asked for
// two steps ahead. Asking for the entries, too, lost; so did CompressStore for the list of rows against a loop over
// bits (GCC copies its table with every use).
//   build/release/bench/bench_sampling --benchmark_filter='(adult|life).*AVX2'
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

// The outcome of an entry, without a branch, which would go the wrong way as often as not.
DOPPEL_PORTABLE int32_t outcome_of(AliasEntry entry, uint32_t low, const OutcomePairs& pairs) {
  const bool above = low >= entry.threshold;
  if (!pairs.empty()) return pairs[entry.outcomes].outcome[above];
  return static_cast<int16_t>(entry.outcomes >> 16 * int{above});
}
DOPPEL_PORTABLE int32_t draw_outcome(const AliasEntry* entries, uint32_t count, int32_t word,
                                     const OutcomePairs& pairs) {
  const uint64_t product = uint64_t{static_cast<uint32_t>(word)} * count;
  return outcome_of(entries[product >> 32], static_cast<uint32_t>(product), pairs);
}

inline void draw_members(const PreparedMixture& mixture, int64_t rows, TileScratch& scratch) {
  const auto count = static_cast<uint32_t>(mixture.member.size());
  const int32_t* word = scratch.words;
  for (int64_t row = 0; row < rows; ++row, word += 4 * mixture.word_blocks)
    scratch.members[row] = draw_outcome(mixture.member.data(), count, *word, mixture.member_pairs);
}

// The scores of kRows neighbouring rows but for their own noise, to [kRows, padded latents]; weights: of their members.
// Rows side by side are independent chains, and share what a loop costs.
template <class L, int kRows, class Weight>
DOPPEL_PORTABLE void scores_of_rows(const PreparedMixture& mixture, const LatentVector<Weight>* const weights[kRows],
                                    const float* normals, int64_t stride, float* scores) {
  using V = typename L::Latents;
  constexpr int kParts = kVectorLatents / V::kLanes;
  const int32_t latents = mixture.latent_vectors * kVectorLatents;
  size_t at = 0;
  for (int32_t vector = 0; vector < mixture.latent_vectors; ++vector, scores += kVectorLatents) {
    typename V::Float sums[kRows][kParts];
    const auto weight = [&](int row, int part) { return V::load(weights[row][at].latent + part * V::kLanes); };
    DOPPEL_UNROLL(8)
    for (int i = 0; i < kRows * kParts; ++i) sums[i / kParts][i % kParts] = weight(i / kParts, i % kParts);
    ++at;
    const float* normal = normals;
    for (const size_t end = at + static_cast<size_t>(mixture.used[vector]); at < end; ++at, normal += stride) {
      DOPPEL_UNROLL(8)
      for (int i = 0; i < kRows * kParts; ++i) {
        auto& sum = sums[i / kParts][i % kParts];
        sum = V::fused(weight(i / kParts, i % kParts), V::set(normal[i / kParts]), sum);
      }
    }
    DOPPEL_UNROLL(8)
    for (int i = 0; i < kRows * kParts; ++i)
      V::store(sums[i / kParts][i % kParts], scores + i / kParts * latents + i % kParts * V::kLanes);
  }
}

// kLanes rows whose scores are in row_scores: transposed, with their own noise, to scores + latent * stride (padding's
// before).
template <class L>
DOPPEL_PORTABLE void transpose_scores(const PreparedMixture& mixture, const int32_t* members, const float* normals,
                                      int64_t stride, const float* row_scores, float* scores) {
  const int32_t latents = mixture.latent_vectors * kVectorLatents;
  for (int32_t latent = mixture.padding / 4 * 4; latent < latents; latent += 4) {
    const float* records[L::kLanes];
    typename L::Float sums[4];
    for (int lane = 0; lane < L::kLanes; ++lane) records[lane] = row_scores + lane * latents + latent;
    L::load_records(records, sums);
    const int32_t* draws = mixture.residual_draw.data() + latent;
    if (std::max(std::max(draws[0], draws[1]), std::max(draws[2], draws[3])) >= 0) {
      typename L::Float residual[4];
      for (int lane = 0; lane < L::kLanes; ++lane)
        records[lane] = mixture.residuals.data() + int64_t{members[lane]} * latents + latent;
      L::load_records(records, residual);
      for (int i = 0; i < 4; ++i)
        if (draws[i] >= 0) sums[i] = L::fused(residual[i], L::load(normals + draws[i] * stride), sums[i]);
    }
    for (int i = 0; i < 4; ++i) L::store(sums[i], scores + (latent + i - mixture.padding) * stride);
  }
}

// Asks for a member's weights before they are needed: they come from L2, and what is computed between two rows is too
// little to hide that.
template <class Weight>
void prefetch_weights(const LatentVector<Weight>* weights, size_t vectors) {
  const auto* line = reinterpret_cast<const std::byte*>(weights);
  const auto* end = reinterpret_cast<const std::byte*>(weights + vectors);
  for (; line < end; line += 64) __builtin_prefetch(line);
}

template <class L, class Weight>
void scores_of_mixture(const PreparedMixture& mixture, const std::vector<LatentVector<Weight>>& weights, int64_t rows,
                       int64_t stride, TileScratch& scratch) {
  static_assert(L::kLanes <= kMostLanes);
  constexpr int kRows = std::min(L::kLanes, 4);
  const int32_t latents = mixture.latent_vectors * kVectorLatents;
  const auto weights_of = [&](int64_t row) {
    return weights.data() + static_cast<size_t>(scratch.members[row]) * mixture.weights_per_member;
  };
  for (int64_t row = 0; row < rows; row += L::kLanes) {
    for (int lane = 0; lane < L::kLanes; lane += kRows) {
      const LatentVector<Weight>* of_row[kRows];
      for (int i = 0; i < kRows; ++i) {
        of_row[i] = weights_of(row + lane + i);
        prefetch_weights(weights_of(std::min(row + lane + i + 2 * kRows, rows - 1)), mixture.weights_per_member);
      }
      scores_of_rows<L, kRows>(mixture, of_row, scratch.normals + row + lane, stride,
                               scratch.row_scores + lane * latents);
    }
    transpose_scores<L>(mixture, scratch.members + row, scratch.normals + row, stride, scratch.row_scores,
                        scratch.scores + row);
  }
}

// Reads the entry that each variable of a row draws first, and the low half of the product.
template <class L>
DOPPEL_PORTABLE void read_entries(const PreparedMixture& mixture, int32_t member, const int32_t* words, int32_t* low,
                                  AliasEntry* drawn) {
  const auto padded = static_cast<size_t>(mixture.padded_variables);
  const auto* counts =
      reinterpret_cast<const int32_t*>(mixture.member_nodes.data()) + static_cast<size_t>(member) * 2 * padded;
  const AliasEntry* entries = mixture.entries.data();
  for (int32_t variable = 0; variable < mixture.variables; variable += L::kLanes) {
    typename L::Int high_half, low_half;
    L::multiply_full(L::load_int(words + variable), L::load_int(counts + variable), high_half, low_half);
    L::store(low_half, low + variable);
    int32_t place[L::kLanes];
    L::store(L::add_int(high_half, L::load_int(counts + padded + variable)), place);
    const int32_t lanes = std::min<int32_t>(L::kLanes, mixture.variables - variable);
    for (int32_t lane = 0; lane < lanes; ++lane) drawn[variable + lane] = entries[static_cast<uint32_t>(place[lane])];
  }
}

// kLanes rows, whose entries are read: to states [variables, stride].
template <class L>
DOPPEL_PORTABLE void judge_entries(const PreparedMixture& mixture, const int32_t* low, const AliasEntry* drawn,
                                   int32_t* row_states, int64_t stride, int32_t* states) {
  const int32_t padded = mixture.padded_variables;
  for (int lane = 0; lane < L::kLanes; ++lane)
    for (int32_t variable = 0; variable < mixture.variables; variable += L::kLanes) {
      const int32_t at = lane * padded + variable;
      typename L::Int threshold, outcomes;
      L::load_pairs(reinterpret_cast<const int32_t*>(drawn + at), threshold, outcomes);
      L::store(L::choose_half(L::load_int(low + at), threshold, outcomes), row_states + at);
    }
  for (int32_t variable = 0; variable < mixture.variables; ++variable) {
    if (mixture.pairs[variable].empty()) continue;
    for (int32_t at = variable; at < L::kLanes * padded; at += padded)
      row_states[at] = outcome_of(drawn[at], static_cast<uint32_t>(low[at]), mixture.pairs[variable]);
  }
  for (int32_t variable = 0; variable < mixture.variables; variable += 4) {
    const float* records[L::kLanes];
    for (int lane = 0; lane < L::kLanes; ++lane)
      records[lane] = reinterpret_cast<const float*>(row_states + lane * padded + variable);
    typename L::Float fields[4];
    L::load_records(records, fields);
    for (int i = 0; i < 4; ++i) L::store(L::bits_of(fields[i]), states + (variable + i) * stride);
  }
}

// The first draw of each variable of each row. Entries of many rows are read before any is judged: what comes between
// two reads is then so little that the processor has dozens of them under way.
template <class L>
void draw_states(const PreparedMixture& mixture, int64_t rows, int64_t stride, TileScratch& scratch) {
  const int64_t padded = mixture.padded_variables, words = 4 * mixture.word_blocks;
  for (int64_t first = 0; first < rows; first += kDrawnRows) {
    for (int64_t row = 0; row < kDrawnRows; ++row)
      read_entries<L>(mixture, scratch.members[first + row], scratch.words + (first + row) * words + 1,
                      scratch.low + row * padded, scratch.drawn + row * padded);
    for (int64_t row = 0; row < kDrawnRows; row += L::kLanes)
      judge_entries<L>(mixture, scratch.low + row * padded, scratch.drawn + row * padded,
                       scratch.row_states + row * padded, stride, scratch.states + first + row);
  }
}

// Numbers of the rows of a tile whose state is kAbove, then zeros up to a whole vector. By the bits of 64 rows, whose
// loop's end is mispredicted once; by those of a vector it would be as often as there is a bit.
template <class L>
DOPPEL_PORTABLE int64_t list_above(const int32_t* states, int64_t rows, int32_t* listed) {
  int64_t count = 0;
  for (int64_t first = 0; first < rows; first += 64) {
    uint64_t above = 0;
    for (int64_t row = 0; row < 64; row += L::kLanes)
      above |= uint64_t{L::bits_where_negative(L::load_int(states + first + row))} << row;
    for (; above != 0; above &= above - 1) listed[count++] = static_cast<int32_t>(first) + std::countr_zero(above);
  }
  for (int64_t i = count; i % L::kLanes != 0; ++i) listed[i] = 0;
  return count;
}

// One block of words of the listed rows, [4, stride]. Rows of a vector must share the high word of their numbers.
template <class L>
void words_of_listed(uint64_t seed, uint64_t first_row, const int32_t* listed, int64_t count, uint32_t block,
                     int64_t stride, int32_t* words) {
  const PhiloxKey key = philox_key(seed);
  const PhiloxKeys<L> keys = philox_keys<L>(key);
  const auto first = L::set_int(static_cast<int32_t>(static_cast<uint32_t>(first_row)));
  for (int64_t i = 0; i < count; i += L::kLanes) {
    const auto low = L::words_of_int(L::add_int(first, L::load_int(listed + i)));
    const uint64_t number = first_row + static_cast<uint64_t>(listed[i]);
    const auto row = philox_row<L>(low, static_cast<uint32_t>(number >> 32), static_cast<uint32_t>(Stream::kRows), key);
    typename L::Words out[4];
    philox_block<L>(row, block, key, keys, out);
    for (int word = 0; word < 4; ++word) L::store(L::int_of_words(out[word]), words + word * stride + i);
  }
}

// States that are kAbove: drawn again from the node above, and so on.
template <class L, class One>
void draw_above(const PreparedTable& table, uint64_t seed, uint64_t first_row, TileScratch& scratch) {
  const PreparedMixture& mixture = *table.mixture;
  const int64_t stride = table.tile_rows;
  const bool wraps = (first_row & 0xFFFFFFFFu) + static_cast<uint64_t>(table.tile_rows) > uint64_t{1} << 32;
  for (int32_t variable = 0; variable < mixture.variables; ++variable) {
    int32_t* states = scratch.states + variable * stride;
    const int64_t count = list_above<L>(states, table.tile_rows, scratch.listed);
    const auto block = static_cast<uint32_t>(table.blocks + mixture.word_blocks + variable);
    const auto fill_words = wraps ? words_of_listed<One> : words_of_listed<L>;
    fill_words(seed, first_row, scratch.listed, count, block, stride, scratch.more_words);
    const int32_t* above = mixture.above[variable].data();
    const PreparedMixture::Node* nodes = mixture.nodes_above[variable].data();
    for (int64_t i = 0; i < count; ++i) {
      scratch.climbing[i] = static_cast<int32_t>(i);
      scratch.listed_node[i] = above[scratch.members[scratch.listed[i]]];
    }
    // A level of all rows after another: no branch then depends on what is drawn, and their loads overlap.
    const int32_t* words = scratch.more_words;
    for (int64_t climbing = count; climbing > 0; words += stride) {
      int64_t higher = 0;
      for (int64_t c = 0; c < climbing; ++c) {
        const int32_t i = scratch.climbing[c];
        const PreparedMixture::Node node = nodes[scratch.listed_node[i]];
        const int32_t state =
            draw_outcome(mixture.entries.data() + node.first, node.entries, words[i], mixture.pairs[variable]);
        states[scratch.listed[i]] = state;
        scratch.listed_node[i] = node.above;
        scratch.climbing[higher] = i;
        higher += state == Emission::kAbove;
      }
      climbing = higher;
    }
  }
}

// Members, scores and states of a tile whose normals and words are drawn.
template <class L, class One>
void mixture_of_tile(const PreparedTable& table, uint64_t seed, uint64_t first_row, TileScratch& scratch) {
  const PreparedMixture& mixture = *table.mixture;
  draw_members(mixture, table.tile_rows, scratch);
  if (mixture.half_weights.empty()) {
    scores_of_mixture<L>(mixture, mixture.weights, table.tile_rows, table.tile_rows, scratch);
  } else {
    scores_of_mixture<L>(mixture, mixture.half_weights, table.tile_rows, table.tile_rows, scratch);
  }
  draw_states<L>(mixture, table.tile_rows, table.tile_rows, scratch);
  draw_above<L, One>(table, seed, first_row, scratch);
}

// Values of the states; rows whose state is kLatent keep what they have.
template <class Value>
void values_of_states(const PreparedColumn& column, const std::vector<StateValue<Value>>& state_values,
                      const int32_t* states, int64_t rows, Value* values) {
  const StateValue<Value>* of_state = state_values.data();
  if (!column.has_latent) {
    DOPPEL_UNROLL(8)
    for (int64_t row = 0; row < rows; ++row) values[row] = of_state[states[row]].value;
    return;
  }
  DOPPEL_UNROLL(8)
  for (int64_t row = 0; row < rows; ++row) {
    const StateValue<Value>& state = of_state[states[row]];
    values[row] = (values[row] & state.kept) | state.value;
  }
}

// The same for no more states of 32 bits than a vector has lanes.
template <class L>
void values_of_few_states(const PreparedColumn& column, const int32_t* states, int64_t rows, int32_t* values) {
  int32_t kept[L::kLanes] = {}, value[L::kLanes] = {};
  for (size_t state = 0; state < column.states32.size(); ++state) {
    kept[state] = static_cast<int32_t>(column.states32[state].kept);
    value[state] = static_cast<int32_t>(column.states32[state].value);
  }
  const auto all_kept = L::load_int(kept), all_values = L::load_int(value);
  for (int64_t row = 0; row < rows; row += L::kLanes) {
    const auto state = L::load_int(states + row);
    auto result = L::look_up(all_values, state);
    if (column.has_latent)
      result = L::or_int(result, L::and_int(L::look_up(all_kept, state), L::load_int(values + row)));
    L::store(result, values + row);
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
    const int32_t* sign_of = column.missing_sign.data();
    int32_t signs[64];
    DOPPEL_UNROLL(8)
    for (int row = 0; row < 64; ++row) signs[row] = sign_of[states[row]];
    for (int row = 0; row < 64; row += L::kLanes)
      missing |= uint64_t{L::bits_where_negative(L::load_int(signs + row))} << row;
  }
  return ~missing;
}

DOPPEL_PORTABLE_END
#endif
