// The table sampler over a lane type L: PlainLanes with memory operations, or HighwayLanes. Included once per
// instruction set, inside which `sample_rows<L>` and `fill_normals<L>` are the entries.
//
// Rows go through in tiles that stay in the L1 cache: normals [draw, row] -> scores [latent, row] by a register-blocked
// product -> one column after another.
#include <algorithm>

#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/cpu/sample_table.h"
#include "kernels/random.h"

#if defined(DOPPEL_SIMD) ? defined(DOPPEL_SAMPLE_TABLE_TOGGLE) == defined(HWY_TARGET_TOGGLE) \
                         : !defined(DOPPEL_SAMPLE_TABLE_TOGGLE)
#ifdef DOPPEL_SAMPLE_TABLE_TOGGLE
#undef DOPPEL_SAMPLE_TABLE_TOGGLE
#else
#define DOPPEL_SAMPLE_TABLE_TOGGLE
#endif

DOPPEL_PORTABLE_BEGIN

// Rows whose numbers share their high word.
template <class L>
DOPPEL_PORTABLE void normals_of_rows(uint64_t seed, uint64_t first_row, int64_t rows, int32_t blocks, float* normals,
                                     int64_t stride) {
  const PhiloxKey key = philox_key(seed);
  const PhiloxKeys<L> keys = philox_keys<L>(key);
  constexpr auto kStream = static_cast<uint32_t>(Stream::kRows);
  for (int64_t row = 0; row < rows; row += L::kLanes) {
    const uint64_t number = first_row + static_cast<uint64_t>(row);
    const auto shared = philox_row<L>(L::consecutive_words(static_cast<uint32_t>(number)),
                                      static_cast<uint32_t>(number >> 32), kStream, key);
    float* out = normals + row;
    for (int32_t block = 0; block < blocks; ++block, out += 4 * stride) {
      typename L::Words words[4];
      philox_block<L>(shared, static_cast<uint32_t>(block), key, keys, words);
      typename L::Float first, second;
      box_muller<L>(L::int_of_words(words[0]), L::int_of_words(words[1]), first, second);
      L::store(first, out);
      L::store(second, out + stride);
      box_muller<L>(L::int_of_words(words[2]), L::int_of_words(words[3]), first, second);
      L::store(first, out + 2 * stride);
      L::store(second, out + 3 * stride);
    }
  }
}

// `rows` is a multiple of L::kLanes. `One` is a lane type of width one, for the vector in which the low word of the row
// number wraps.
template <class L, class One>
DOPPEL_PORTABLE void fill_normals(uint64_t seed, uint64_t first_row, int64_t rows, int32_t blocks, float* normals,
                                  int64_t stride) {
  const uint64_t until_wrap = (uint64_t{1} << 32) - (first_row & 0xFFFFFFFFu);
  if (static_cast<uint64_t>(rows) <= until_wrap) {
    normals_of_rows<L>(seed, first_row, rows, blocks, normals, stride);
    return;
  }
  const auto before = static_cast<int64_t>(until_wrap) / L::kLanes * L::kLanes;
  const auto after = std::min<int64_t>(before + L::kLanes, rows);
  normals_of_rows<L>(seed, first_row, before, blocks, normals, stride);
  normals_of_rows<One>(seed, first_row + static_cast<uint64_t>(before), after - before, blocks, normals + before,
                       stride);
  normals_of_rows<L>(seed, first_row + static_cast<uint64_t>(after), rows - after, blocks, normals + after, stride);
}

// scores[latent, row] for four latents, two vectors of rows at a time: eight independent sums hide the latency of fma.
template <class L>
DOPPEL_PORTABLE void scores_of_group(const LatentGroup& group, const float* normals, int64_t rows, int64_t stride,
                                     float* scores) {
  using Float = typename L::Float;
  for (int64_t row = 0; row < rows; row += 2 * L::kLanes) {
    Float a0 = L::set(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
    for (const LatentGroup::Term& term : group.terms) {
      const float* from = normals + term.draw * stride + row;
      const Float a = L::load(from), b = L::load(from + L::kLanes);
      const Float w0 = L::set(term.weight[0]), w1 = L::set(term.weight[1]);
      const Float w2 = L::set(term.weight[2]), w3 = L::set(term.weight[3]);
      a0 = L::fused(w0, a, a0);
      b0 = L::fused(w0, b, b0);
      a1 = L::fused(w1, a, a1);
      b1 = L::fused(w1, b, b1);
      a2 = L::fused(w2, a, a2);
      b2 = L::fused(w2, b, b2);
      a3 = L::fused(w3, a, a3);
      b3 = L::fused(w3, b, b3);
    }
    const Float sums[4][2] = {{a0, b0}, {a1, b1}, {a2, b2}, {a3, b3}};
    for (int latent = 0; latent < 4; ++latent) {
      Float a = sums[latent][0], b = sums[latent][1];
      if (group.residual_draw[latent] >= 0) {
        const float* from = normals + group.residual_draw[latent] * stride + row;
        a = L::fused(L::set(group.residual[latent]), L::load(from), a);
        b = L::fused(L::set(group.residual[latent]), L::load(from + L::kLanes), b);
      }
      L::store(a, scores + latent * stride + row);
      L::store(b, scores + latent * stride + row + L::kLanes);
    }
  }
}

// The segment of each lane's score, and the score clamped to the limit.
template <class L>
DOPPEL_PORTABLE typename L::Int find_segment(const PreparedColumn& column, typename L::Float& z) {
  z = L::at_most(L::at_least(z, L::set(-kScoreLimit)), L::set(kScoreLimit));
  const auto bucket = L::truncate(L::fused(z, L::set(column.bucket_scale), L::set(column.bucket_offset)));
  auto segment = L::gather(column.first.data(), bucket);
  for (int32_t step = 1 << column.search_steps >> 1; step > 0; step >>= 1) {
    const auto candidate = L::add_int(segment, L::set_int(step));
    segment = L::advance_where(L::gather(column.lower.data(), candidate), z, segment, candidate);
  }
  return segment;
}

template <class L>
DOPPEL_PORTABLE void segments_to_int32(const PreparedColumn& column, const float* scores, int64_t rows, int32_t* out) {
  for (int64_t row = 0; row < rows; row += L::kLanes) {
    auto z = L::load(scores + row);
    const auto segment = find_segment<L>(column, z);
    const auto offset = L::subtract(z, L::gather(column.lower.data(), segment));
    const auto steps = L::at_most(L::multiply(offset, L::gather(column.scale.data(), segment)),
                                  L::gather(column.width_less_one.data(), segment));
    L::store(L::add_int(L::gather(column.base_i.data(), segment), L::truncate(steps)), out + row);
  }
}

template <class L>
DOPPEL_PORTABLE void segments_to_float32(const PreparedColumn& column, const float* scores, int64_t rows, float* out) {
  for (int64_t row = 0; row < rows; row += L::kLanes) {
    auto z = L::load(scores + row);
    const auto segment = find_segment<L>(column, z);
    const auto offset = L::subtract(z, L::gather(column.lower.data(), segment));
    const auto base = L::gather(column.base_f.data(), segment);
    const auto value = L::fused(offset, L::gather(column.slope_f.data(), segment), base);
    L::store(L::at_most(L::at_least(value, base), L::gather(column.top_f.data(), segment)), out + row);
  }
}

// Segments and offsets into them, for the storages of 64 bits, which take half a vector at a time.
template <class L>
DOPPEL_PORTABLE void find_segments(const PreparedColumn& column, const float* scores, int64_t rows,
                                   TileScratch& scratch) {
  for (int64_t row = 0; row < rows; row += L::kLanes) {
    auto z = L::load(scores + row);
    const auto segment = find_segment<L>(column, z);
    L::store(segment, scratch.segments + row);
    L::store(L::subtract(z, L::gather(column.lower.data(), segment)), scratch.offsets + row);
  }
}

template <class L>
DOPPEL_PORTABLE void segments_to_int64(const PreparedColumn& column, const float* scores, int64_t rows,
                                       TileScratch& scratch, int64_t* out) {
  find_segments<L>(column, scores, rows, scratch);
  for (int64_t row = 0; row < rows; row += L::kDoubleLanes) {
    const auto segment = L::widen(scratch.segments + row);
    const auto steps =
        L::at_most(L::multiply(L::widen(scratch.offsets + row), L::gather(column.scale_d.data(), segment)),
                   L::gather(column.width_less_one_d.data(), segment));
    L::store(L::add(L::gather(column.base_l.data(), segment), L::truncate(steps)), out + row);
  }
}

template <class L>
DOPPEL_PORTABLE void segments_to_float64(const PreparedColumn& column, const float* scores, int64_t rows,
                                         TileScratch& scratch, double* out) {
  find_segments<L>(column, scores, rows, scratch);
  for (int64_t row = 0; row < rows; row += L::kDoubleLanes) {
    const auto segment = L::widen(scratch.segments + row);
    const auto base = L::gather(column.base_d.data(), segment);
    const auto value = L::fused(L::widen(scratch.offsets + row), L::gather(column.slope_d.data(), segment), base);
    L::store(L::at_most(L::at_least(value, base), L::gather(column.top_d.data(), segment)), out + row);
  }
}

template <class L>
DOPPEL_PORTABLE void linear_to_float32(const PreparedColumn& column, const float* scores, int64_t rows, float* out) {
  const auto mean = L::set(static_cast<float>(column.mean)), deviation = L::set(static_cast<float>(column.deviation));
  const auto low = L::set(static_cast<float>(column.minimum)), high = L::set(static_cast<float>(column.maximum));
  for (int64_t row = 0; row < rows; row += L::kLanes) {
    const auto value = L::fused(L::load(scores + row), deviation, mean);
    L::store(L::at_most(L::at_least(value, low), high), out + row);
  }
}

template <class L>
DOPPEL_PORTABLE void store_linear(typename L::Double value, double* to) {
  L::store(value, to);
}
template <class L>
DOPPEL_PORTABLE void store_linear(typename L::Double value, int64_t* to) {
  L::store(L::truncate(L::round(value)), to);
}
template <class L>
DOPPEL_PORTABLE void store_linear(typename L::Double value, int32_t* to) {
  L::store_narrow(L::round(value), to);
}

// In double: kFloat64 and the rounded integers.
template <class L, class Value>
DOPPEL_PORTABLE void linear(const PreparedColumn& column, const float* scores, int64_t rows, Value* out) {
  const auto mean = L::set_double(column.mean), deviation = L::set_double(column.deviation);
  const auto low = L::set_double(column.minimum), high = L::set_double(column.maximum);
  for (int64_t row = 0; row < rows; row += L::kDoubleLanes) {
    const auto value = L::fused(L::widen(scores + row), deviation, mean);
    store_linear<L>(L::at_most(L::at_least(value, low), high), out + row);
  }
}

template <class L>
DOPPEL_PORTABLE void values_of_column(const PreparedColumn& column, const float* scores, int64_t rows,
                                      TileScratch& scratch, void* out) {
  const bool segments = column.transform == Transform::kSegments;
  switch (column.storage) {
    case Storage::kInt32: {
      auto* to = static_cast<int32_t*>(out);
      segments ? segments_to_int32<L>(column, scores, rows, to) : linear<L>(column, scores, rows, to);
      break;
    }
    case Storage::kFloat32: {
      auto* to = static_cast<float*>(out);
      segments ? segments_to_float32<L>(column, scores, rows, to) : linear_to_float32<L>(column, scores, rows, to);
      break;
    }
    case Storage::kInt64: {
      auto* to = static_cast<int64_t*>(out);
      segments ? segments_to_int64<L>(column, scores, rows, scratch, to) : linear<L>(column, scores, rows, to);
      break;
    }
    case Storage::kFloat64: {
      auto* to = static_cast<double*>(out);
      segments ? segments_to_float64<L>(column, scores, rows, scratch, to) : linear<L>(column, scores, rows, to);
      break;
    }
  }
}

// 64 rows: bit i is 1 where row i has a value.
template <class L>
DOPPEL_PORTABLE uint64_t presence(const float* scores, float threshold) {
  uint64_t missing = 0;
  for (int row = 0; row < 64; row += L::kLanes)
    missing |= uint64_t{L::bits_where_less(L::load(scores + row), L::set(threshold))} << row;
  return ~missing;
}

// Zeroes the values of missing rows, which are few: by their bits.
template <class Value>
DOPPEL_PORTABLE void clear_missing(uint64_t present, int64_t rows, Value* values) {
  uint64_t missing = ~present;
  if (rows < 64) missing &= (uint64_t{1} << rows) - 1;
  for (; missing != 0; missing &= missing - 1) values[__builtin_ctzll(missing)] = 0;
}

template <class L>
DOPPEL_PORTABLE void validity_of_column(const PreparedColumn& column, const float* scores, int64_t rows, void* values,
                                        uint8_t* validity) {
  for (int64_t row = 0; row < rows; row += 64) {
    const int64_t count = std::min<int64_t>(64, rows - row);
    uint64_t present = column.missing_latent < 0 ? ~uint64_t{0} : presence<L>(scores + row, column.missing_threshold);
    if (bytes_per_value(column.storage) == 4) {
      clear_missing(present, count, static_cast<uint32_t*>(values) + row);
    } else {
      clear_missing(present, count, static_cast<uint64_t*>(values) + row);
    }
    if (count < 64) present &= (uint64_t{1} << count) - 1;
    std::memcpy(validity + row / 8, &present, static_cast<size_t>(count + 7) / 8);
  }
}

template <class L>
DOPPEL_PORTABLE void column_of_tile(const PreparedColumn& column, int64_t tile_rows, int64_t first, int64_t rows,
                                    TileScratch& scratch, const ColumnBuffer& buffer) {
  const size_t size = bytes_per_value(column.storage);
  std::byte* out = static_cast<std::byte*>(buffer.values) + static_cast<size_t>(first) * size;
  const bool whole = rows == tile_rows;  // otherwise vectors would write past the last row
  const float* scores = scratch.scores + column.latent * tile_rows;
  values_of_column<L>(column, scores, tile_rows, scratch, whole ? out : scratch.values);
  if (!whole) std::memcpy(out, scratch.values, static_cast<size_t>(rows) * size);
  if (buffer.validity != nullptr) {
    const float* missing_scores = scratch.scores + std::max(column.missing_latent, 0) * tile_rows;
    validity_of_column<L>(column, missing_scores, rows, out, buffer.validity + first / 8);
  }
}

template <class L, class One>
DOPPEL_PORTABLE void sample_rows(const PreparedTable& table, TileScratch& scratch, uint64_t seed, uint64_t first_row,
                                 int64_t rows, std::span<const ColumnBuffer> columns) {
  const int64_t tile_rows = table.tile_rows;
  for (int64_t first = 0; first < rows; first += tile_rows) {
    fill_normals<L, One>(seed, first_row + static_cast<uint64_t>(first), tile_rows, table.blocks, scratch.normals,
                         tile_rows);
    for (size_t group = 0; group < table.groups.size(); ++group)
      scores_of_group<L>(table.groups[group], scratch.normals, tile_rows, tile_rows,
                         scratch.scores + static_cast<int64_t>(4 * group) * tile_rows);
    for (size_t column = 0; column < table.columns.size(); ++column)
      column_of_tile<L>(table.columns[column], tile_rows, first, std::min(tile_rows, rows - first), scratch,
                        columns[column]);
  }
}

DOPPEL_PORTABLE_END
#endif
