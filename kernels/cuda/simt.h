// What a kernel file needs so that nvcc compiles it for a device and g++ for the SIMT emulator of the tests
// (tests/simt). Only for .cu files, after all headers of others: it makes macros of names.
//
//   SIMT_SHARED(float, tile, [32][33]);   a static shared array          (nvcc: __shared__ float tile[32][33])
//   SIMT_DYNAMIC_SHARED(float4, scratch); the launch's dynamic shared memory
//   CUDA_LAUNCH(kernel, grid, block, shared_bytes, stream, arguments...)  launch, checked: throws Error
//
// Kernels keep to what the emulator has (device_language.h): no cooperative groups, inline PTX, textures or waiting
// between blocks; no warp-synchronous code without __syncwarp; locals without destructors; what a call returns is stored
// by way of a local, as its checks do not see the other way.
#pragma once

#include "kernels/cuda/device.h"

#ifdef __CUDACC__
#define SIMT_SHARED(T, name, dimensions) __shared__ T name dimensions
#define SIMT_DYNAMIC_SHARED(T, name)                                   \
  extern __shared__ __align__(16) unsigned char simt_dynamic_shared[]; \
  T* name = reinterpret_cast<T*>(simt_dynamic_shared)

namespace simt {

template <class... Parameters, class... Arguments>
cudaError_t start(const char*, void (*kernel)(Parameters...), dim3 grid, dim3 block, size_t shared_bytes,
                  cudaStream_t stream, Arguments&&... arguments) {
  kernel<<<grid, block, shared_bytes, stream>>>(static_cast<Parameters>(arguments)...);
  return cudaGetLastError();
}

}  // namespace simt
#else
#include "tests/simt/device_language.h"
#endif

#define CUDA_LAUNCH(kernel, grid, block, shared_bytes, stream, ...)                                       \
  do {                                                                                                    \
    const ::doppel::cuda::ProfilerRange range(#kernel);                                                   \
    ::doppel::cuda::check(::simt::start(#kernel, kernel, grid, block, shared_bytes, stream, __VA_ARGS__), \
                          "launch of " #kernel, __FILE__, __LINE__);                                      \
  } while (false)
