// The used subset of CUB under its own names, in its stream's order: for .cu files, whose kernels of their own are
// emulated.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <utility>

namespace simt {

// libraries.cpp. Without scratch only `bytes` is set.
cudaError_t exclusive_sum(void* scratch, size_t& bytes, const int32_t* values, int32_t* sums, int size,
                          cudaStream_t stream);
// Stable, by the bits [begin_bit, end_bit) of keys that are not negative.
cudaError_t sort_pairs(void* scratch, size_t& bytes, const int32_t* keys, int32_t* sorted_keys, const void* values,
                       void* sorted_values, size_t value_bytes, int size, int begin_bit, int end_bit,
                       cudaStream_t stream);
// By the bits [begin_bit, end_bit).
cudaError_t sort_keys(void* scratch, size_t& bytes, const int64_t* keys, int64_t* sorted_keys, int64_t size,
                      int begin_bit, int end_bit, cudaStream_t stream);
cudaError_t encode_runs(void* scratch, size_t& bytes, const int64_t* values, int64_t* distinct, int32_t* lengths,
                        int32_t* runs, int size, cudaStream_t stream);
cudaError_t select(void* scratch, size_t& bytes, const void* values, void* selected_values, size_t value_bytes,
                   int32_t* selected, int size, const std::function<bool(const void*)>& takes, cudaStream_t stream);

}  // namespace simt

namespace cub {

template <class Value>
struct DoubleBuffer {
  Value* d_buffers[2];
  int selector = 0;
  DoubleBuffer(Value* current, Value* alternate) : d_buffers{current, alternate} {}
  Value* Current() const { return d_buffers[selector]; }
  Value* Alternate() const { return d_buffers[selector ^ 1]; }
};

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
  // In the other buffer, whether or not a device would have it there.
  static cudaError_t SortKeys(void* scratch, size_t& bytes, DoubleBuffer<int64_t>& keys, int64_t size, int begin_bit,
                              int end_bit, cudaStream_t stream) {
    const cudaError_t error =
        simt::sort_keys(scratch, bytes, keys.Current(), keys.Alternate(), size, begin_bit, end_bit, stream);
    if (scratch != nullptr && error == cudaSuccess) keys.selector ^= 1;
    return error;
  }
};

struct DeviceRunLengthEncode {
  static cudaError_t Encode(void* scratch, size_t& bytes, const int64_t* values, int64_t* distinct, int32_t* lengths,
                            int32_t* runs, int size, cudaStream_t stream) {
    return simt::encode_runs(scratch, bytes, values, distinct, lengths, runs, size, stream);
  }
};

struct DeviceSelect {
  template <class Value, class Takes>
  static cudaError_t If(void* scratch, size_t& bytes, const Value* values, Value* selected_values, int32_t* selected,
                        int size, Takes takes, cudaStream_t stream) {
    return simt::select(
        scratch, bytes, values, selected_values, sizeof(Value), selected, size,
        [takes](const void* value) { return takes(*static_cast<const Value*>(value)); }, stream);
  }
};

}  // namespace cub
