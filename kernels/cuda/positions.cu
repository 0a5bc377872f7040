// Positions of numbers among sorted ones.
//
// in    sorted [size], numbers [count], of 64 bits each
// out   positions [count]
// limit 1 <= size < 2^31, any count
//
// A thread has a number, and halves what is left of the sorted ones until one is left: ceil(log2 size) steps, of which
// the first find their values in L1 and all find them in L2 (65,536 values are 512 KB). Threads read neighbouring
// numbers. 12 bytes of memory a number and 8 of caches a step; bound by the latency of L2, about 17 steps of 65,536.
#include "kernels/cuda/positions.h"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

constexpr int kThreads = 128;

__device__ __forceinline__ double load(const double* from) {
  return __ldg(from);
}
__device__ __forceinline__ int64_t load(const int64_t* from) {
  return __ldg(reinterpret_cast<const long long*>(from));
}

template <class Value>
__global__ void __launch_bounds__(kThreads)
    positions_kernel(const Value* sorted, int size, const Value* numbers, int64_t count, int32_t* positions) {
  const int64_t i = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  if (i >= count) return;
  const Value number = load(numbers + i);
  int first = 0;
  for (int length = size; length > 1;) {
    const int half = length / 2;
    const Value value = load(sorted + first + half - 1);
    if (value < number) first += half;
    length -= half;
  }
  positions[i] = first;
}

template <class Value>
void launch(const Value* sorted, int64_t size, const Value* numbers, int64_t count, int32_t* positions,
            cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((count + kThreads - 1) / kThreads));
  CUDA_LAUNCH(positions_kernel<Value>, grid, dim3(kThreads), 0, stream, sorted, static_cast<int>(size), numbers, count,
              positions);
}

}  // namespace

void find_positions(const int64_t* sorted, int64_t size, const int64_t* numbers, int64_t count, int32_t* positions,
                    cudaStream_t stream) {
  launch(sorted, size, numbers, count, positions, stream);
}
void find_positions(const double* sorted, int64_t size, const double* numbers, int64_t count, int32_t* positions,
                    cudaStream_t stream) {
  launch(sorted, size, numbers, count, positions, stream);
}

}  // namespace doppel::cuda
