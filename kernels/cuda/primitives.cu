// What CUB has. In linear time: a sort goes through memory once for each 7 or 8 bits of its keys, the others once.
#ifdef __CUDACC__
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_run_length_encode.cuh>
#include <cub/device/device_scan.cuh>
#include <cub/device/device_select.cuh>
#else
#include "tests/simt/cub.h"
#endif

#include <bit>
#include <utility>

#include "kernels/cuda/primitives.h"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {

namespace {

struct Occurs {
  __host__ __device__ __forceinline__ bool operator()(const Occurrence& occurrence) const {
    return occurrence.count != 0;
  }
};

// CUB's functions say how much memory they want when they are called without.
template <class Call>
void with_scratch(cudaStream_t stream, const Call& call) {
  size_t bytes = 0;
  CUDA_CHECK(call(nullptr, bytes));
  const DeviceBuffer<unsigned char> scratch(bytes, stream);
  CUDA_CHECK(call(scratch.data(), bytes));
}

}  // namespace

void exclusive_sums(const int32_t* values, int32_t* sums, int64_t size, cudaStream_t stream) {
  with_scratch(stream, [&](void* scratch, size_t& bytes) {
    return cub::DeviceScan::ExclusiveSum(scratch, bytes, values, sums, static_cast<int>(size), stream);
  });
}

void sort_by_member(const int32_t* member, const Entry* entry, int64_t entries, int64_t limit, int32_t* sorted_member,
                    Entry* sorted_entry, cudaStream_t stream) {
  const int bits = std::bit_width(static_cast<uint64_t>(limit - 1));
  with_scratch(stream, [&](void* scratch, size_t& bytes) {
    return cub::DeviceRadixSort::SortPairs(scratch, bytes, member, sorted_member, entry, sorted_entry,
                                           static_cast<int>(entries), 0, bits > 0 ? bits : 1, stream);
  });
}

void sort_ascending(DeviceBuffer<int64_t>& values, DeviceBuffer<int64_t>& other, int bits, cudaStream_t stream) {
  cub::DoubleBuffer<int64_t> buffers(values.data(), other.data());
  with_scratch(stream, [&](void* scratch, size_t& bytes) {
    return cub::DeviceRadixSort::SortKeys(scratch, bytes, buffers, static_cast<int64_t>(values.size()), 0, bits,
                                          stream);
  });
  if (buffers.Current() != values.data()) std::swap(values, other);
}

void find_runs(const DeviceBuffer<int64_t>& sorted, int64_t* distinct, int32_t* lengths, int32_t* runs,
               cudaStream_t stream) {
  with_scratch(stream, [&](void* scratch, size_t& bytes) {
    return cub::DeviceRunLengthEncode::Encode(scratch, bytes, sorted.data(), distinct, lengths, runs,
                                              static_cast<int>(sorted.size()), stream);
  });
}

void select_occurring(const Occurrence* all, int64_t size, Occurrence* occurring, int32_t* selected,
                      cudaStream_t stream) {
  with_scratch(stream, [&](void* scratch, size_t& bytes) {
    return cub::DeviceSelect::If(scratch, bytes, all, occurring, selected, static_cast<int>(size), Occurs(), stream);
  });
}

}  // namespace doppel::cuda
