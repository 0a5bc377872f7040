#include "kernels/cuda/simt.h"
#include "tests/simt/language.h"

namespace doppel {
namespace {

constexpr unsigned kAll = 0xffffffffu;

__global__ void language_kernel(unsigned* out) {
  SIMT_SHARED(unsigned, most, [1]);
  SIMT_SHARED(unsigned, winner, [1]);
  const unsigned thread = threadIdx.x;
  const auto put = [&](int row, unsigned value) { out[row * kLanguageThreads + static_cast<int>(thread)] = value; };
  put(0, __shfl_sync(kAll, thread, 5));
  put(1, __shfl_sync(kAll, thread, 3, 8));
  put(2, __shfl_up_sync(kAll, thread, 1));
  put(3, __shfl_down_sync(kAll, thread, 2, 16));
  put(4, __shfl_xor_sync(kAll, thread, 16));
  put(5, __ballot_sync(kAll, thread % 3 == 0));
  put(6, static_cast<unsigned>(__any_sync(kAll, thread == 40)));
  put(7, static_cast<unsigned>(__all_sync(kAll, thread < 32)));
  put(8, static_cast<unsigned>(__syncthreads_count(thread < 10)));
  put(9, static_cast<unsigned>(__syncthreads_and(thread != 63)));
  put(10, static_cast<unsigned>(__syncthreads_or(thread == 63)));
  put(11, static_cast<unsigned>(2 * __shfl_sync(kAll, thread * 0.5, 7)));
  put(12, thread % 32 < 16 ? __shfl_xor_sync(0x0000ffffu, thread, 1) : 0);
  if (thread == 0) {
    most[0] = 0;
    winner[0] = kAll;
  }
  __syncthreads();
  atomicMax(&most[0], thread * 7 % 64);
  const bool first = atomicCAS(&winner[0], kAll, thread) == kAll;
  const int winners = __syncthreads_count(first);
  put(13, most[0]);
  put(14, static_cast<unsigned>(winners));
}

__global__ void last_block_kernel(const float* x, int n, float* partial, unsigned* finished, float* total) {
  SIMT_SHARED(bool, last, [1]);
  SIMT_SHARED(float, sum, [1]);
  if (threadIdx.x == 0) sum[0] = 0;
  __syncthreads();
  const int i = static_cast<int>(blockIdx.x * blockDim.x + threadIdx.x);
  if (i < n) atomicAdd(&sum[0], x[i]);
  __syncthreads();
  if (threadIdx.x == 0) {
    partial[blockIdx.x] = sum[0];
    __threadfence();
    last[0] = atomicAdd(finished, 1u) == gridDim.x - 1;
  }
  __syncthreads();
  if (last[0] && threadIdx.x == 0) {
    float all = 0;
    for (unsigned block = 0; block < gridDim.x; ++block) all += partial[block];
    *total = all;
    *finished = 0;
  }
}

}  // namespace

void launch_language(unsigned* out, cudaStream_t stream) {
  CUDA_LAUNCH(language_kernel, dim3(1), dim3(kLanguageThreads), 0, stream, out);
}

void launch_last_block_sum(const float* x, int n, float* partial, unsigned* finished, float* total, int blocks,
                           cudaStream_t stream) {
  CUDA_LAUNCH(last_block_kernel, dim3(static_cast<unsigned>(blocks)), dim3(kLanguageThreads), 0, stream, x, n, partial,
              finished, total);
}

}  // namespace doppel
