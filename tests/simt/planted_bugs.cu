#include "kernels/cuda/simt.h"
#include "tests/simt/planted_bugs.h"

namespace doppel {
namespace {

__device__ int depth_of(volatile int* n) {
  return *n == 0 ? 0 : 1 + depth_of(n) + *n;
}

template <Bug kBug>
__device__ float read_values(const float* x, int n) {
  float sum = 0;
  const int first = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  const int last = kBug == Bug::kReadPastGlobal ? n + 1 : n;
  for (int i = first; i < last; i += static_cast<int>(gridDim.x * blockDim.x)) sum += x[i];
  return sum;
}

template <Bug kBug>
__device__ float warp_sum(float x) {
  const unsigned mask = kBug == Bug::kWrongMask ? 0x0000ffffu : 0xffffffffu;
  if (kBug == Bug::kShuffleInBranch) {
    if (threadIdx.x % 2 == 0) x += __shfl_down_sync(mask, x, 1);
    return x;
  }
  for (int distance = 16; distance > 0; distance /= 2) x += __shfl_down_sync(mask, x, distance);
  return x;
}

template <Bug kBug>
__device__ void block_barrier() {
  if (kBug == Bug::kMissingBarrier) return;
  if (kBug == Bug::kDivergentBarrier) {
    if (threadIdx.x < 64) __syncthreads();
  } else if (kBug == Bug::kTwoBarriers) {
    if (threadIdx.x < 64) {
      __syncthreads();
    } else {
      __syncthreads();
    }
  } else {
    __syncthreads();
  }
}

template <Bug kBug>
__global__ void sum_kernel(const float* x, int n, float* total) {
  constexpr int kWarps = kSumThreads / 32;
  SIMT_SHARED(float, sums, [kWarps]);
  SIMT_SHARED(float, all, [1]);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  if (kBug == Bug::kExitBeforeBarrier && threadIdx.x >= 96) return;
  if (kBug == Bug::kEndlessRecursion) {
    volatile int one = 1;
    *total = static_cast<float>(depth_of(&one));
  }
  if (kBug == Bug::kMisaligned) {
    SIMT_SHARED(float4, vector, [1]);
    if (threadIdx.x == 5) vector[0] = *reinterpret_cast<const float4*>(x + 1);
  }
  float sum = warp_sum<kBug>(read_values<kBug>(x, n));
  if (threadIdx.x == 0) all[0] = 0;
  block_barrier<Bug::kNone>();
  const int slot = kBug == Bug::kWritePastShared && warp == kWarps - 1 ? kWarps : warp;
  if (lane == 0 && !(kBug == Bug::kUninitialisedShared && warp == 2)) sums[slot] = sum;
  if (kBug == Bug::kLostUpdateShared) {
    if (lane == 0) all[0] += sum;
  }
  block_barrier<kBug>();
  if (threadIdx.x == 0) {
    for (int w = 0; w < kWarps; ++w) all[0] += kBug == Bug::kLostUpdateShared ? 0 : sums[w];
  }
  if (kBug == Bug::kMissingSecondBarrier) {
    if (lane == 0) sums[warp] = 0;  // thread 0 may still be adding
  }
  if (threadIdx.x == 0) {
    if (kBug == Bug::kLostUpdateGlobal) {
      *total += all[0];
    } else {
      atomicAdd(total, all[0]);
    }
    if (kBug == Bug::kWritePastGlobal) total[1] = 0;
  }
}

// The sum by a butterfly in shared memory, within a warp: what another lane has read its owner reads and writes next.
template <bool kBarriers>
__global__ void warp_butterfly_kernel(const float* x, int n, float* total) {
  SIMT_SHARED(float, sums, [kSumThreads]);
  const int thread = static_cast<int>(threadIdx.x), lane = thread % 32;
  sums[thread] = read_values<Bug::kNone>(x, n);
  if (kBarriers) __syncwarp();
  for (int distance = 16; distance > 0; distance /= 2) {
    const float other = sums[thread ^ distance];
    if (kBarriers) __syncwarp();
    sums[thread] += other;
    if (kBarriers) __syncwarp();
  }
  if (lane == 0) atomicAdd(total, sums[thread]);
}

__global__ void large_kernel(const float*, int, float* total) {
  SIMT_SHARED(float, large, [16384]);  // 64 KiB
  large[threadIdx.x] = 0;
  *total = large[threadIdx.x];
}

}  // namespace

void launch_sum(Bug bug, const float* x, int n, float* total, int blocks, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(blocks)), block(kSumThreads);
#define DOPPEL_CASE(kBug)                                                    \
  case Bug::kBug:                                                            \
    CUDA_LAUNCH(sum_kernel<Bug::kBug>, grid, block, 0, stream, x, n, total); \
    break
  switch (bug) {
    DOPPEL_CASE(kNone);
    DOPPEL_CASE(kMissingBarrier);
    DOPPEL_CASE(kMissingSecondBarrier);
    DOPPEL_CASE(kDivergentBarrier);
    DOPPEL_CASE(kExitBeforeBarrier);
    DOPPEL_CASE(kTwoBarriers);
    DOPPEL_CASE(kWrongMask);
    DOPPEL_CASE(kShuffleInBranch);
    DOPPEL_CASE(kUninitialisedShared);
    DOPPEL_CASE(kWritePastShared);
    DOPPEL_CASE(kReadPastGlobal);
    DOPPEL_CASE(kWritePastGlobal);
    DOPPEL_CASE(kLostUpdateShared);
    DOPPEL_CASE(kLostUpdateGlobal);
    DOPPEL_CASE(kMisaligned);
    DOPPEL_CASE(kEndlessRecursion);
    case Bug::kMissingWarpBarrier:
      CUDA_LAUNCH(warp_butterfly_kernel<false>, grid, block, 0, stream, x, n, total);
      break;
    case Bug::kTooMuchShared:
      CUDA_LAUNCH(large_kernel, grid, block, 0, stream, x, n, total);
      break;
  }
#undef DOPPEL_CASE
}

void launch_warp_butterfly_sum(const float* x, int n, float* total, int blocks, cudaStream_t stream) {
  CUDA_LAUNCH(warp_butterfly_kernel<true>, dim3(static_cast<unsigned>(blocks)), dim3(kSumThreads), 0, stream, x, n, total);
}

}  // namespace doppel
