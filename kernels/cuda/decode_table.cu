// Table decoding (kernels/decoder.h) of a piece of rows, in four kinds of kernels: latents, dense layers, draws,
// columns.
//
// in    the prior's weights (sample_scores.cuh), the network's [inputs, outputs], column descriptions and tables
// out   columns one after the other, [padded rows] values each; then validity bitmaps
// limit 65,535 * 128 rows a piece; any number of layers, inputs, outputs, variables, axes and columns
//
// Dense layers are matrix products in plain float32, as the bit law has it: a chain of fused multiply-adds an output,
// inputs ascending, no split over blocks. A block of 256 threads takes 128 outputs of 128 rows, a thread 8 x 8 of them
// in registers: of each input it reads 16 numbers from shared memory, in four 16-byte loads, for 64 fma. Chunks of 8
// inputs lie in two buffers, the next one's loads are under way while one is multiplied: one barrier a chunk. A block
// that has 64 outputs or fewer left takes half a tile, so that 700 outputs cost 704. Blocks of the same rows are
// neighbours: they share their inputs in L2, where the weights stay.
//
// Draws: a thread has one row and one variable or axis, so that there are enough threads for memory's latency, and goes
// through its logits three times: maximum, sum, and the sum again to count. The second pass' exponentials are computed
// again rather than stored: 20 operations against 8 bytes. A warp's logits of one variable, 128 bytes an outcome, are
// read again from L1 where those of a multiprocessor's warps fit, else from L2.
//
// A row of 16 latents, two hidden layers of 256, 700 logits of 22 variables and axes and 15 columns: 498 kflop in dense
// layers (7.4 ns at an H200's 67 TFLOP/s); 700 * 45 operations in draws (1 ns); memory (a piece's activations exceed
// L2): 2 x 1 kB written and read, 2.8 kB written and read one to three times, 180 bytes of states and scores (2 ns at
// 4.8 TB/s). Bound by multiply-adds. Alternatives that lost: the network fused in one block (activations of 128 rows
// are 128 kB of shared memory, which few devices have); a thread a row for all draws (too few threads); tensor cores
// (other bits).
#include "kernels/common/math.h"
#include "kernels/cuda/decode_table.h"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/sample_columns.cuh"
#include "kernels/cuda/sample_scores.cuh"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

// ---- latents

constexpr int kResidentLatentBlocks = 4;  // 255 registers a thread: there are fewer blocks than that

template <bool kInShared>
__global__ void __launch_bounds__(kSampleThreads, kResidentLatentBlocks)
    latents_kernel(const ScoreArguments a, float* latents) {
  const int64_t rows = a.tiles * kTileRows;
  score_rows<kInShared, true>(a, [=](int g, const float4* scores, const int4*, int stride, int64_t row) {
    float* to = latents + g * kGroupScores * rows + row;
#pragma unroll
    for (int s = 0; s < kGroupScores; ++s) *reinterpret_cast<float4*>(to + s * rows) = scores[s * stride];
  });
}

// ---- dense layers

constexpr int kDenseThreads = 256, kResidentDenseBlocks = 2;  // 128 registers a thread
constexpr int kSide = 16;                                     // threads of a tile, [kSide, kSide]
constexpr int kEach = 4;  // neighbouring rows, or outputs, of a thread: one load; it has two such
constexpr int kChunk = kDenseDepth * kDenseRows / kEach;  // float4 of a chunk
static_assert(kSide * kSide == kDenseThreads && 2 * kSide * kEach == kDenseRows && kDenseRows == kDenseOutputs &&
              kChunk == kDenseThreads);

// Inputs multiplied side by side: all of a chunk, so that loads are early; fewer where that spills registers.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 1000
constexpr int kUnrolledDepth = 2;
#else
constexpr int kUnrolledDepth = kDenseDepth;
#endif

// sum[i][k] += weight of output i * input of row k, of the chunk's inputs. x, y: which rows and outputs are the
// thread's.
template <int kHalves>
__device__ __forceinline__ void multiply_chunk(const float4* weights, const float4* inputs, int x, int y,
                                               float sum[kHalves * kEach][2 * kEach]) {
#pragma unroll kUnrolledDepth
  for (int depth = 0; depth < kDenseDepth; ++depth) {
    const float4 first = inputs[depth * 2 * kSide + x], second = inputs[depth * 2 * kSide + kSide + x];
    const float input[2 * kEach] = {first.x, first.y, first.z, first.w, second.x, second.y, second.z, second.w};
#pragma unroll
    for (int half = 0; half < kHalves; ++half) {
      const float4 four = weights[(depth * kHalves + half) * kSide + y];
      const float weight[kEach] = {four.x, four.y, four.z, four.w};
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
#pragma unroll
        for (int k = 0; k < 2 * kEach; ++k)
          sum[half * kEach + i][k] = Lanes::fused(weight[i], input[k], sum[half * kEach + i][k]);
      }
    }
  }
}

__device__ __forceinline__ float at_least_zero(float x, bool rectify) {
  return rectify && x < 0 ? 0.0f : x;
}

// kHalves * kDenseHalf outputs from `output` on, of kDenseRows rows from `row` on. weights, inputs: [2, kChunk].
template <int kHalves>
__device__ __forceinline__ void dense_tile(const DenseArguments& a, int output, int64_t row, float4* weights,
                                           float4* inputs) {
  // A warp has 8 x 4 of the threads' places. Its 16-byte loads go by 16 threads: those read all 8 of its rows' places
  // (128 bytes) and two of its outputs'.
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32, warp = thread / 32;
  const int x = warp % 2 * 8 + lane / 2 % 8, y = warp / 2 * 4 + lane / 16 * 2 + lane % 2;

  constexpr int kWidth = kHalves * kSide;  // float4 of weights an input
  const bool loads_weights = thread < kDenseDepth * kWidth;
  // Places in float4, of 32 bits: registers are short.
  const auto rows = static_cast<int>(a.rows / 4);
  int weight = (thread / kWidth * a.outputs + output) / 4 + thread % kWidth;
  int input = thread / (2 * kSide) * rows + static_cast<int>(row / 4) + thread % (2 * kSide);

  float sum[kHalves * kEach][2 * kEach];
#pragma unroll
  for (int i = 0; i < kHalves * kEach; ++i) {
    const float bias = __ldg(a.bias + output + i / kEach * kDenseHalf + y * kEach + i % kEach);
#pragma unroll
    for (int k = 0; k < 2 * kEach; ++k) sum[i][k] = bias;
  }

  const int chunks = a.inputs / kDenseDepth;
  float4 next_weight = make_float4(0, 0, 0, 0), next_input = next_weight;
  const auto load = [&] {
    if (loads_weights) next_weight = __ldg(reinterpret_cast<const float4*>(a.weight) + weight);
    next_input = __ldg(reinterpret_cast<const float4*>(a.x) + input);
    weight += kDenseDepth / 4 * a.outputs;
    input += kDenseDepth * rows;
  };
  const auto store = [&](int buffer) {
    if (loads_weights) weights[buffer * kChunk + thread] = next_weight;
    inputs[buffer * kChunk + thread] = next_input;
    __syncthreads();
  };
  if (chunks > 0) {
    load();
    store(0);
  }
  for (int chunk = 0; chunk < chunks; ++chunk) {
    const int buffer = chunk % 2;
    if (chunk + 1 < chunks) load();
    multiply_chunk<kHalves>(weights + buffer * kChunk, inputs + buffer * kChunk, x, y, sum);
    if (chunk + 1 < chunks) store(1 - buffer);  // which all have read: that was before the last barrier
  }

#pragma unroll
  for (int i = 0; i < kHalves * kEach; ++i) {
    float* to = a.y + (output + i / kEach * kDenseHalf + y * kEach + i % kEach) * a.rows + row + x * kEach;
    float value[2 * kEach];
#pragma unroll
    for (int k = 0; k < 2 * kEach; ++k) value[k] = at_least_zero(sum[i][k], a.rectify);
    *reinterpret_cast<float4*>(to) = make_float4(value[0], value[1], value[2], value[3]);
    *reinterpret_cast<float4*>(to + kSide * kEach) = make_float4(value[4], value[5], value[6], value[7]);
  }
}

__global__ void __launch_bounds__(kDenseThreads, kResidentDenseBlocks) dense_kernel(const DenseArguments a) {
  SIMT_SHARED(float4, weights, [2 * kChunk]);
  SIMT_SHARED(float4, inputs, [2 * kChunk]);
  const int output = static_cast<int>(blockIdx.x) * kDenseOutputs;
  const int64_t row = static_cast<int64_t>(blockIdx.y) * kDenseRows;
  if (a.outputs - output > kDenseHalf) {
    dense_tile<2>(a, output, row, weights, inputs);
  } else {
    dense_tile<1>(a, output, row, weights, inputs);
  }
}

// ---- draws

constexpr int kDrawThreads = kTileRows;

// Word `number` of the row's words for outcomes, as a number in [0, 1).
struct WordsOfRow {
  PhiloxKey key;
  PhiloxRow<Lanes> row;
  uint32_t first_block;

  __device__ __forceinline__ float uniform(uint32_t number) const {
    uint32_t words[4];
    portable::philox_block<Lanes>(row, first_block + number / 4, key, portable::philox_keys<Lanes>(key), words);
    const uint32_t low = number % 2 ? words[1] : words[0], high = number % 2 ? words[3] : words[2];
    const uint32_t word = number % 4 < 2 ? low : high;
    return Lanes::multiply(static_cast<float>(static_cast<int>(word >> 8)), 0x1p-24f);
  }
};

// logits [outcomes, rows] from the thread's row on.
__device__ __forceinline__ int draw_outcome_of_logits(const float* logits, int64_t rows, int outcomes, float u) {
  float most = __ldg(logits);
#pragma unroll 8
  for (int s = 1; s < outcomes; ++s) most = fmaxf(most, __ldg(logits + s * rows));
  float total = 0;
#pragma unroll 8
  for (int s = 0; s < outcomes; ++s)
    total += portable::exp_below_zero<Lanes>(Lanes::subtract(__ldg(logits + s * rows), most));
  const float bound = Lanes::multiply(u, total);
  float sum = 0;
  int outcome = 0;
#pragma unroll 8
  for (int s = 0; s < outcomes - 1; ++s) {
    sum += portable::exp_below_zero<Lanes>(Lanes::subtract(__ldg(logits + s * rows), most));
    outcome += bound >= sum;
  }
  return outcome;
}

__global__ void __launch_bounds__(kDrawThreads) draws_kernel(const DrawArguments a) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kDrawThreads + threadIdx.x;
  const uint64_t number = a.first_row + static_cast<uint64_t>(row);
  WordsOfRow words{philox_key(a.seed), {}, a.first_block};
  words.row = portable::philox_row<Lanes>(static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32),
                                          static_cast<uint32_t>(doppel::Stream::kRows), words.key);
  for (int g = static_cast<int>(blockIdx.y); g < a.groups; g += static_cast<int>(gridDim.y)) {
    const DrawGroup& group = a.group[g];
    const int outcome = draw_outcome_of_logits(a.logits + group.first * a.rows + row, a.rows, group.outcomes,
                                               words.uniform(group.word));
    float drawn = Lanes::float_of_bits(outcome);
    if (group.width > 0)
      drawn = Lanes::fused(static_cast<float>(outcome) + words.uniform(group.word + 1), group.width, -kScoreLimit);
    a.drawn[g * a.rows + row] = drawn;
  }
}

// ---- columns

constexpr int kResidentColumnBlocks = 16;  // 64 registers a thread

__global__ void __launch_bounds__(kSampleThreads, kResidentColumnBlocks)
    columns_kernel(const ColumnArguments a, int columns, const float* drawn, int variables) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kTileRows + threadIdx.x * kRowsPerThread;
  const auto* states = reinterpret_cast<const int4*>(drawn + row);
  const auto* scores = reinterpret_cast<const float4*>(drawn + variables * a.padded_rows + row);
  const auto stride = static_cast<int>(a.padded_rows / kRowsPerThread);
  for (int c = static_cast<int>(blockIdx.y); c < columns; c += static_cast<int>(gridDim.y))
    write_cells<true>(a, c, scores, states, stride, row);
}

}  // namespace

void draw_latents(const ScoreArguments& arguments, int blocks, float* latents, cudaStream_t stream) {
  if (arguments.tiles == 0 || arguments.groups == 0) return;
  const dim3 grid(static_cast<unsigned>(arguments.tiles < blocks ? arguments.tiles : blocks));
  const size_t shared = shared_bytes(arguments);
  if (arguments.scratch == nullptr) {
    CUDA_LAUNCH(latents_kernel<true>, grid, dim3(kSampleThreads), shared, stream, arguments, latents);
  } else {
    CUDA_LAUNCH(latents_kernel<false>, grid, dim3(kSampleThreads), shared, stream, arguments, latents);
  }
}

void compute_dense(const DenseArguments& arguments, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((arguments.outputs + kDenseOutputs - 1) / kDenseOutputs),
                  static_cast<unsigned>(arguments.rows / kDenseRows));
  CUDA_LAUNCH(dense_kernel, grid, dim3(kDenseThreads), 0, stream, arguments);
}

void draw_outcomes(const DrawArguments& arguments, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(arguments.rows / kDrawThreads), at_most(arguments.groups));
  CUDA_LAUNCH(draws_kernel, grid, dim3(kDrawThreads), 0, stream, arguments);
}

void write_drawn_columns(const ColumnArguments& arguments, int32_t columns, const float* drawn, int32_t variables,
                         cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(arguments.padded_rows / kTileRows), at_most(columns));
  CUDA_LAUNCH(columns_kernel, grid, dim3(kSampleThreads), 0, stream, arguments, columns, drawn, variables);
}

}  // namespace doppel::cuda
