// Counts of a mixture's members (MixtureCounts of kernels/mixture.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>

#include "kernels/cuda/responsibilities.h"

namespace doppel::cuda {

// Entries are sorted by member, those of a member in the order of rows. A member's counts are those of each variable's
// states, then its weight.
struct CountArguments {
  int64_t members;
  int32_t variables, size;  // size: counts of a member
  const int32_t* first;     // [members + 1] where a member's entries begin
  const Entry* entry;
  const int32_t* states;       // [blocks of kDensityRows rows, variables, kDensityRows]
  const int32_t* first_count;  // [variables + 2] where a variable's counts begin, the weight's place, and the end
  double* counts;              // [members, size]
};

// mixture_counts.cu. Asynchronous.
void sum_counts(const CountArguments& arguments, cudaStream_t stream);
// first [members + 1]: where each member's begin among entries sorted by member.
void find_boundaries(const int32_t* member, int64_t entries, int64_t members, int32_t* first, cudaStream_t stream);

// mixture_counts.cpp

// Entries sorted by member.
struct SortedEntries {
  DeviceBuffer<int32_t> member, first;  // [entries], [members + 1]
  DeviceBuffer<Entry> entry;
  SortedEntries(const DeviceShares& shares, int64_t members, cudaStream_t stream);
};

// Counts of all members on the device, which begin with what they hold.
class DeviceCounts {
 public:
  // Waits for the stream. The counts must outlive it.
  DeviceCounts(const MixtureCounts& counts, cudaStream_t stream);
  // states: as CountArguments has them.
  void add(int32_t variables, const int32_t* states, const SortedEntries& sorted) const;
  void download_sums() const;  // waits for the stream

 private:
  // Calls move(place of the packed count, count) for all counts.
  template <class Move>
  void for_counts(Move move) const;

  const MixtureCounts& counts_;
  cudaStream_t stream_;
  size_t size_ = 0;
  DeviceBuffer<int32_t> first_;
  DeviceBuffer<double> packed_;  // the member slowest
};

}  // namespace doppel::cuda
