// Sums over the lanes of a warp, in one order.
#pragma once

#include "kernels/cuda/simt.h"

namespace doppel::cuda {

constexpr int kWarp = 32;
constexpr unsigned kAllLanes = 0xffffffffu;

// In lane 0; all lanes call it.
__device__ __forceinline__ double sum_of_warp(double x) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) x += __shfl_down_sync(kAllLanes, x, distance);
  return x;
}

}  // namespace doppel::cuda
