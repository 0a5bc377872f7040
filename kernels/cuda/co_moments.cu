// What co-moments need besides matrix products (accumulate_co_moments.cpp).
//
// square_values  in, out [size] doubles, aligned to 16 bytes. Any size, grid-stride. 16 bytes and 1 flop a value: bound
//                by memory.
// sum_columns    in [columns, rows] doubles, column-major; out [columns] sums and sums of squares. A block of 256 threads
//                a column: strided partial sums of pairs, a shuffle tree in each warp, one across warps. The order of
//                addition depends on `rows` and the column only, so results are the same bits run after run. 8 bytes and
//                3 flop a value: bound by memory once there are as many columns as multiprocessors; a column split over
//                blocks would need a second pass.
#include "kernels/cuda/co_moments.h"
#include "kernels/cuda/simt.h"
#include "kernels/cuda/sums.cuh"

namespace doppel::cuda {
namespace {

constexpr int kThreads = 256, kWarps = kThreads / 32;
constexpr int64_t kMostBlocks = 1024;

__global__ void __launch_bounds__(kThreads) square_kernel(const double* values, int64_t size, double* squares) {
  const int64_t first = static_cast<int64_t>(blockIdx.x) * kThreads + threadIdx.x;
  const int64_t stride = static_cast<int64_t>(gridDim.x) * kThreads;
  for (int64_t pair = first; pair < size / 2; pair += stride) {
    const double2 two = __ldg(reinterpret_cast<const double2*>(values) + pair);
    const double2 squared = make_double2(two.x * two.x, two.y * two.y);
    reinterpret_cast<double2*>(squares)[pair] = squared;
  }
  if (first == 0 && size % 2 != 0) squares[size - 1] = values[size - 1] * values[size - 1];
}

__global__ void __launch_bounds__(kThreads)
    column_sums_kernel(const double* values, int64_t rows, double* sums, double* square_sums) {
  SIMT_SHARED(double, warp_sums, [kWarps]);
  SIMT_SHARED(double, warp_squares, [kWarps]);
  const double* column = values + static_cast<int64_t>(blockIdx.x) * rows;
  double sum = 0, square = 0;
  const auto add = [&](double x) {
    sum += x;
    square = fma(x, x, square);
  };
  const int64_t skipped = reinterpret_cast<uintptr_t>(column) % sizeof(double2) == 0 ? 0 : 1;  // rows before the pairs
  for (int64_t pair = threadIdx.x; pair < (rows - skipped) / 2; pair += kThreads) {
    const double2 two = __ldg(reinterpret_cast<const double2*>(column + skipped) + pair);
    add(two.x);
    add(two.y);
  }
  if (threadIdx.x == 0 && skipped == 1) add(column[0]);
  if (threadIdx.x == 0 && (rows - skipped) % 2 != 0) add(column[rows - 1]);
  sum = sum_of_warp(sum);
  square = sum_of_warp(square);
  const int lane = static_cast<int>(threadIdx.x) % 32, warp = static_cast<int>(threadIdx.x) / 32;
  if (lane == 0) {
    warp_sums[warp] = sum;
    warp_squares[warp] = square;
  }
  __syncthreads();
  if (warp == 0) {
    sum = sum_of_warp(lane < kWarps ? warp_sums[lane] : 0);
    square = sum_of_warp(lane < kWarps ? warp_squares[lane] : 0);
    if (lane == 0) {
      sums[blockIdx.x] = sum;
      square_sums[blockIdx.x] = square;
    }
  }
}

}  // namespace

void square_values(const double* values, int64_t size, double* squares, cudaStream_t stream) {
  if (size == 0) return;
  const int64_t blocks = (size + kThreads - 1) / kThreads;
  const auto grid = dim3(static_cast<unsigned>(blocks < kMostBlocks ? blocks : kMostBlocks));
  CUDA_LAUNCH(square_kernel, grid, dim3(kThreads), 0, stream, values, size, squares);
}

void sum_columns(const double* values, int64_t rows, int64_t columns, double* sums, double* square_sums,
                 cudaStream_t stream) {
  if (columns == 0) return;
  CUDA_LAUNCH(column_sums_kernel, dim3(static_cast<unsigned>(columns)), dim3(kThreads), 0, stream, values, rows, sums,
              square_sums);
}

}  // namespace doppel::cuda
