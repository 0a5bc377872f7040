#include "kernels/cuda/responsibilities.h"

#include "kernels/common/mixture.h"

namespace doppel::cuda {

DensityParameters::DensityParameters(const MixtureDensity& density, cudaStream_t stream) {
  const auto padded = static_cast<size_t>(padded_members(density.members));
  size_t size = 0;
  for (const int32_t states : density.states) {
    places_.push_back(static_cast<int64_t>(size));
    size += static_cast<size_t>(states) * padded;
  }
  emission_ = DeviceBuffer<float>(size, stream);
  for (size_t v = 0; v < places_.size(); ++v) {
    const size_t values = static_cast<size_t>(density.states[v]) * padded;
    if (values == 0) continue;
    CUDA_CHECK(cudaMemcpyAsync(emission_.data() + places_[v], density.log_emission[v], values * sizeof(float),
                               cudaMemcpyHostToDevice, stream));
  }
  base_ = upload(density.base, stream);
  whitening_ = upload(density.whitening, stream);
  first_ = upload(places_, stream);
  state_count_ = upload(density.states, stream);
}

void DensityParameters::set(DensityArguments& arguments) const {
  arguments.base = base_.data();
  arguments.emission = emission_.data();
  arguments.first = first_.data();
  arguments.state_count = state_count_.data();
  arguments.whitening = whitening_.data();
}

DeviceShares find_shares(const float* log_density, int64_t rows, int64_t padded, int64_t first_row,
                         cudaStream_t stream) {
  const auto size = static_cast<size_t>(rows);
  DeviceShares shares;
  shares.first = DeviceBuffer<int32_t>(size + 1, stream);
  shares.greatest = DeviceBuffer<float>(size, stream);
  shares.sum = DeviceBuffer<double>(size, stream);
  const DeviceBuffer<int32_t> counts(size + 1, stream);
  NearArguments near{rows, padded, log_density, counts.data(), nullptr, nullptr, nullptr};
  find_near_members(near, stream);
  exclusive_sums(counts.data(), shares.first.data(), rows + 1, stream);
  int32_t entries = 0;
  CUDA_CHECK(cudaMemcpyAsync(&entries, shares.first.data() + rows, sizeof(entries), cudaMemcpyDeviceToHost, stream));
  CUDA_CHECK(cudaStreamSynchronize(stream));
  shares.entries = entries;
  shares.member = DeviceBuffer<int32_t>(static_cast<size_t>(entries), stream);
  shares.entry = DeviceBuffer<Entry>(static_cast<size_t>(entries), stream);
  const DeviceBuffer<float> values(static_cast<size_t>(entries), stream);
  near.first = shares.first.data();
  near.member = shares.member.data();
  near.value = values.data();
  if (entries > 0) find_near_members(near, stream);
  find_entries({rows, first_row, shares.first.data(), values.data(), shares.entry.data(), shares.greatest.data(),
                shares.sum.data()},
               stream);
  return shares;
}

void download(const DeviceShares& shares, std::span<double> log_density, Responsibilities* out, cudaStream_t stream) {
  const std::vector<float> greatest = download(shares.greatest, stream);
  const std::vector<double> sum = download(shares.sum, stream);
  Responsibilities found;
  std::vector<int32_t> first;
  std::vector<Entry> entry;
  if (out != nullptr) {
    first = download(shares.first, stream);
    found.member = download(shares.member, stream);
    entry = download(shares.entry, stream);
  }
  CUDA_CHECK(cudaStreamSynchronize(stream));
  for (size_t row = 0; row < greatest.size(); ++row) log_density[row] = log_density_of(greatest[row], sum[row]);
  if (out == nullptr) return;
  found.first.assign(first.begin(), first.end());
  for (const Entry& part : entry) found.share.push_back(part.share);
  found.log_density.assign(log_density.begin(), log_density.begin() + static_cast<std::ptrdiff_t>(greatest.size()));
  append(found, *out);
}

}  // namespace doppel::cuda
