// Sums that kernels of training make over blocks and groups of threads, each in one order.
#pragma once

#include <algorithm>

#include "kernels/cuda/sums.cuh"
#include "kernels/cuda/trainer.h"
#include "kernels/cuda/vectors.cuh"

namespace doppel::cuda {
namespace {

constexpr int kWarps = kThreads / kWarp;
constexpr int kMostLanes = 32;  // vectors of columns that a block sums, side by side

// The sum over the block's threads, in the first one. `shared` [kWarps] may be used again after a barrier.
__device__ __forceinline__ double sum_of_block(double x, double* shared) {
  x = sum_of_warp(x);
  if (threadIdx.x % kWarp == 0) shared[threadIdx.x / kWarp] = x;
  __syncthreads();
  double sum = 0;
  if (threadIdx.x == 0)
    for (int warp = 0; warp < kWarps; ++warp) sum += shared[warp];
  return sum;
}

// Of all threads of all blocks, which all call it: adds the sums of x to the totals.
template <int kSums>
__device__ __forceinline__ void add_to_totals(const double (&x)[kSums], const Totals& to) {
  SIMT_SHARED(double, shared, [kWarps]);
  SIMT_SHARED(bool, last, [1]);
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    const double sum = sum_of_block(x[i], shared);
    if (threadIdx.x == 0) to.partial[blockIdx.x * kSums + static_cast<unsigned>(i)] = sum;
    __syncthreads();
  }
  if (threadIdx.x == 0) {
    __threadfence();
    last[0] = atomicAdd(to.finished, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (!last[0]) return;
  __threadfence();
#pragma unroll
  for (int i = 0; i < kSums; ++i) {
    const double sum = sum_of_block(
        threadIdx.x < gridDim.x ? to.partial[threadIdx.x * kSums + static_cast<unsigned>(i)] : 0.0, shared);
    if (threadIdx.x == 0) to.totals[i] += sum;
    __syncthreads();
  }
  if (threadIdx.x == 0) *to.finished = 0;
}
static_assert(kLossBlocks <= kThreads);

// Blocks of a loss that is summed.
dim3 loss_blocks(int64_t threads) {
  return dim3(std::clamp(blocks_of(threads).x, 1u, static_cast<unsigned>(kLossBlocks)));
}

// Adds up what the threads of a column have, in its first thread: `groups` of `lanes` threads, a power of 2 of them.
template <class V>
__device__ __forceinline__ void sum_groups(float* sum, float* shared, int lanes) {
  const int thread = static_cast<int>(threadIdx.x);
#pragma unroll
  for (int i = 0; i < V::kValues; ++i) shared[thread * V::kValues + i] = sum[i];
  for (int half = kThreads / lanes / 2; half > 0; half /= 2) {
    __syncthreads();
    if (thread / lanes < half) {
#pragma unroll
      for (int i = 0; i < V::kValues; ++i) {
        sum[i] += shared[(thread + half * lanes) * V::kValues + i];
        shared[thread * V::kValues + i] = sum[i];
      }
    }
  }
}

// A block's sum of the gradients [rows, columns] of rows whose code (codes[row * stride]) is `code`, to sums [columns]: of
// the columns of tile `tile`, each kMostLanes vectors.
template <class V>
__device__ __forceinline__ void sum_rows_of_code(const int32_t* codes, int stride, int code, int rows,
                                                 const float* gradient, int columns, int tile, float* sums) {
  SIMT_SHARED(float, shared, [kThreads * 4]);
  const int thread = static_cast<int>(threadIdx.x), column = (tile * kMostLanes + thread % kMostLanes) * V::kValues;
  const bool has_columns = column < columns;
  float sum[V::kValues] = {};
  if (has_columns) {
    for (int row = thread / kMostLanes; row < rows; row += kThreads / kMostLanes) {
      if (__ldg(codes + static_cast<size_t>(row) * static_cast<size_t>(stride)) != code) continue;
      float values[V::kValues];
      V::load(gradient + static_cast<size_t>(row) * static_cast<size_t>(columns) + static_cast<size_t>(column), values);
#pragma unroll
      for (int i = 0; i < V::kValues; ++i) sum[i] += values[i];
    }
  }
  sum_groups<V>(sum, shared, kMostLanes);
  if (thread < kMostLanes && has_columns) V::store(sum, sums + column);
}

}  // namespace
}  // namespace doppel::cuda
