// What scores and states of rows take besides in a mixture (sample_scores.cuh): each row's member, its scores by that
// member's weights, and the states of its variables.
//
// Members differ from row to row and so from thread to thread: weights and alias entries are read where they lie, by
// sectors of 32 bytes (the eight latents' weights of a component are one) through the read-only path; a mixture's
// tables, some MB, stay in L2. A row of K components, L latents and V variables reads (K + 2) L weights and 20 V bytes
// of nodes and entries, and draws V / 4 Philox blocks, or Sobol' points; a state drawn again from a node above takes a
// block more, for its own thread alone.
#pragma once

#include "kernels/common/philox.h"
#include "kernels/common/sobol.h"
#include "kernels/cuda/sample_table.h"
#include "kernels/cuda/simt.h"
#include "kernels/random.h"

namespace doppel::cuda {
namespace {

// The four rows of a thread.
struct Rows {
  PhiloxKey key;
  PhiloxRow<Lanes> row[kRowsPerThread];
};

__device__ __forceinline__ Rows make_rows(uint64_t seed, uint64_t first) {
  Rows rows;
  rows.key = philox_key(seed);
#pragma unroll
  for (int r = 0; r < kRowsPerThread; ++r) {
    const uint64_t row = first + static_cast<uint64_t>(r);
    rows.row[r] = portable::philox_row<Lanes>(static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32),
                                              static_cast<uint32_t>(doppel::Stream::kRows), rows.key);
  }
  return rows;
}

// Outcome by a word of `entries` alias entries from the first on (kernels/cpu/sample_table.h: AliasEntry).
__device__ __forceinline__ int draw_outcome(const uint2* first, uint32_t entries, uint32_t word, const int2* pairs) {
  const uint64_t product = static_cast<uint64_t>(word) * entries;
  const uint2 entry = __ldg(first + static_cast<uint32_t>(product >> 32));
  const bool above = static_cast<uint32_t>(product) >= entry.x;
  if (pairs == nullptr) return static_cast<int16_t>(entry.y >> (above ? 16 : 0));
  const int2 pair = __ldg(pairs + entry.y);
  return above ? pair.y : pair.x;
}

// A state that is kAbove: drawn again from the node above the member's, and so on, by the words of the variable's own
// block.
__device__ __forceinline__ int draw_above(const SampleMixture& m, const SampleVariable& variable,
                                          const std::byte* tables, int member, const Rows& rows,
                                          const PhiloxRow<Lanes>& row, uint32_t block) {
  uint32_t words[4];
  portable::philox_block<Lanes>(row, block, rows.key, portable::philox_keys<Lanes>(rows.key), words);
  const int2* pairs = variable.has_pairs ? table_at<int2>(tables, variable.pairs) : nullptr;
  int node = __ldg(table_at<int>(tables, variable.above) + member), state = Emission::kAbove;
#pragma unroll
  for (int draw = 0; draw < Emission::kMostNodesUp; ++draw) {
    if (state != Emission::kAbove) break;
    const int4 record = __ldg(table_at<int4>(tables, variable.nodes_above) + node);
    state =
        draw_outcome(m.entries + static_cast<uint32_t>(record.x), static_cast<uint32_t>(record.y), words[draw], pairs);
    node = record.z;
  }
  return state;
}

__device__ __forceinline__ int draw_state(const SampleMixture& m, int v, const std::byte* tables, int member,
                                          uint32_t word, const Rows& rows, const PhiloxRow<Lanes>& row) {
  const SampleVariable& variable = m.variable[v];
  const uint32_t* nodes = m.member_nodes + static_cast<int64_t>(member) * 2 * m.padded_variables + v;
  const int2* pairs = variable.has_pairs ? table_at<int2>(tables, variable.pairs) : nullptr;
  const int state = draw_outcome(m.entries + __ldg(nodes + m.padded_variables), __ldg(nodes), word, pairs);
  if (state != Emission::kAbove) return state;
  return draw_above(m, variable, tables, member, rows, row,
                    m.first_word_block + m.word_blocks + static_cast<uint32_t>(v));
}

// ---- Sobol' points (kernels/common/sobol.h)

// The points of a thread's rows. All but a row in 1,024 share a block with the thread's first row, and with it the
// order and the upper bits of the points' numbers.
struct Points {
  uint32_t high[kRowsPerThread];   // words of the rows' numbers
  uint32_t index[kRowsPerThread];  // the points' numbers
};

__device__ __forceinline__ void philox_block_of(uint64_t seed, uint64_t row, uint32_t block, doppel::Stream stream,
                                                uint32_t words[4]) {
  const PhiloxKey key = philox_key(seed);
  const auto shared = portable::philox_row<Lanes>(static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32),
                                                  static_cast<uint32_t>(stream), key);
  portable::philox_block<Lanes>(shared, block, key, portable::philox_keys<Lanes>(key), words);
}

__device__ __forceinline__ Points make_points(uint64_t seed, uint64_t first) {
  Points points;
  uint64_t block = first >> kSobolBlockBits;
  uint32_t order[4];
  philox_block_of(seed, block, 0, doppel::Stream::kOrder, order);
#pragma unroll
  for (int r = 0; r < kRowsPerThread; ++r) {
    const uint64_t row = first + static_cast<uint64_t>(r);
    if (row >> kSobolBlockBits != block) {
      block = row >> kSobolBlockBits;
      philox_block_of(seed, block, 0, doppel::Stream::kOrder, order);
    }
    points.high[r] = static_cast<uint32_t>(row >> 32);
    points.index[r] = static_cast<uint32_t>(block << kSobolBlockBits) |
                      sobol_place(order, static_cast<uint32_t>(row) & (kSobolBlockRows - 1));
  }
  return points;
}

// What parts kFirst .. kLast - 1 of a point's number add to a coordinate.
template <int kFirst, int kLast>
__device__ __forceinline__ uint32_t add_parts(const uint32_t* parts, uint32_t index) {
  uint32_t sum = 0;
#pragma unroll
  for (int part = kFirst; part < kLast; ++part)
    sum ^= __ldg(parts + kSobolPartValues * part + (index >> 4 * part & (kSobolPartValues - 1)));
  return sum;
}

// Words 4 block .. 4 block + 3 of a thread's rows: three loads each, which a warp takes from two sectors, and five for
// all rows together.
__device__ __forceinline__ void words_of_points(const SampleMixture& m, uint64_t seed, const Points& points,
                                                uint32_t block, uint32_t words[kRowsPerThread][4]) {
  constexpr int kOwn = (kSobolBlockBits + 3) / 4;  // parts in which rows of a block differ
  uint32_t shift[4];
  philox_block_of(seed, points.high[0], block, doppel::Stream::kShift, shift);
#pragma unroll
  for (int i = 0; i < 4; ++i) {
    const uint32_t* parts = m.sobol + (4 * block + static_cast<uint32_t>(i)) * kSobolParts * kSobolPartValues;
    const uint32_t shared = shift[i] ^ add_parts<kOwn, kSobolParts>(parts, points.index[0]);
#pragma unroll
    for (int r = 0; r < kRowsPerThread; ++r) words[r][i] = shared ^ add_parts<0, kOwn>(parts, points.index[r]);
  }
  if ((points.index[0] ^ points.index[kRowsPerThread - 1]) >> kSobolBlockBits == 0) return;
  for (int r = 1; r < kRowsPerThread; ++r) {
    philox_block_of(seed, points.high[r], block, doppel::Stream::kShift, shift);
    for (int i = 0; i < 4; ++i)
      words[r][i] = shift[i] ^ add_parts<0, kSobolParts>(
                                   m.sobol + (4 * block + static_cast<uint32_t>(i)) * kSobolParts * kSobolPartValues,
                                   points.index[r]);
  }
}

// The members of a thread's rows, and states[v * stride] of its variables.
__device__ __forceinline__ void draw_discrete(const SampleMixture& m, const std::byte* tables, uint64_t seed,
                                              uint64_t first_row, const Rows& rows, int member[kRowsPerThread],
                                              int4* states, int stride) {
  const auto keys = portable::philox_keys<Lanes>(rows.key);
  Points points;
  if (m.sobol_blocks > 0) points = make_points(seed, first_row);
  for (uint32_t block = 0; block < m.word_blocks; ++block) {
    uint32_t words[kRowsPerThread][4];
    if (block < m.sobol_blocks) {
      words_of_points(m, seed, points, block, words);
    } else {
#pragma unroll
      for (int r = 0; r < kRowsPerThread; ++r)
        portable::philox_block<Lanes>(rows.row[r], m.first_word_block + block, rows.key, keys, words[r]);
    }
    if (block == 0) {
#pragma unroll
      for (int r = 0; r < kRowsPerThread; ++r)
        member[r] = draw_outcome(m.member, m.member_entries, words[r][0], m.member_pairs);
    }
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      const int v = static_cast<int>(4 * block) + i - 1;
      if (v < 0 || v >= m.variables) continue;
      int drawn[kRowsPerThread];
#pragma unroll
      for (int r = 0; r < kRowsPerThread; ++r)
        drawn[r] = draw_state(m, v, tables, member[r], words[r][i], rows, rows.row[r]);
      states[v * stride] = make_int4(drawn[0], drawn[1], drawn[2], drawn[3]);
    }
  }
}

__device__ __forceinline__ void add_products(const float4* weights, float normal, float sum[kGroupScores]) {
  const float4 low = __ldg(weights), high = __ldg(weights + 1);
  sum[0] = Lanes::fused(low.x, normal, sum[0]);
  sum[1] = Lanes::fused(low.y, normal, sum[1]);
  sum[2] = Lanes::fused(low.z, normal, sum[2]);
  sum[3] = Lanes::fused(low.w, normal, sum[3]);
  sum[4] = Lanes::fused(high.x, normal, sum[4]);
  sum[5] = Lanes::fused(high.y, normal, sum[5]);
  sum[6] = Lanes::fused(high.z, normal, sum[6]);
  sum[7] = Lanes::fused(high.w, normal, sum[7]);
}

// scores[s] of the group's latents; on entry their own noise, of those that has_noise says. weights: of the group, for
// each row [2 + components, 8] of its member: means, the factor's, residuals.
__device__ __forceinline__ void compute_mixture_scores(const float4* const weights[kRowsPerThread], int components,
                                                       const float* has_noise, const float4* normals, int stride,
                                                       float4* scores) {
  float sum[kRowsPerThread][kGroupScores];
#pragma unroll
  for (int r = 0; r < kRowsPerThread; ++r) {
    const float4 low = __ldg(weights[r]), high = __ldg(weights[r] + 1);
    const float mean[kGroupScores] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
    for (int s = 0; s < kGroupScores; ++s) sum[r][s] = mean[s];
  }
#pragma unroll 2  // more spills registers from sm_100 on
  for (int k = 0; k < components; ++k) {
    const float4 normal = normals[k * stride];
    add_products(weights[0] + 2 * (k + 1), normal.x, sum[0]);
    add_products(weights[1] + 2 * (k + 1), normal.y, sum[1]);
    add_products(weights[2] + 2 * (k + 1), normal.z, sum[2]);
    add_products(weights[3] + 2 * (k + 1), normal.w, sum[3]);
  }
#pragma unroll
  for (int s = 0; s < kGroupScores; ++s) {
    if (__ldg(has_noise + s) > 0) {
      const float4 noise = scores[s * stride];
      const float own[kRowsPerThread] = {noise.x, noise.y, noise.z, noise.w};
#pragma unroll
      for (int r = 0; r < kRowsPerThread; ++r) {
        const float* residual = reinterpret_cast<const float*>(weights[r] + 2 * (components + 1));
        sum[r][s] = Lanes::fused(__ldg(residual + s), own[r], sum[r][s]);
      }
    }
    scores[s * stride] = make_float4(sum[0][s], sum[1][s], sum[2][s], sum[3][s]);
  }
}

}  // namespace
}  // namespace doppel::cuda
