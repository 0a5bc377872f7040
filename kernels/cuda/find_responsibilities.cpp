// Responsibilities from and to host memory. Parameters are uploaded at each call: those of a thousand members of a
// table like adult are 1.5 MB.
#include <algorithm>
#include <vector>

#include "kernels/common/mixture.h"
#include "kernels/cuda/responsibilities.h"

namespace doppel::cuda {
namespace {

// The parameters on the device. Of each variable the states up to the last that the rows have.
class Parameters {
 public:
  Parameters(const MixtureDensity& density, const MixtureRows& rows, cudaStream_t stream) {
    const auto variables = static_cast<size_t>(density.variables);
    const auto padded = static_cast<size_t>(padded_members(density.members));
    std::vector<int32_t> states(variables);
    for (size_t row = 0; row < static_cast<size_t>(rows.rows); ++row)
      for (size_t v = 0; v < variables; ++v) states[v] = std::max(states[v], rows.states[row * variables + v] + 1);
    std::vector<int64_t> first;
    size_t size = 0;
    for (size_t v = 0; v < variables; ++v) {
      first.push_back(static_cast<int64_t>(size));
      size += static_cast<size_t>(states[v]) * padded;
    }
    emission_ = DeviceBuffer<float>(size, stream);
    for (size_t v = 0; v < variables; ++v) {
      if (states[v] == 0) continue;
      CUDA_CHECK(cudaMemcpyAsync(emission_.data() + first[v], density.log_emission[v],
                                 static_cast<size_t>(states[v]) * padded * sizeof(float), cudaMemcpyHostToDevice,
                                 stream));
    }
    base_ = upload(density.base, stream);
    whitening_ = upload(density.whitening, stream);
    first_ = upload(first, stream);
    CUDA_CHECK(cudaStreamSynchronize(stream));  // `first` goes out of scope
  }
  void set(DensityArguments& arguments) const {
    arguments.base = base_.data();
    arguments.emission = emission_.data();
    arguments.first = first_.data();
    arguments.whitening = whitening_.data();
  }

 private:
  DeviceBuffer<float> base_, emission_, whitening_;
  DeviceBuffer<int64_t> first_;
};

// [rows, columns] of rows from `first` on to [blocks of kDensityRows, columns, kDensityRows]; rows past the last as
// `none`.
template <class T>
std::vector<T> in_blocks(const T* from, int64_t first, int64_t rows, int64_t columns, T none) {
  const int64_t blocks = (rows + kDensityRows - 1) / kDensityRows;
  std::vector<T> to(static_cast<size_t>(blocks * columns * kDensityRows), none);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t c = 0; c < columns; ++c)
      to[static_cast<size_t>((row / kDensityRows * columns + c) * kDensityRows + row % kDensityRows)] =
          from[(first + row) * columns + c];
  return to;
}

void append_rows(DensityArguments arguments, const MixtureRows& rows, int64_t first, int64_t count,
                 Responsibilities& out, cudaStream_t stream) {
  const std::vector<int32_t> state = in_blocks(rows.states, first, count, arguments.variables, -1);
  const std::vector<float> latent = in_blocks(rows.latents, first, count, arguments.latents, 0.0f);
  const DeviceBuffer<int32_t> states = upload(state, stream);
  const DeviceBuffer<float> latents = upload(latent, stream);
  arguments.states = states.data();
  arguments.latent = latents.data();
  arguments.rows = (count + kDensityRows - 1) / kDensityRows * kDensityRows;
  compute_log_densities(arguments, stream);

  const DeviceBuffer<int32_t> counts(static_cast<size_t>(count), stream);
  NearArguments near{count, arguments.padded, arguments.log_density, counts.data(), nullptr, nullptr, nullptr};
  find_near_members(near, stream);
  std::vector<int64_t> places;
  int64_t total = 0;
  const std::vector<int32_t> found = download(counts, stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  for (const int32_t of_row : found) {
    places.push_back(total);
    total += of_row;
  }
  const DeviceBuffer<int64_t> place = upload(places, stream);
  const DeviceBuffer<int32_t> members(static_cast<size_t>(total), stream);
  const DeviceBuffer<float> values(static_cast<size_t>(total), stream);
  near.first = place.data();
  near.member = members.data();
  near.value = values.data();
  find_near_members(near, stream);
  const std::vector<int32_t> member = download(members, stream);
  const std::vector<float> value = download(values, stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  for (size_t row = 0; row < found.size(); ++row)
    append_row(member.data() + places[row], value.data() + places[row], found[row], out);
}

}  // namespace

void find_responsibilities(Libraries& libraries, const MixtureDensity& density, const MixtureRows& rows,
                           Responsibilities& out, size_t density_bytes) {
  out.clear();
  if (rows.rows == 0) return;
  cudaStream_t stream = libraries.stream();
  const Parameters parameters(density, rows, stream);
  DensityArguments arguments{};
  arguments.padded = padded_members(density.members);
  arguments.variables = density.variables;
  arguments.latents = density.latents;
  parameters.set(arguments);
  const auto row_bytes = static_cast<size_t>(arguments.padded) * sizeof(float);
  const auto affordable = static_cast<int64_t>(density_bytes / row_bytes);
  const int64_t step = std::clamp<int64_t>(affordable, 1, rows.rows);
  const int64_t padded_step = (step + kDensityRows - 1) / kDensityRows * kDensityRows;
  const DeviceBuffer<float> log_density(static_cast<size_t>(padded_step) * row_bytes / sizeof(float), stream);
  arguments.log_density = log_density.data();
  for (int64_t first = 0; first < rows.rows; first += step)
    append_rows(arguments, rows, first, std::min(step, rows.rows - first), out, stream);
}

}  // namespace doppel::cuda
