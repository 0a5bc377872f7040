// Sums and sorts that CUB has. In linear time: entries go through memory once for each 7 or 8 bits of the greatest
// member's number.
#ifdef __CUDACC__
#include <cub/device/device_radix_sort.cuh>
#include <cub/device/device_scan.cuh>
#else
#include "tests/simt/cub.h"
#endif

#include <bit>

#include "kernels/cuda/responsibilities.h"

namespace doppel::cuda {

namespace {

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

}  // namespace doppel::cuda
