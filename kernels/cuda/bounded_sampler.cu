// Scores and states of rows with bounded latents (kernels/bounded_sampler.h); columns are made of them as the table
// decoder's are (decode_table.cu).
//
// in    cells, bounds and weights of bounded normals; members' weights and variables' nodes as of a table sampler
// out   drawn [variables + latents, padded rows]
// limit any number of rows, cells, latents and components
//
// A thread has a row. It tries cells until one is accepted: of the rows of a warp all wait for the last, so that a
// warp's tries are those of its unluckiest row (at 60 % accepted about 4, at 90 % two). Then it draws the components'
// normals and goes through the latents by eights: a multiplication and an addition a weight, two 16-byte loads of the
// member's weights a component. Normals and own noise are in shared memory, [number, thread], or in a scratch buffer
// small enough for L2 where they do not fit.
//
// A row of K components, L latents, V variables and B bounds: about (2 + B) Philox blocks and 500 B operations in
// double a try, (K + L) / 4 + V / 4 blocks more and 2 (K + 2) L operations; (K + 2) L weights read through L2, 4 (V +
// L) bytes written, and written again for each bound. Bound by arithmetic: by double precision where that is slow.
#include "kernels/common/math.h"
#include "kernels/cuda/bounded_sampler.h"
#include "kernels/cuda/sample_mixture.cuh"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

constexpr int kBlocksAtOnce = 10;  // of a multiprocessor: up to 96 registers, with which none spills

// Blocks of one row.
struct RowBlocks {
  PhiloxRow<Lanes> row;
  PhiloxKey key;
  __device__ __forceinline__ void operator()(uint32_t block, uint32_t words[4]) const {
    portable::philox_block<Lanes>(row, block, key, portable::philox_keys<Lanes>(key), words);
  }
  __device__ __forceinline__ void normals(uint32_t block, float normal[4]) const {
    uint32_t words[4];
    (*this)(block, words);
    portable::box_muller<Lanes>(Lanes::int_of_words(words[0]), Lanes::int_of_words(words[1]), normal[0], normal[1]);
    portable::box_muller<Lanes>(Lanes::int_of_words(words[2]), Lanes::int_of_words(words[3]), normal[2], normal[3]);
  }
};

__device__ __forceinline__ void add_rounded(const float4* weights, float normal, float sum[kGroupScores]) {
  const float4 low = __ldg(weights), high = __ldg(weights + 1);
  const float weight[kGroupScores] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
  for (int s = 0; s < kGroupScores; ++s) sum[s] += Lanes::multiply(weight[s], normal);
}

// scores[s * padded rows] of the group's latents that are there; own[s * kBoundedThreads]: their noise.
__device__ __forceinline__ void score_group(const ScoreArguments& a, const SampleGroup& group, const float4* weights,
                                            const float* normals, const float* own, int count, int64_t padded_rows,
                                            float* scores) {
  const float4 low = __ldg(weights), high = __ldg(weights + 1);
  float sum[kGroupScores] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
  for (int k = 0; k < a.components; ++k) add_rounded(weights + 2 * (k + 1), normals[k * kBoundedThreads], sum);
  const auto* residual = reinterpret_cast<const float*>(weights + 2 * (a.components + 1));
#pragma unroll
  for (int s = 0; s < kGroupScores; ++s) {
    if (s >= count) break;
    if (__ldg(group.residual + s) > 0) sum[s] += Lanes::multiply(__ldg(residual + s), own[s * kBoundedThreads]);
    scores[s * padded_rows] = sum[s];
  }
}

__device__ __forceinline__ void draw_scores(const BoundedArguments& a, const RowBlocks& blocks, const CellRecord& cell,
                                            int64_t row, const double* bounded, float* normals) {
  const ScoreArguments& scores = a.scores;
  float normal[4];
  for (int k = 0; k < scores.kept; k += 4) {
    blocks.normals(static_cast<uint32_t>(k / 4), normal);
#pragma unroll
    for (int i = 0; i < 4; ++i) normals[(k + i) * kBoundedThreads] = normal[i];
  }
  for (int i = 0; i < cell.bounds; ++i)
    normals[i * kBoundedThreads] = static_cast<float>(bounded[i * kBoundedThreads]);

  float* own = normals + scores.kept * kBoundedThreads;
  float* to = a.drawn + scores.mixture.variables * a.padded_rows + row;
  const float4* weights = reinterpret_cast<const float4*>(scores.factor) + cell.member * scores.mixture.member_weights;
  for (int g = 0; g < scores.groups; ++g, weights += 2 * (scores.components + 2)) {
    const SampleGroup& group = scores.group[g];
    for (int n = group.first_noise; n < group.first_noise + group.noises; ++n) {
      const NoiseBlock& noise = scores.noise[n];
      blocks.normals(noise.block, normal);
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (noise.score[i] >= 0) own[noise.score[i] * kBoundedThreads] = normal[i];
    }
    score_group(scores, group, weights, normals, own, a.latents - g * kGroupScores, a.padded_rows,
                to + g * kGroupScores * a.padded_rows);
  }
  for (int i = 0; i < cell.bounds; ++i) {
    const BoundRecord& bound = a.cells.bound[cell.first_bound + static_cast<uint32_t>(i)];
    float* score = to + bound.latent * a.padded_rows;
    *score = portable::within_span(*score, bound);
  }
}

__device__ __forceinline__ void draw_states(const BoundedArguments& a, const RowBlocks& blocks, int member,
                                            int64_t row) {
  const SampleMixture& mixture = a.scores.mixture;
  Rows rows;
  rows.key = blocks.key;
  uint32_t words[4];
  for (int v = 0; v < mixture.variables; v += 4) {
    blocks(mixture.first_word_block + static_cast<uint32_t>(v / 4), words);
#pragma unroll
    for (int i = 0; i < 4; ++i) {
      if (v + i >= mixture.variables) break;
      const int state = draw_state(mixture, v + i, a.scores.tables, member, words[i], rows, blocks.row);
      a.drawn[(v + i) * a.padded_rows + row] = Lanes::float_of_bits(state);
    }
  }
}

template <bool kInShared>
__global__ void __launch_bounds__(kBoundedThreads, kBlocksAtOnce)
    bounded_kernel(const BoundedArguments a, std::byte* scratch, int64_t scratch_bytes) {
  SIMT_DYNAMIC_SHARED(double, shared);
  auto* bounded = kInShared ? shared : reinterpret_cast<double*>(scratch + blockIdx.x * scratch_bytes);
  auto* normals = reinterpret_cast<float*>(bounded + a.most_bounds * kBoundedThreads) + threadIdx.x;
  bounded += threadIdx.x;
  const PhiloxKey key = philox_key(a.scores.seed);
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kBoundedThreads;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kBoundedThreads + threadIdx.x; row < a.padded_rows;
       row += stride) {
    const uint64_t number = a.scores.first_row + static_cast<uint64_t>(row);
    const RowBlocks blocks{
        portable::philox_row<Lanes>(static_cast<uint32_t>(number), static_cast<uint32_t>(number >> 32),
                                    static_cast<uint32_t>(doppel::Stream::kWhere), key),
        key};
    const CellRecord& cell = *portable::draw_cell(a.cells, blocks, bounded, kBoundedThreads);
    draw_scores(a, blocks, cell, row, bounded, normals);
    draw_states(a, blocks, cell.member, row);
  }
}

}  // namespace

void draw_bounded_rows(const BoundedArguments& arguments, int blocks, std::byte* scratch, cudaStream_t stream) {
  const int64_t whole = arguments.padded_rows / kBoundedThreads;
  if (whole == 0) return;
  const dim3 grid(static_cast<unsigned>(whole < blocks ? whole : blocks));
  const size_t bytes = bounded_scratch_bytes(arguments.scores.components, arguments.most_bounds);
  if (scratch == nullptr) {
    CUDA_LAUNCH(bounded_kernel<true>, grid, dim3(kBoundedThreads), bytes, stream, arguments, scratch, 0);
  } else {
    CUDA_LAUNCH(bounded_kernel<false>, grid, dim3(kBoundedThreads), 0, stream, arguments, scratch,
                static_cast<int64_t>(bytes));
  }
}

}  // namespace doppel::cuda
