// Counts of a mixture's members on their way to the device and back, and entries in the order that sums want.
#include "kernels/cuda/mixture_counts.h"

#include <vector>

namespace doppel::cuda {

SortedEntries::SortedEntries(const DeviceShares& shares, int64_t members, cudaStream_t stream)
    : member(static_cast<size_t>(shares.entries), stream),
      first(static_cast<size_t>(members + 1), stream),
      entry(static_cast<size_t>(shares.entries), stream) {
  sort_by_member(shares.member.data(), shares.entry.data(), shares.entries, members, member.data(), entry.data(),
                 stream);
  find_boundaries(member.data(), shares.entries, members, first.data(), stream);
}

template <class Move>
void DeviceCounts::for_counts(Move move) const {
  const auto members = static_cast<size_t>(counts_.members);
  size_t first = 0;
  for (size_t v = 0; v < counts_.states.size(); ++v) {
    double* count = counts_.of_state[v];
    for (size_t state = 0; state < static_cast<size_t>(counts_.states[v]); ++state)
      for (size_t m = 0; m < members; ++m) move(m * size_ + first + state, *count++);
    first += static_cast<size_t>(counts_.states[v]);
  }
  for (size_t m = 0; m < members; ++m) move(m * size_ + first, counts_.weight[m]);
}

DeviceCounts::DeviceCounts(const MixtureCounts& counts, cudaStream_t stream) : counts_(counts), stream_(stream) {
  std::vector<int32_t> first(1, 0);
  for (const int32_t states : counts.states) first.push_back(first.back() + states);
  first.push_back(first.back() + 1);  // the weight
  size_ = static_cast<size_t>(first.back());
  std::vector<double> packed(static_cast<size_t>(counts.members) * size_);
  for_counts([&](size_t place, double& count) { packed[place] = count; });
  first_ = upload(first, stream);
  packed_ = upload(packed, stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));
}

void DeviceCounts::add(int32_t variables, const int32_t* states, const SortedEntries& sorted) const {
  sum_counts({counts_.members, variables, static_cast<int32_t>(size_), sorted.first.data(), sorted.entry.data(), states,
              first_.data(), packed_.data()},
             stream_);
}

void DeviceCounts::download_sums() const {
  const std::vector<double> packed = download(packed_, stream_);
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  for_counts([&](size_t place, double& count) { count = packed[place]; });
}

}  // namespace doppel::cuda
