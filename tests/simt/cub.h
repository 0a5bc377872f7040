// The used subset of CUB under its own names, in its stream's order: for .cu files, whose kernels of their own are
// emulated.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

namespace simt {

// libraries.cpp. Without scratch only `bytes` is set.
cudaError_t exclusive_sum(void* scratch, size_t& bytes, const int32_t* values, int32_t* sums, int size,
                          cudaStream_t stream);
// Stable, by the bits [begin_bit, end_bit) of keys that are not negative.
cudaError_t sort_pairs(void* scratch, size_t& bytes, const int32_t* keys, int32_t* sorted_keys, const void* values,
                       void* sorted_values, size_t value_bytes, int size, int begin_bit, int end_bit,
                       cudaStream_t stream);

}  // namespace simt

namespace cub {

struct DeviceScan {
  static cudaError_t ExclusiveSum(void* scratch, size_t& bytes, const int32_t* values, int32_t* sums, int size,
                                  cudaStream_t stream) {
    return simt::exclusive_sum(scratch, bytes, values, sums, size, stream);
  }
};

struct DeviceRadixSort {
  template <class Value>
  static cudaError_t SortPairs(void* scratch, size_t& bytes, const int32_t* keys, int32_t* sorted_keys,
                               const Value* values, Value* sorted_values, int size, int begin_bit, int end_bit,
                               cudaStream_t stream) {
    return simt::sort_pairs(scratch, bytes, keys, sorted_keys, values, sorted_values, sizeof(Value), size, begin_bit,
                            end_bit, stream);
  }
};

}  // namespace cub
