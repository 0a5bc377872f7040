// Table sampling (table.h): Philox -> normals -> scores -> values, fused; a row's numbers never leave the
// multiprocessor.
//
// in    factor [groups, components, 8] (of a mixture: sample_mixture.cuh), noise and column descriptions, segment
//       tables: constants, read through L1
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
#include "kernels/cuda/sample_mixture.cuh"
#include "kernels/cuda/sample_table.h"
#include "kernels/cuda/simt.h"
#include "kernels/random.h"

namespace doppel::cuda {
namespace {

// A multiprocessor holds at least so many blocks: up to 128 registers a thread, which no architecture needs to spill at
// (12 blocks, 80 registers: sm_90 and sm_120 spill).
// Mixtures need 160, for the scores of four rows by weights of their own (7 blocks have no more registers than 8).
constexpr int kResidentBlocks = 8, kResidentMixtureBlocks = 6;

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

template <bool kMixture>
__device__ __forceinline__ void write_columns(const SampleArguments& a, const SampleGroup& group, const float4* scores,
                                              const int4* states, int stride, int64_t row) {
  const int64_t padded_rows = a.tiles * kTileRows;
  for (int c = group.first_column; c < group.first_column + group.columns; ++c) {
    const SampleColumn& column = a.column[c];
    const Cells cells = make_cells<kMixture>(column, a.tables, scores, states, stride);
    if (column.has_missing) {
      std::byte* bitmaps = a.out + a.row_bytes * padded_rows;
      write_validity(cells.present, row, a.rows, bitmaps + column.bitmaps_before * (padded_rows / 8));
    }
    write_column<kMixture>(column, a.tables, cells, a.out + column.bytes_before * padded_rows, row);
  }
}

// factor: of the model; a mixture's members have theirs in a.factor.
template <bool kMixture>
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
  auto* states = reinterpret_cast<int4*>(scores + kGroupScores * stride);
  const float4* weights[kRowsPerThread];
  if constexpr (kMixture) {
    int member[kRowsPerThread];
    draw_discrete(a.mixture, a.tables, rows, member, states, stride);
#pragma unroll
    for (int r = 0; r < kRowsPerThread; ++r)
      weights[r] = reinterpret_cast<const float4*>(a.factor) + member[r] * a.mixture.member_weights;
  }
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
    if constexpr (kMixture) {
      compute_mixture_scores(weights, a.components, group.residual, normals, stride, scores);
#pragma unroll
      for (int r = 0; r < kRowsPerThread; ++r) weights[r] += 2 * (a.components + 2);
    } else {
      compute_scores(factor + g * a.components * 2, a.components, group.residual, normals, stride, scores);
    }
    write_columns<kMixture>(a, group, scores, states, stride, row);
  }
}

template <bool kInShared, bool kMixture>
__global__ void __launch_bounds__(kSampleThreads, kMixture ? kResidentMixtureBlocks : kResidentBlocks)
    sample_rows(const SampleArguments a) {
  const auto* factor = reinterpret_cast<const float4*>(a.factor);
  if constexpr (kInShared) {
    SIMT_DYNAMIC_SHARED(float4, shared);
    if constexpr (!kMixture) {
      float4* staged = shared + (a.kept + kGroupScores) * kSampleThreads;
      for (int i = static_cast<int>(threadIdx.x); i < a.groups * a.components * 2; i += kSampleThreads) {
        staged[i] = __ldg(factor + i);
      }
      __syncthreads();
      factor = staged;
    }
    for (int64_t tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
      sample_tile<kMixture>(a, tile, factor, shared + threadIdx.x, kSampleThreads);
    }
  } else {
    const int variables = kMixture ? a.mixture.variables : 0;
    const int64_t block_floats = static_cast<int64_t>(a.kept + kGroupScores + variables) * kTileRows;
    auto* scratch = reinterpret_cast<float4*>(a.scratch + blockIdx.x * block_floats);
    for (int64_t tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
      sample_tile<kMixture>(a, tile, factor, scratch + threadIdx.x, kSampleThreads);
    }
  }
}

}  // namespace

void sample_table(const SampleArguments& arguments, int blocks, cudaStream_t stream) {
  if (arguments.tiles == 0 || arguments.groups == 0) return;
  const auto grid = dim3(static_cast<unsigned>(arguments.tiles < blocks ? arguments.tiles : blocks));
  const int32_t components = arguments.components, variables = arguments.mixture.variables;
  const size_t scratch = scratch_bytes(components, variables);
  if (arguments.is_mixture && arguments.scratch == nullptr) {
    CUDA_LAUNCH((sample_rows<true, true>), grid, dim3(kSampleThreads), scratch, stream, arguments);
  } else if (arguments.is_mixture) {
    CUDA_LAUNCH((sample_rows<false, true>), grid, dim3(kSampleThreads), 0, stream, arguments);
  } else if (arguments.scratch == nullptr) {
    const size_t shared = scratch + factor_bytes(components, arguments.groups);
    CUDA_LAUNCH((sample_rows<true, false>), grid, dim3(kSampleThreads), shared, stream, arguments);
  } else {
    CUDA_LAUNCH((sample_rows<false, false>), grid, dim3(kSampleThreads), 0, stream, arguments);
  }
}

}  // namespace doppel::cuda
