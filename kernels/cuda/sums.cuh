// Sums, and the greatest, over the lanes of a warp, in one order.
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

// In all lanes; all call it.
__device__ __forceinline__ float sum_to_all_lanes(float x) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}
__device__ __forceinline__ float greatest_to_all_lanes(float x) {
#pragma unroll
  for (int distance = kWarp / 2; distance > 0; distance /= 2) x = fmaxf(x, __shfl_xor_sync(kAllLanes, x, distance));
  return x;
}

}  // namespace doppel::cuda
