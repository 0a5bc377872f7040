// Sums, sorts, runs and selections of what is on a CUDA device, by CUB (primitives.cu). Asynchronous, but for
// sort_on_device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <span>

#include "kernels/cuda/device.h"

namespace doppel::cuda {

// A row's part in a member of a mixture.
struct alignas(8) Entry {
  int32_t row;
  float share;
};

// A number and how many there are of it.
struct alignas(8) Occurrence {
  int32_t number, count;
};

// sums [size] of the values before each.
void exclusive_sums(const int32_t* values, int32_t* sums, int64_t size, cudaStream_t stream);

// Entries by member, those of a member in their order; members are below the limit.
void sort_by_member(const int32_t* member, const Entry* entry, int64_t entries, int64_t limit, int32_t* sorted_member,
                    Entry* sorted_entry, cudaStream_t stream);

// Ascending, by the lowest `bits` of the values, which have no others set unless bits is 64. `other`, of the same size,
// is overwritten.
void sort_ascending(DeviceBuffer<int64_t>& values, DeviceBuffer<int64_t>& other, int bits, cudaStream_t stream);

// Runs of equal values: of each the value and its length. distinct and lengths have room for as many as there are
// values, below 2^31; runs[0] is how many there are.
void find_runs(const DeviceBuffer<int64_t>& sorted, int64_t* distinct, int32_t* lengths, int32_t* runs,
               cudaStream_t stream);

// Those whose count is not 0, in their order; selected[0] is how many.
void select_occurring(const Occurrence* all, int64_t size, Occurrence* occurring, int32_t* selected,
                      cudaStream_t stream);

// sort_on_device.cpp: of the host's memory, in pieces that are merged on the host where the device's is short.
void sort_on_device(std::span<int64_t> values, cudaStream_t stream);

}  // namespace doppel::cuda
