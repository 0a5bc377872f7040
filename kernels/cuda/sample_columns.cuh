// From scores and states to values: the columns of four neighbouring rows a thread (sample_table.cu, decode_table.cu).
//
// All threads of a warp write the same column of rows that follow each other: 4-byte values leave in 16-byte stores, a
// warp's 512 bytes together; 8-byte values in two, half a sector each, which L2 joins. A column is a dozen operations
// and three dependent loads, of tables read through L1.
#pragma once

#include "kernels/cpu/sample_table.h"
#include "kernels/cuda/sample_table.h"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

// A record through the read-only path, 16 bytes a load.
template <class T>
__device__ __forceinline__ T read_record(const std::byte* tables, uint32_t offset, int index) {
  static_assert(sizeof(T) % sizeof(int4) == 0 && alignof(T) % alignof(int4) == 0);
  constexpr int kWords = sizeof(T) / sizeof(int4);
  int4 words[kWords];
#pragma unroll
  for (int w = 0; w < kWords; ++w) words[w] = __ldg(table_at<int4>(tables, offset) + index * kWords + w);
  T record;
  memcpy(&record, words, sizeof record);
  return record;
}

// The segment of a score within the limits.
__device__ __forceinline__ int find_segment(const SampleColumn& column, const std::byte* tables, float z) {
  const int bucket = static_cast<int>(Lanes::fused(z, column.bucket_scale, column.bucket_offset));
  const float* lower = table_at<float>(tables, column.lower);
  int segment = __ldg(table_at<uint16_t>(tables, column.first) + bucket);
  for (int step = 1 << column.search_steps >> 1; step > 0; step >>= 1) {
    if (__ldg(lower + segment + step) <= z) segment += step;
  }
  return segment;
}

__device__ __forceinline__ float within(float x, float low, float high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}
__device__ __forceinline__ double within(double x, double low, double high) {
  x = x < low ? low : x;
  return x > high ? high : x;
}

__device__ __forceinline__ double fused_double(double a, double b, double c) {
  return __fma_rn(a, b, c);
}

// value_of(column, tables, z): one score to one value. The same operations as the CPU's
// (kernels/cpu/sample_table-inl.h).
struct SegmentsToInt32 {
  using Value = int32_t;
  __device__ __forceinline__ static Value value_of(const SampleColumn& column, const std::byte* tables, float z) {
    z = within(z, -kScoreLimit, kScoreLimit);
    const auto segment = read_record<Segment32>(tables, column.segments, find_segment(column, tables, z));
    const float steps = Lanes::multiply(Lanes::subtract(z, segment.lower), segment.slope);
    return segment.integer_base + static_cast<int32_t>(steps > segment.top ? segment.top : steps);
  }
};
struct SegmentsToFloat32 {
  using Value = float;
  __device__ __forceinline__ static Value value_of(const SampleColumn& column, const std::byte* tables, float z) {
    z = within(z, -kScoreLimit, kScoreLimit);
    const auto segment = read_record<Segment32>(tables, column.segments, find_segment(column, tables, z));
    return within(Lanes::fused(Lanes::subtract(z, segment.lower), segment.slope, segment.base), segment.base,
                  segment.top);
  }
};
struct SegmentsToInt64 {
  using Value = int64_t;
  __device__ __forceinline__ static Value value_of(const SampleColumn& column, const std::byte* tables, float z) {
    z = within(z, -kScoreLimit, kScoreLimit);
    const auto segment = read_record<Segment64>(tables, column.segments, find_segment(column, tables, z));
    const double steps = static_cast<double>(Lanes::subtract(z, segment.lower)) * segment.slope;
    return segment.integer_base + static_cast<int64_t>(steps > segment.top ? segment.top : steps);
  }
};
struct SegmentsToFloat64 {
  using Value = double;
  __device__ __forceinline__ static Value value_of(const SampleColumn& column, const std::byte* tables, float z) {
    z = within(z, -kScoreLimit, kScoreLimit);
    const auto segment = read_record<Segment64>(tables, column.segments, find_segment(column, tables, z));
    const double offset = static_cast<double>(Lanes::subtract(z, segment.lower));
    return within(fused_double(offset, segment.slope, segment.base), segment.base, segment.top);
  }
};
struct LinearToFloat32 {
  using Value = float;
  __device__ __forceinline__ static Value value_of(const SampleColumn& column, const std::byte*, float z) {
    const float value = Lanes::fused(z, static_cast<float>(column.deviation), static_cast<float>(column.mean));
    return within(value, static_cast<float>(column.minimum), static_cast<float>(column.maximum));
  }
};
template <class T>
struct Linear {  // kFloat64, and the integers: rounded, ties to even
  using Value = T;
  __device__ __forceinline__ static Value value_of(const SampleColumn& column, const std::byte*, float z) {
    const double value = fused_double(static_cast<double>(z), column.deviation, column.mean);
    const double inside = within(value, column.minimum, column.maximum);
    return static_cast<T>(std::is_same_v<T, double> ? inside : rint(inside));
  }
};

template <class T>
struct alignas(16) FourValues {
  T value[4];
};

// What a thread's four rows hold in a column: bit r of `from_latent` is 1 where the transform gives the value;
// elsewhere it is the state's, or 0 where there is no variable.
struct Cells {
  float4 z;
  int4 state;
  unsigned present, from_latent;
};

// The bits of a state's value.
template <class Value>
__device__ __forceinline__ Value value_of_state(const SampleColumn& column, const std::byte* tables, int state) {
  using Bits = std::conditional_t<sizeof(Value) == 4, unsigned, unsigned long long>;
  const Bits bits = __ldg(table_at<Bits>(tables, column.state_value) + state);
  Value value;
  memcpy(&value, &bits, sizeof value);
  return value;
}

// The four values of a thread; missing ones as 0.
template <class Rule, bool kMixture>
__device__ __forceinline__ void write_values(const SampleColumn& column, const std::byte* tables, const Cells& cells,
                                             std::byte* values, int64_t row) {
  using Value = typename Rule::Value;
  const float score[4] = {cells.z.x, cells.z.y, cells.z.z, cells.z.w};
  const int state[4] = {cells.state.x, cells.state.y, cells.state.z, cells.state.w};
  FourValues<Value> four;
#pragma unroll
  for (int r = 0; r < kRowsPerThread; ++r) {
    if (kMixture && column.emission >= 0) {
      four.value[r] = cells.from_latent >> r & 1 ? Rule::value_of(column, tables, score[r])
                                                 : value_of_state<Value>(column, tables, state[r]);
    } else {
      const Value value = Rule::value_of(column, tables, score[r]);
      four.value[r] = cells.from_latent >> r & 1 ? value : Value{0};
    }
  }
  *reinterpret_cast<FourValues<Value>*>(values + row * static_cast<int64_t>(sizeof(Value))) = four;
}

template <bool kMixture>
__device__ __forceinline__ void write_column(const SampleColumn& column, const std::byte* tables, const Cells& cells,
                                             std::byte* values, int64_t row) {
  const bool linear = column.transform == Transform::kLinear;
  switch (column.storage) {
    case Storage::kInt32:
      return linear ? write_values<Linear<int32_t>, kMixture>(column, tables, cells, values, row)
                    : write_values<SegmentsToInt32, kMixture>(column, tables, cells, values, row);
    case Storage::kInt64:
      return linear ? write_values<Linear<int64_t>, kMixture>(column, tables, cells, values, row)
                    : write_values<SegmentsToInt64, kMixture>(column, tables, cells, values, row);
    case Storage::kFloat32:
      return linear ? write_values<LinearToFloat32, kMixture>(column, tables, cells, values, row)
                    : write_values<SegmentsToFloat32, kMixture>(column, tables, cells, values, row);
    case Storage::kFloat64:
      return linear ? write_values<Linear<double>, kMixture>(column, tables, cells, values, row)
                    : write_values<SegmentsToFloat64, kMixture>(column, tables, cells, values, row);
  }
}

// Bit r is 1 where row r of the thread has a value.
__device__ __forceinline__ unsigned present_rows(float4 z, float threshold) {
  return static_cast<unsigned>(!(z.x < threshold)) | static_cast<unsigned>(!(z.y < threshold)) << 1 |
         static_cast<unsigned>(!(z.z < threshold)) << 2 | static_cast<unsigned>(!(z.w < threshold)) << 3;
}

// Eight neighbouring threads have the 32 rows of a word; all threads of the warp call it. Rows past the last: 0.
__device__ __forceinline__ void write_validity(unsigned present, int64_t row, int64_t rows, std::byte* bitmap) {
  const int64_t left = rows - row;
  if (left < kRowsPerThread) present &= left <= 0 ? 0u : (1u << left) - 1;
  const unsigned position = threadIdx.x % 8;
  unsigned word = present << (4 * position);
#pragma unroll
  for (int distance = 1; distance < 8; distance *= 2) word |= __shfl_xor_sync(0xffffffffu, word, distance);
  if (position == 0) reinterpret_cast<unsigned*>(bitmap)[row / 32] = word;
}

// Bit r is 1 where row r's state has the role.
__device__ __forceinline__ unsigned rows_with_role(const SampleColumn& column, const std::byte* tables, int4 state,
                                                   StateRole role) {
  const auto* roles = table_at<uint8_t>(tables, column.state_role);
  const auto wanted = static_cast<uint8_t>(role);
  return static_cast<unsigned>(__ldg(roles + state.x) == wanted) |
         static_cast<unsigned>(__ldg(roles + state.y) == wanted) << 1 |
         static_cast<unsigned>(__ldg(roles + state.z) == wanted) << 2 |
         static_cast<unsigned>(__ldg(roles + state.w) == wanted) << 3;
}

template <bool kMixture>
__device__ __forceinline__ Cells make_cells(const SampleColumn& column, const std::byte* tables, const float4* scores,
                                            const int4* states, int stride) {
  Cells cells{make_float4(0, 0, 0, 0), make_int4(0, 0, 0, 0), 0xf, 0xf};
  if (!kMixture || column.score >= 0) cells.z = scores[column.score * stride];
  if (kMixture && column.emission >= 0) {
    cells.state = states[column.emission * stride];
    cells.present = ~rows_with_role(column, tables, cells.state, StateRole::kMissing) & 0xf;
    cells.from_latent = rows_with_role(column, tables, cells.state, StateRole::kLatent);
  } else if (column.missing_score >= 0) {
    cells.present = cells.from_latent = present_rows(scores[column.missing_score * stride], column.missing_threshold);
  }
  return cells;
}

// A column of the thread's four rows. scores[score * stride], states[variable * stride]: theirs.
template <bool kMixture>
__device__ __forceinline__ void write_cells(const ColumnArguments& a, int c, const float4* scores, const int4* states,
                                            int stride, int64_t row) {
  const SampleColumn& column = a.column[c];
  const Cells cells = make_cells<kMixture>(column, a.tables, scores, states, stride);
  if (column.has_missing) {
    std::byte* bitmaps = a.out + a.row_bytes * a.padded_rows;
    write_validity(cells.present, row, a.rows, bitmaps + column.bitmaps_before * (a.padded_rows / 8));
  }
  write_column<kMixture>(column, a.tables, cells, a.out + column.bytes_before * a.padded_rows, row);
}

}  // namespace
}  // namespace doppel::cuda
