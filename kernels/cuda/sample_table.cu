// Table sampling (table.h): Philox -> normals -> scores -> values, fused; a row's numbers never leave the
// multiprocessor.
//
// in    factor [groups, components, 8], noise and column descriptions, segment tables: constants, read through L1
// out   columns one after the other, [rows rounded up to a tile] values each, 16-byte aligned; then validity bitmaps
// limit any number of rows, columns and components; 2^31 - 1 blocks of 256 rows a launch (grid-stride, so more are
// fine)
//
// A thread owns four neighbouring rows, so 4-byte values leave in 16-byte stores, a warp's 512 bytes together; a block
// of 64 threads takes tiles of 256 rows. A thread first draws the component normals of its rows, then goes through
// groups of eight latents: own noise, the product with the factor (32 fma for one 16-byte load of normals and two
// broadcast loads of weights), then the columns that are made of them. Only its own thread reads a row's normals and
// scores: no barriers but the one after the factor is staged. Every branch but a missing value's is the same for all
// threads of a launch.
//
// By size: normals and factor in shared memory where both fit into 48 KiB (20 components and 24 latents: 31 KiB),
// otherwise normals in a scratch buffer small enough for L2 and the factor through L1.
//
// A row of C 4-byte columns, K components and L latents: writes 4 C bytes; (K + L) normals of about 50 operations, K L
// fma, and a dozen operations and three dependent loads a column. 20, 20, 20: 80 bytes, 2.0 k + 0.8 k flop. 8-byte
// values leave in two 16-byte stores a thread, half a sector each; L2 joins them. Alternatives that lost: one row a
// thread (4-byte stores, weights loaded four times as often); scores of all latents kept (shared memory for fewer
// warps).
#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/cpu/sample_table.h"
#include "kernels/cuda/sample_table.h"
#include "kernels/cuda/simt.h"
#include "kernels/random.h"

namespace doppel::cuda {
namespace {

using Lanes = PlainLanes;

// A multiprocessor holds at least so many blocks: up to 128 registers a thread, which no architecture needs to spill at
// (12 blocks, 80 registers: sm_90 and sm_120 spill).
constexpr int kResidentBlocks = 8;

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

// Normals 4 block .. 4 block + 3 of each row: normal[i] holds those of the four rows.
__device__ __forceinline__ void draw_block(const Rows& rows, uint32_t block, float4 normal[4]) {
  const auto keys = portable::philox_keys<Lanes>(rows.key);
  float drawn[kRowsPerThread][4];
#pragma unroll
  for (int r = 0; r < kRowsPerThread; ++r) {
    uint32_t words[4];
    portable::philox_block<Lanes>(rows.row[r], block, rows.key, keys, words);
    portable::box_muller<Lanes>(Lanes::int_of_words(words[0]), Lanes::int_of_words(words[1]), drawn[r][0], drawn[r][1]);
    portable::box_muller<Lanes>(Lanes::int_of_words(words[2]), Lanes::int_of_words(words[3]), drawn[r][2], drawn[r][3]);
  }
#pragma unroll
  for (int i = 0; i < 4; ++i) normal[i] = make_float4(drawn[0][i], drawn[1][i], drawn[2][i], drawn[3][i]);
}

__device__ __forceinline__ float4 fused(float weight, float4 x, float4 sum) {
  return make_float4(Lanes::fused(weight, x.x, sum.x), Lanes::fused(weight, x.y, sum.y),
                     Lanes::fused(weight, x.z, sum.z), Lanes::fused(weight, x.w, sum.w));
}

// scores[s] of the group's latents; on entry their own noise.
__device__ __forceinline__ void compute_scores(const float4* factor, int components, const float* residual,
                                               const float4* normals, int stride, float4* scores) {
  float4 sum[kGroupScores];
#pragma unroll
  for (int s = 0; s < kGroupScores; ++s) sum[s] = make_float4(0, 0, 0, 0);
  for (int k = 0; k < components; ++k) {
    const float4 normal = normals[k * stride], low = factor[2 * k], high = factor[2 * k + 1];
    sum[0] = fused(low.x, normal, sum[0]);
    sum[1] = fused(low.y, normal, sum[1]);
    sum[2] = fused(low.z, normal, sum[2]);
    sum[3] = fused(low.w, normal, sum[3]);
    sum[4] = fused(high.x, normal, sum[4]);
    sum[5] = fused(high.y, normal, sum[5]);
    sum[6] = fused(high.z, normal, sum[6]);
    sum[7] = fused(high.w, normal, sum[7]);
  }
#pragma unroll
  for (int s = 0; s < kGroupScores; ++s) {
    const float weight = __ldg(residual + s);
    if (weight > 0) sum[s] = fused(weight, scores[s * stride], sum[s]);
    scores[s * stride] = sum[s];
  }
}

template <class T>
__device__ __forceinline__ const T* table_at(const std::byte* tables, uint32_t offset) {
  return reinterpret_cast<const T*>(tables + offset);
}

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

// The four values of a thread; missing ones as 0.
template <class Rule>
__device__ __forceinline__ void write_values(const SampleColumn& column, const std::byte* tables, float4 z,
                                             unsigned present, std::byte* values, int64_t row) {
  using Value = typename Rule::Value;
  const float score[4] = {z.x, z.y, z.z, z.w};
  FourValues<Value> four;
#pragma unroll
  for (int r = 0; r < kRowsPerThread; ++r) {
    const Value value = Rule::value_of(column, tables, score[r]);
    four.value[r] = present >> r & 1 ? value : Value{0};
  }
  *reinterpret_cast<FourValues<Value>*>(values + row * static_cast<int64_t>(sizeof(Value))) = four;
}

__device__ __forceinline__ void write_column(const SampleColumn& column, const std::byte* tables, float4 z,
                                             unsigned present, std::byte* values, int64_t row) {
  const bool linear = column.transform == Transform::kLinear;
  switch (column.storage) {
    case Storage::kInt32:
      return linear ? write_values<Linear<int32_t>>(column, tables, z, present, values, row)
                    : write_values<SegmentsToInt32>(column, tables, z, present, values, row);
    case Storage::kInt64:
      return linear ? write_values<Linear<int64_t>>(column, tables, z, present, values, row)
                    : write_values<SegmentsToInt64>(column, tables, z, present, values, row);
    case Storage::kFloat32:
      return linear ? write_values<LinearToFloat32>(column, tables, z, present, values, row)
                    : write_values<SegmentsToFloat32>(column, tables, z, present, values, row);
    case Storage::kFloat64:
      return linear ? write_values<Linear<double>>(column, tables, z, present, values, row)
                    : write_values<SegmentsToFloat64>(column, tables, z, present, values, row);
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

__device__ __forceinline__ void write_columns(const SampleArguments& a, const SampleGroup& group, const float4* scores,
                                              int stride, int64_t row) {
  const int64_t padded_rows = a.tiles * kTileRows;
  for (int c = group.first_column; c < group.first_column + group.columns; ++c) {
    const SampleColumn& column = a.column[c];
    unsigned present = 0xf;
    if (column.missing_score >= 0) {
      present = present_rows(scores[column.missing_score * stride], column.missing_threshold);
      std::byte* bitmaps = a.out + a.row_bytes * padded_rows;
      write_validity(present, row, a.rows, bitmaps + column.bitmaps_before * (padded_rows / 8));
    }
    write_column(column, a.tables, scores[column.score * stride], present, a.out + column.bytes_before * padded_rows,
                 row);
  }
}

__device__ __forceinline__ void sample_tile(const SampleArguments& a, int64_t tile, const float4* factor,
                                            float4* normals, int stride) {
  const int64_t row = tile * kTileRows + static_cast<int64_t>(threadIdx.x) * kRowsPerThread;
  const Rows rows = make_rows(a.seed, a.first_row + static_cast<uint64_t>(row));
  float4 drawn[4];
  for (int k = 0; k < a.kept; k += 4) {
    draw_block(rows, static_cast<uint32_t>(k / 4), drawn);
#pragma unroll
    for (int i = 0; i < 4; ++i) normals[(k + i) * stride] = drawn[i];
  }
  float4* scores = normals + a.kept * stride;
  for (int g = 0; g < a.groups; ++g) {
    const SampleGroup& group = a.group[g];
    for (int n = group.first_noise; n < group.first_noise + group.noises; ++n) {
      const NoiseBlock& noise = a.noise[n];
      draw_block(rows, noise.block, drawn);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        if (noise.score[i] >= 0) scores[noise.score[i] * stride] = drawn[i];
      }
    }
    compute_scores(factor + g * a.components * 2, a.components, group.residual, normals, stride, scores);
    write_columns(a, group, scores, stride, row);
  }
}

template <bool kInShared>
__global__ void __launch_bounds__(kSampleThreads, kResidentBlocks) sample_rows(const SampleArguments a) {
  if constexpr (kInShared) {
    SIMT_DYNAMIC_SHARED(float4, shared);
    float4* factor = shared + (a.kept + kGroupScores) * kSampleThreads;
    const auto* weights = reinterpret_cast<const float4*>(a.factor);
    for (int i = static_cast<int>(threadIdx.x); i < a.groups * a.components * 2; i += kSampleThreads) {
      factor[i] = __ldg(weights + i);
    }
    __syncthreads();
    for (int64_t tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
      sample_tile(a, tile, factor, shared + threadIdx.x, kSampleThreads);
    }
  } else {
    const int64_t block_floats = static_cast<int64_t>(a.kept + kGroupScores) * kTileRows;
    auto* scratch = reinterpret_cast<float4*>(a.scratch + blockIdx.x * block_floats);
    const auto* factor = reinterpret_cast<const float4*>(a.factor);
    for (int64_t tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
      sample_tile(a, tile, factor, scratch + threadIdx.x, kSampleThreads);
    }
  }
}

}  // namespace

void sample_table(const SampleArguments& arguments, int blocks, cudaStream_t stream) {
  if (arguments.tiles == 0 || arguments.groups == 0) return;
  const auto grid = dim3(static_cast<unsigned>(arguments.tiles < blocks ? arguments.tiles : blocks));
  if (fits_shared(arguments.components, arguments.groups)) {
    const size_t shared = scratch_bytes(arguments.components) + factor_bytes(arguments.components, arguments.groups);
    CUDA_LAUNCH(sample_rows<true>, grid, dim3(kSampleThreads), shared, stream, arguments);
  } else {
    CUDA_LAUNCH(sample_rows<false>, grid, dim3(kSampleThreads), 0, stream, arguments);
  }
}

}  // namespace doppel::cuda
