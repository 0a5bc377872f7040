// The table sampler over a lane type L: PlainCpuLanes or HighwayLanes. Included once per instruction set, in which
// `sample_rows` and `fill_normals` are the entries.
//
// Rows go through in tiles that stay in the L1 cache: words -> normals [draw, row] -> scores [latent, row] by a
// register-blocked product (of a mixture: sample_mixture-inl.h) -> one column after another. Each step is a function of
// its own (only what works on single vectors is DOPPEL_PORTABLE, always inlined): as one function, sanitizer builds
// took more than ten minutes.
//
// 20 float32 columns of kLinear from 20 components, AVX2 (Zen 3, 3.0 GHz), ns a row, by the busiest execution units and
// measured alone, out of the cache: Philox 8.7 and 12.6 (32 multiplications, 32 shifts and 64 exclusive-ors a block of
// four normals of eight rows), Box-Muller 6.4 and 9.9 (22 fma or multiplications, 2 choices and 7 cycles of square root
// a pair of eight rows), product 8.3 and 8.9 (400 fma), columns and stores 1.7 and 1.9; with a batch larger than the
// cache 7 more, 3 with prefetching.
//   perf record build/release/bench/bench_sampling --benchmark_filter=linear/float32/AVX2 --benchmark_min_time=2
#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstring>

#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/common/sobol.h"
#include "kernels/cpu/plain_lanes.h"
#include "kernels/cpu/sample_mixture-inl.h"
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

// Words of rows whose numbers share their high word, blocks first_block .. first_block + blocks - 1: to
// store(row, block - first_block, words).
template <class L, class Store>
DOPPEL_PORTABLE void words_of_rows(uint64_t seed, uint64_t first_row, int64_t rows, int32_t first_block, int32_t blocks,
                                   Store store) {
  const PhiloxKey key = philox_key(seed);
  const PhiloxKeys<L> keys = philox_keys<L>(key);
  constexpr auto kStream = static_cast<uint32_t>(Stream::kRows);
  for (int64_t row = 0; row < rows; row += L::kLanes) {
    const uint64_t number = first_row + static_cast<uint64_t>(row);
    const auto shared = philox_row<L>(L::consecutive_words(static_cast<uint32_t>(number)),
                                      static_cast<uint32_t>(number >> 32), kStream, key);
    int32_t block = 0;
    for (; block + 2 <= blocks; block += 2) {
      typename L::Words pair[2][4];
      philox_blocks<L, 2>(shared, static_cast<uint32_t>(first_block + block), key, keys, pair);
      store(row, block, pair[0]);
      store(row, block + 1, pair[1]);
    }
    if (block < blocks) {
      typename L::Words last[4];
      philox_block<L>(shared, static_cast<uint32_t>(first_block + block), key, keys, last);
      store(row, block, last);
    }
  }
}

// Words for normals, [4 * blocks, stride], kept as floats by their bits.
template <class L>
void words_of_normals(uint64_t seed, uint64_t first_row, int64_t rows, int32_t blocks, float* words, int64_t stride) {
  words_of_rows<L>(seed, first_row, rows, 0, blocks, [=](int64_t row, int32_t block, const typename L::Words* four) {
    for (int word = 0; word < 4; ++word)
      L::store(L::float_of_bits(L::int_of_words(four[word])), words + (4 * block + word) * stride + row);
  });
}

// Words of further blocks, [rows, 4 * blocks], a row every `stride` words.
template <class L>
void words_of_mixture(uint64_t seed, uint64_t first_row, int64_t rows, int32_t first_block, int32_t blocks,
                      int64_t stride, int32_t* words) {
  words_of_rows<L>(seed, first_row, rows, first_block, blocks,
                   [=](int64_t row, int32_t block, const typename L::Words* four) {
                     typename L::Float fields[4];
                     for (int i = 0; i < 4; ++i) fields[i] = L::float_of_bits(L::int_of_words(four[i]));
                     L::store_records(fields, reinterpret_cast<float*>(words + row * stride + 4 * block), stride);
                   });
}

// Words to normals, in place. A pass of its own: Philox and Box-Muller are long chains of dependent operations, and a
// processor overlaps more iterations of two short loops than of one long loop (a third faster on Zen 3).
template <class L>
void normals_of_words(int64_t rows, int32_t blocks, float* words, int64_t stride) {
  for (int32_t pair = 0; pair < 2 * blocks; ++pair) {
    float* first = words + 2 * pair * stride;
    float* second = first + stride;
    for (int64_t row = 0; row < rows; row += L::kLanes) {
      typename L::Float a, b;
      box_muller<L>(L::bits_of(L::load(first + row)), L::bits_of(L::load(second + row)), a, b);
      L::store(a, first + row);
      L::store(b, second + row);
    }
  }
}

// Calls with_lanes(L, first, rows) or the like for parts of a tile in which the high word of the row number is one.
// `rows` is a multiple of L::kLanes. `One` is a lane type of width one, for the vector in which the low word wraps.
template <class L, class One, class Function>
DOPPEL_PORTABLE void for_each_high_word(uint64_t first_row, int64_t rows, Function with_lanes) {
  const uint64_t until_wrap = (uint64_t{1} << 32) - (first_row & 0xFFFFFFFFu);
  if (static_cast<uint64_t>(rows) <= until_wrap) return with_lanes(L(), int64_t{0}, rows);
  const auto before = static_cast<int64_t>(until_wrap) / L::kLanes * L::kLanes;
  const auto after = std::min<int64_t>(before + L::kLanes, rows);
  with_lanes(L(), int64_t{0}, before);
  with_lanes(One(), before, after - before);
  with_lanes(L(), after, rows - after);
}

template <class L, class One>
void fill_normals(uint64_t seed, uint64_t first_row, int64_t rows, int32_t blocks, float* normals, int64_t stride) {
  for_each_high_word<L, One>(first_row, rows, [=](auto lanes, int64_t first, int64_t count) {
    words_of_normals<decltype(lanes)>(seed, first_row + static_cast<uint64_t>(first), count, blocks, normals + first,
                                      stride);
  });
  normals_of_words<L>(rows, blocks, normals, stride);
}

// Of one row, a block a lane: [4 * blocks], and as many more as fill the lanes. In two passes, too.
template <class L>
void fill_normals_of_row(uint64_t seed, uint64_t row, int64_t first_block, int64_t blocks, float* normals) {
  const PhiloxKeys<L> keys = philox_keys<L>(philox_key(seed));
  for (int64_t block = 0; block < blocks; block += L::kLanes) {
    typename L::Words words[4];
    philox_blocks_of_row<L>(row, static_cast<uint32_t>(first_block + block), static_cast<uint32_t>(Stream::kRows), keys,
                            words);
    for (int word = 0; word < 4; ++word)
      L::store(L::float_of_bits(L::int_of_words(words[word])), normals + 4 * block + word * L::kLanes);
  }
  for (int64_t block = 0; block < blocks; block += L::kLanes) {
    float* four = normals + 4 * block;
    typename L::Int words[4];
    for (int word = 0; word < 4; ++word) words[word] = L::bits_of(L::load(four + word * L::kLanes));
    typename L::Float fields[4];
    box_muller<L>(words[0], words[1], fields[0], fields[1]);
    box_muller<L>(words[2], words[3], fields[2], fields[3]);
    L::store_records(fields, four, 4);
  }
}

// Sobol' points' words of rows, the first of [rows, 4 * word_blocks]. Whole vectors are written: what they write beyond
// a row's own words is the next row's, or padding. The words of a row lie in the lanes: its point's number chooses the
// vectors that are added.
template <class L>
void words_of_points(const PreparedMixture& mixture, uint64_t seed, uint64_t first_row, int64_t rows, int32_t* words) {
  const int64_t stride = 4 * mixture.word_blocks, padded = mixture.padded_sobol;
  const auto* parts = reinterpret_cast<const int32_t*>(mixture.sobol.data());
  alignas(64) uint32_t places[kSobolBlockRows];
  for (int64_t row = 0; row < rows;) {
    const uint64_t number = first_row + static_cast<uint64_t>(row), block = number >> kSobolBlockBits;
    const auto within = static_cast<uint32_t>(number & (kSobolBlockRows - 1));
    const auto count = static_cast<uint32_t>(std::min<int64_t>(kSobolBlockRows - within, rows - row));
    const SobolBlock points = sobol_block(mixture, seed, block);
    for (uint32_t i = 0; i < count; ++i) places[i] = sobol_place(points.order, within + i);
    for (uint32_t i = 0; i < count; ++i, ++row) {
      const int32_t* low = parts + (places[i] & 15) * padded;
      const int32_t* middle = parts + (kSobolPartValues + (places[i] >> 4 & 15)) * padded;
      const int32_t* high = parts + (2 * kSobolPartValues + (places[i] >> 8)) * padded;
      for (int32_t word = 0; word < 4 * mixture.sobol_blocks; word += L::kLanes) {
        const auto sum = L::exclusive_or_int(L::load_int(low + word), L::load_int(middle + word));
        const auto rest = L::exclusive_or_int(L::load_int(high + word), L::load_int(points.shared + word));
        L::store(L::exclusive_or_int(sum, rest), words + row * stride + word);
      }
    }
  }
}

template <class L, class One>
void fill_mixture_words(const PreparedTable& table, uint64_t seed, uint64_t first_row, int32_t* words) {
  const int32_t sobol = table.mixture->sobol_blocks, blocks = table.word_blocks() - sobol;
  const int64_t stride = 4 * table.word_blocks();
  if (blocks > 0)
    for_each_high_word<L, One>(first_row, table.tile_rows, [&](auto lanes, int64_t first, int64_t count) {
      words_of_mixture<decltype(lanes)>(seed, first_row + static_cast<uint64_t>(first), count, table.blocks + sobol,
                                        blocks, stride, words + first * stride + 4 * sobol);
    });
  if (sobol > 0) words_of_points<L>(*table.mixture, seed, first_row, table.tile_rows, words);
}

// scores[latent, row] for four latents, two vectors of rows at a time: eight independent sums hide the latency of fma.
template <class L>
void scores_of_group(const LatentGroup& group, const float* normals, int64_t rows, int64_t stride, float* scores) {
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

template <class L>
DOPPEL_PORTABLE typename L::Float within_limit(typename L::Float z) {
  return L::at_most(L::at_least(z, L::set(-kScoreLimit)), L::set(kScoreLimit));
}

template <class L>
void find_buckets(const PreparedColumn& column, const float* scores, int64_t rows, int32_t* buckets) {
  const auto scale = L::set(column.bucket_scale), offset = L::set(column.bucket_offset);
  for (int64_t row = 0; row < rows; row += L::kLanes)
    L::store(L::truncate(L::fused(within_limit<L>(L::load(scores + row)), scale, offset)), buckets + row);
}

// How many segments from `first` on begin at or below z, less one: kCompared comparisons, or a binary search where that
// is 0. A score beyond the limit finds the same segment as the limit.
template <int kCompared>
DOPPEL_PORTABLE size_t find_segment(const PreparedColumn& column, const float* lower, size_t first, float z) {
  if constexpr (kCompared > 0) {
    size_t segment = first;
    for (int i = 1; i <= kCompared; ++i) segment += lower[first + static_cast<size_t>(i)] <= z ? 1 : 0;
    return segment;
  } else {
    for (size_t step = std::bit_floor(static_cast<size_t>(column.most)); step > 0; step /= 2)
      first += lower[first + step] <= z ? step : 0;
    return first;
  }
}

template <int kCompared, class Value>
void copy_atoms(const PreparedColumn& column, const std::vector<Value>& atoms, const float* scores,
                const int32_t* buckets, int64_t rows, Value* out) {
  const uint16_t* first = column.first.data();
  const float* lower = column.lower.data();
  const Value* values = atoms.data();
  for (int64_t row = 0; row < rows; ++row)
    out[row] = values[find_segment<kCompared>(column, lower, first[buckets[row]], scores[row])];
}

// Few atoms: starting from the first one's value, each that begins at or below z takes over. Four vectors of rows share
// the loads of constants.
template <class L>
void choose_atoms(const PreparedColumn& column, const float* scores, int64_t rows, int32_t* out) {
  const size_t segments = column.atoms32.size();
  const auto value_of = [&](size_t s) { return L::set_int(static_cast<int32_t>(column.atoms32[s])); };
  for (int64_t row = 0; row < rows; row += 4 * L::kLanes) {
    const auto z0 = L::load(scores + row), z1 = L::load(scores + row + L::kLanes);
    const auto z2 = L::load(scores + row + 2 * L::kLanes), z3 = L::load(scores + row + 3 * L::kLanes);
    auto value0 = value_of(0), value1 = value0, value2 = value0, value3 = value0;
    for (size_t s = 1; s < segments; ++s) {
      const auto bound = L::set(column.lower[s]);
      const auto value = value_of(s);
      value0 = L::if_at_least(z0, bound, value, value0);
      value1 = L::if_at_least(z1, bound, value, value1);
      value2 = L::if_at_least(z2, bound, value, value2);
      value3 = L::if_at_least(z3, bound, value, value3);
    }
    L::store(value0, out + row);
    L::store(value1, out + row + L::kLanes);
    L::store(value2, out + row + 2 * L::kLanes);
    L::store(value3, out + row + 3 * L::kLanes);
  }
}

template <class L>
DOPPEL_PORTABLE void store_value_of_segment(typename L::Float offset, const typename L::Float segment[4],
                                            int32_t* out) {
  const auto steps = L::at_most(L::multiply(offset, segment[1]), segment[2]);
  L::store(L::add_int(L::bits_of(segment[3]), L::truncate(steps)), out);
}
template <class L>
DOPPEL_PORTABLE void store_value_of_segment(typename L::Float offset, const typename L::Float segment[4], float* out) {
  const auto value = L::fused(offset, segment[1], segment[3]);
  L::store(L::at_most(L::at_least(value, segment[3]), segment[2]), out);
}

template <class L, int kCompared, class Value>
void values_of_segments32(const PreparedColumn& column, const float* scores, const int32_t* buckets, int64_t rows,
                          Value* out) {
  static_assert(offsetof(Segment32, slope) == 4 && offsetof(Segment32, top) == 8 && offsetof(Segment32, base) == 12);
  const uint16_t* first = column.first.data();
  const float* lower = column.lower.data();
  const Segment32* segments = column.segments32.data();
  for (int64_t row = 0; row < rows; row += L::kLanes) {
    const float* records[L::kLanes];
    for (int lane = 0; lane < L::kLanes; ++lane)
      records[lane] =
          &segments[find_segment<kCompared>(column, lower, first[buckets[row + lane]], scores[row + lane])].lower;
    typename L::Float segment[4];
    L::load_records(records, segment);
    store_value_of_segment<L>(L::subtract(within_limit<L>(L::load(scores + row)), segment[0]), segment, out + row);
  }
}

DOPPEL_PORTABLE int64_t value_of_segment(float offset, const Segment64& segment, int64_t) {
  const double steps = static_cast<double>(offset) * segment.slope;
  return segment.integer_base + static_cast<int64_t>(steps > segment.top ? segment.top : steps);
}
DOPPEL_PORTABLE double value_of_segment(float offset, const Segment64& segment, double) {
  const double value = std::fma(static_cast<double>(offset), segment.slope, segment.base);
  const double at_least = value < segment.base ? segment.base : value;
  return at_least > segment.top ? segment.top : at_least;
}

// One row at a time: a transposition of doubles would move more than it computes.
template <int kCompared, class Value>
void values_of_segments64(const PreparedColumn& column, const float* scores, const int32_t* buckets, int64_t rows,
                          Value* out) {
  const uint16_t* first = column.first.data();
  const float* lower = column.lower.data();
  const Segment64* segments = column.segments64.data();
  for (int64_t row = 0; row < rows; ++row) {
    const float z = scores[row];
    const Segment64& segment = segments[find_segment<kCompared>(column, lower, first[buckets[row]], z)];
    out[row] =
        value_of_segment(PlainCpuLanes::at_most(PlainCpuLanes::at_least(z, -kScoreLimit), kScoreLimit) - segment.lower,
                         segment, Value());
  }
}

template <class L, int kCompared>
void values_of_segments(const PreparedColumn& column, const float* scores, const int32_t* buckets, int64_t rows,
                        void* out) {
  const bool atoms = column.lookup == PreparedColumn::Lookup::kAtoms;
  if (atoms && bytes_per_value(column.storage) == 4) {
    copy_atoms<kCompared>(column, column.atoms32, scores, buckets, rows, static_cast<uint32_t*>(out));
  } else if (atoms) {
    copy_atoms<kCompared>(column, column.atoms64, scores, buckets, rows, static_cast<uint64_t*>(out));
  } else if (column.storage == Storage::kInt32) {
    values_of_segments32<L, kCompared>(column, scores, buckets, rows, static_cast<int32_t*>(out));
  } else if (column.storage == Storage::kFloat32) {
    values_of_segments32<L, kCompared>(column, scores, buckets, rows, static_cast<float*>(out));
  } else if (column.storage == Storage::kInt64) {
    values_of_segments64<kCompared>(column, scores, buckets, rows, static_cast<int64_t*>(out));
  } else {
    values_of_segments64<kCompared>(column, scores, buckets, rows, static_cast<double*>(out));
  }
}

template <class L>
void segments(const PreparedColumn& column, const float* scores, int64_t rows, int32_t* buckets, void* out) {
  if (column.lookup == PreparedColumn::Lookup::kChain) {
    choose_atoms<L>(column, scores, rows, static_cast<int32_t*>(out));
    return;
  }
  find_buckets<L>(column, scores, rows, buckets);
  static_assert(kComparedSegments == 3);
  switch (column.most) {
    case 0:
    case 1:
      return values_of_segments<L, 1>(column, scores, buckets, rows, out);
    case 2:
      return values_of_segments<L, 2>(column, scores, buckets, rows, out);
    case 3:
      return values_of_segments<L, 3>(column, scores, buckets, rows, out);
    default:
      return values_of_segments<L, 0>(column, scores, buckets, rows, out);
  }
}

template <class L>
void linear_to_float32(const PreparedColumn& column, const float* scores, int64_t rows, float* out) {
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
void linear(const PreparedColumn& column, const float* scores, int64_t rows, Value* out) {
  const auto mean = L::set_double(column.mean), deviation = L::set_double(column.deviation);
  const auto low = L::set_double(column.minimum), high = L::set_double(column.maximum);
  for (int64_t row = 0; row < rows; row += L::kDoubleLanes) {
    const auto value = L::fused(L::widen(scores + row), deviation, mean);
    store_linear<L>(L::at_most(L::at_least(value, low), high), out + row);
  }
}

template <class L>
void values_of_column(const PreparedColumn& column, const float* scores, int64_t rows, TileScratch& scratch,
                      void* out) {
  if (column.transform == Transform::kSegments) return segments<L>(column, scores, rows, scratch.buckets, out);
  switch (column.storage) {
    case Storage::kInt32:
      return linear<L>(column, scores, rows, static_cast<int32_t*>(out));
    case Storage::kInt64:
      return linear<L>(column, scores, rows, static_cast<int64_t*>(out));
    case Storage::kFloat32:
      return linear_to_float32<L>(column, scores, rows, static_cast<float*>(out));
    case Storage::kFloat64:
      return linear<L>(column, scores, rows, static_cast<double*>(out));
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
void clear_missing(uint64_t present, int64_t rows, Value* values) {
  uint64_t missing = ~present;
  if (rows < 64) missing &= (uint64_t{1} << rows) - 1;
  for (; missing != 0; missing &= missing - 1) values[__builtin_ctzll(missing)] = 0;
}

template <class L>
void validity_of_column(const PreparedColumn& column, const TileScratch& scratch, int64_t stride, int64_t rows,
                        void* values, uint8_t* validity) {
  const float* scores = scratch.scores + std::max(column.missing_latent, 0) * stride;
  const int32_t* states = scratch.states + std::max(column.emission, 0) * stride;
  for (int64_t row = 0; row < rows; row += 64) {
    const int64_t count = std::min<int64_t>(64, rows - row);
    uint64_t present = ~uint64_t{0};
    if (column.has_missing && column.emission >= 0) {
      present = presence_of_states<L>(column, states + row);  // whose values are 0
    } else if (column.has_missing) {
      present = presence<L>(scores + row, column.missing_threshold);
      if (bytes_per_value(column.storage) == 4) {
        clear_missing(present, count, static_cast<uint32_t*>(values) + row);
      } else {
        clear_missing(present, count, static_cast<uint64_t*>(values) + row);
      }
    }
    if (count < 64) present &= (uint64_t{1} << count) - 1;
    std::memcpy(validity + row / 8, &present, static_cast<size_t>(count + 7) / 8);
  }
}

template <class L>
void column_of_tile(const PreparedColumn& column, const PreparedTable& table, int64_t first, int64_t rows,
                    TileScratch& scratch, const ColumnBuffer& buffer) {
  const size_t size = bytes_per_value(column.storage);
  std::byte* out = static_cast<std::byte*>(buffer.values) + static_cast<size_t>(first) * size;
  const bool whole = rows == table.tile_rows;  // otherwise vectors would write past the last row
  void* values = whole ? out : scratch.values;
  if (column.has_latent)
    values_of_column<L>(column, scratch.scores + column.latent * table.tile_rows, table.tile_rows, scratch, values);
  if (column.emission >= 0) {
    const int32_t* states = scratch.states + column.emission * table.tile_rows;
    if (size == 8) {
      values_of_states(column, column.states64, states, table.tile_rows, static_cast<uint64_t*>(values));
    } else if (column.states32.size() <= L::kLanes) {
      values_of_few_states<L>(column, states, table.tile_rows, static_cast<int32_t*>(values));
    } else {
      values_of_states(column, column.states32, states, table.tile_rows, static_cast<uint32_t*>(values));
    }
  }
  if (!whole) std::memcpy(out, values, static_cast<size_t>(rows) * size);
  if (buffer.validity != nullptr)
    validity_of_column<L>(column, scratch, table.tile_rows, rows, out, buffer.validity + first / 8);
}

// Asks for the cache lines that a tile will be written to, so that they arrive while its normals are drawn: columns are
// far apart, and the hardware's own prefetching starts anew at each.
inline void prefetch_tile(const PreparedTable& table, int64_t first, int64_t rows,
                          std::span<const ColumnBuffer> columns) {
  for (size_t column = 0; column < columns.size(); ++column) {
    const size_t size = bytes_per_value(table.columns[column].storage);
    const auto* line = static_cast<const std::byte*>(columns[column].values) + static_cast<size_t>(first) * size;
    const auto* end = line + static_cast<size_t>(rows) * size;
    for (; line < end; line += 64) __builtin_prefetch(line, 1);
  }
}

template <class L, class One>
void sample_rows(const PreparedTable& table, TileScratch& scratch, uint64_t seed, uint64_t first_row, int64_t rows,
                 std::span<const ColumnBuffer> columns) {
  const int64_t tile_rows = table.tile_rows;
  for (int64_t first = 0; first < rows; first += tile_rows) {
    const uint64_t tile_row = first_row + static_cast<uint64_t>(first);
    const int64_t count = std::min(tile_rows, rows - first);
    prefetch_tile(table, first, count, columns);
    fill_normals<L, One>(seed, tile_row, tile_rows, table.blocks, scratch.normals, tile_rows);
    if (table.mixture) {
      fill_mixture_words<L, One>(table, seed, tile_row, scratch.words);
      mixture_of_tile<L, One>(table, seed, tile_row, scratch);
    }
    for (size_t group = 0; group < table.groups.size(); ++group)
      scores_of_group<L>(table.groups[group], scratch.normals, tile_rows, tile_rows,
                         scratch.scores + static_cast<int64_t>(4 * group) * tile_rows);
    for (size_t column = 0; column < table.columns.size(); ++column)
      column_of_tile<L>(table.columns[column], table, first, count, scratch, columns[column]);
  }
}

DOPPEL_PORTABLE_END
#endif
