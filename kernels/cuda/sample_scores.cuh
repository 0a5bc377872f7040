// Scores of rows: Philox -> normals -> scores, and the states of a mixture's variables, of four neighbouring rows a
// thread. What is done with them is the caller's (sample_table.cu, decode_table.cu).
//
// A block of 64 threads takes tiles of 256 rows. A thread first draws the component normals of its rows, then goes
// through groups of eight latents: own noise, and the product with the factor (32 fma for one 16-byte load of normals
// and two broadcast loads of weights). Only its own thread reads a row's normals and scores: no barriers but the one
// after the factor is staged.
//
// By size: normals and factor in shared memory where both fit into 48 KiB (20 components and 24 latents: 31 KiB),
// otherwise normals in a scratch buffer small enough for L2 and the factor through L1.
#pragma once

#include "kernels/common/math.h"
#include "kernels/cuda/sample_mixture.cuh"

namespace doppel::cuda {
namespace {

// A multiprocessor holds at least so many blocks: up to 128 registers a thread, which no architecture needs to spill at
// (12 blocks, 80 registers: sm_90 and sm_120 spill).
// Mixtures need 160, for the scores of four rows by weights of their own (7 blocks have no more registers than 8).
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ / 100 == 10  // as many registers; with six, ptxas spills two of them
constexpr int kResidentBlocks = 8, kResidentMixtureBlocks = 5;
#else
constexpr int kResidentBlocks = 8, kResidentMixtureBlocks = 6;
#endif

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

// factor: of the model; a mixture's members have theirs in a.factor.
template <bool kMixture, class Use>
__device__ __forceinline__ void score_tile(const ScoreArguments& a, int64_t tile, const float4* factor, float4* normals,
                                           int stride, Use use) {
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
    draw_discrete(a.mixture, a.tables, a.seed, a.first_row + static_cast<uint64_t>(row), rows, member, states, stride);
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
    use(g, scores, states, stride, row);
  }
}

// use(group, scores, states, stride, row): called by each thread for each group of latents, with the scores of its four
// rows from `row` on, scores[s * stride], and states[v * stride]. All threads of a block call it for the same group.
template <bool kInShared, bool kMixture, class Use>
__device__ __forceinline__ void score_rows(const ScoreArguments& a, Use use) {
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
      score_tile<kMixture>(a, tile, factor, shared + threadIdx.x, kSampleThreads, use);
    }
  } else {
    const int variables = kMixture ? a.mixture.variables : 0;
    const int64_t block_floats = static_cast<int64_t>(a.kept + kGroupScores + variables) * kTileRows;
    auto* scratch = reinterpret_cast<float4*>(a.scratch + blockIdx.x * block_floats);
    for (int64_t tile = blockIdx.x; tile < a.tiles; tile += gridDim.x) {
      score_tile<kMixture>(a, tile, factor, scratch + threadIdx.x, kSampleThreads, use);
    }
  }
}

}  // namespace
}  // namespace doppel::cuda
