// Rows with bounded latents: cells, normals, scores and states row by row, then columns over a lane type L, rows in the
// lanes. Included once per instruction set; `bounded_rows` is the entry.
#include <algorithm>

#include "kernels/common/bounded_rows.h"
#include "kernels/common/math.h"
#include "kernels/cpu/bounded_sampler.h"
#include "kernels/cpu/sample_table-inl.h"

#if defined(DOPPEL_SIMD) ? defined(DOPPEL_BOUNDED_SAMPLER_TOGGLE) == defined(HWY_TARGET_TOGGLE) \
                         : !defined(DOPPEL_BOUNDED_SAMPLER_TOGGLE)
#ifdef DOPPEL_BOUNDED_SAMPLER_TOGGLE
#undef DOPPEL_BOUNDED_SAMPLER_TOGGLE
#else
#define DOPPEL_BOUNDED_SAMPLER_TOGGLE
#endif

DOPPEL_PORTABLE_BEGIN

// Blocks of one row.
struct RowBlocks {
  PhiloxRow<PlainLanes> row;
  PhiloxKey key;
  const PhiloxKeys<PlainLanes>& keys;
  DOPPEL_PORTABLE void operator()(uint32_t block, uint32_t* words) const {
    philox_block<PlainLanes>(row, block, key, keys, words);
  }
};

inline void normals_of_bounded_row(const RowBlocks& block_of, uint32_t blocks, float* normals) {
  for (uint32_t block = 0; block < blocks; ++block, normals += 4) {
    uint32_t words[4];
    block_of(block, words);
    for (int pair = 0; pair < 4; pair += 2)
      box_muller<PlainLanes>(static_cast<int32_t>(words[pair]), static_cast<int32_t>(words[pair + 1]), normals[pair],
                             normals[pair + 1]);
  }
}

// scores [latents, stride]: products are rounded before they are added.
inline void scores_of_bounded_row(const PreparedBounded& sampler, int32_t member, const float* normals, int64_t stride,
                                  float* scores) {
  const int32_t terms = sampler.components + 2;
  const float* weights =
      sampler.weights.data() + int64_t{member} * sampler.latent_vectors * terms * kVectorLatents;
  for (int32_t first = 0; first < sampler.latents; first += kVectorLatents) {
    float z[kVectorLatents];
    std::copy_n(weights, kVectorLatents, z);
    weights += kVectorLatents;
    for (int32_t k = 0; k < sampler.components; ++k, weights += kVectorLatents)
      for (int lane = 0; lane < kVectorLatents; ++lane) z[lane] += weights[lane] * normals[k];
    const int32_t count = std::min(kVectorLatents, sampler.latents - first);
    for (int32_t lane = 0; lane < count; ++lane)
      scores[(first + lane) * stride] = z[lane] + weights[lane] * normals[sampler.noise[first + lane]];
    weights += kVectorLatents;
  }
}

// states [variables, stride], by the table sampler's nodes.
inline void states_of_bounded_row(const PreparedMixture& mixture, const BoundedTables& tables, int32_t member,
                                  const RowBlocks& block_of, int64_t stride, int32_t* states) {
  const uint32_t* entries = mixture.member_nodes.data() + int64_t{member} * 2 * mixture.padded_variables;
  const uint32_t* first = entries + mixture.padded_variables;
  uint32_t words[4] = {};
  for (int32_t v = 0; v < mixture.variables; ++v) {
    if (v % 4 == 0) block_of(tables.words + static_cast<uint32_t>(v / 4), words);
    const auto draw = [&](uint32_t from, uint32_t count, uint32_t word) {
      return draw_outcome(mixture.entries.data() + from, count, static_cast<int32_t>(word), mixture.pairs[v]);
    };
    int32_t state = draw(first[v], entries[v], words[v % 4]);
    if (state == Emission::kAbove) {
      uint32_t further[4];
      block_of(tables.further + static_cast<uint32_t>(v), further);
      int32_t node = mixture.above[v][member];
      for (int32_t i = 0; state == Emission::kAbove; ++i) {
        const PreparedMixture::Node& above = mixture.nodes_above[v][node];
        state = draw(above.first, above.entries, further[i]);
        node = above.above;
      }
    }
    states[v * stride] = state;
  }
}

inline void draw_bounded_row(const PreparedBounded& sampler, const BoundedTables& tables, BoundedScratch& scratch,
                             const RowBlocks& block_of, int64_t row) {
  const int64_t stride = sampler.table.tile_rows;
  const CellRecord& cell = *draw_cell(tables, block_of, scratch.bounded.data(), 1);
  normals_of_bounded_row(block_of, tables.words, scratch.normals.data());
  for (int32_t i = 0; i < cell.bounds; ++i) scratch.normals[i] = static_cast<float>(scratch.bounded[i]);
  float* scores = scratch.tile.scores + row;
  scores_of_bounded_row(sampler, cell.member, scratch.normals.data(), stride, scores);
  for (int32_t i = 0; i < cell.bounds; ++i) {
    const BoundRecord& bound = tables.bound[cell.first_bound + static_cast<uint32_t>(i)];
    scores[bound.latent * stride] = within_span(scores[bound.latent * stride], bound);
  }
  states_of_bounded_row(*sampler.table.mixture, tables, cell.member, block_of, stride, scratch.tile.states + row);
}

template <class L>
void bounded_rows(const PreparedBounded& sampler, BoundedScratch& scratch, uint64_t seed, uint64_t first_row,
                  int64_t rows, std::span<const ColumnBuffer> columns) {
  const PhiloxKey key = philox_key(seed);
  const PhiloxKeys<PlainLanes> keys = philox_keys<PlainLanes>(key);
  const BoundedTables tables = sampler.records.tables();
  const int64_t tile_rows = sampler.table.tile_rows;
  for (int64_t first = 0; first < rows; first += tile_rows) {
    const int64_t count = std::min(tile_rows, rows - first);
    for (int64_t i = 0; i < count; ++i) {  // rows of the tile beyond are those of a tile before, or zeros
      const uint64_t row = first_row + static_cast<uint64_t>(first + i);
      draw_bounded_row(sampler, tables, scratch,
                       {philox_row<PlainLanes>(static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32),
                                               static_cast<uint32_t>(Stream::kWhere), key),
                        key, keys},
                       i);
    }
    for (size_t column = 0; column < columns.size(); ++column)
      column_of_tile<L>(sampler.table.columns[column], sampler.table, first, count, scratch.tile, columns[column]);
  }
}

DOPPEL_PORTABLE_END
#endif
