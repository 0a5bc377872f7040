// A step on the device: parameters and sums go up, log densities, responsibilities and sums are found, and the sums and
// rows' log densities come down. Rows stay there. For M members of A axes and S states of all variables, and N rows of
// V variables and L latents: 4 N (V + L) bytes once; each step 4 M (S + L (L + 3) / 2) bytes of parameters up, 8 M (A
// (A + 3) / 2 + S + 1) of sums each way, and 12 N down. A step waits twice for each piece of rows, and four times for
// sums on their way.
#include "kernels/cuda/mixture_rows.h"

#include <algorithm>
#include <bit>
#include <optional>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cuda/mixture_counts.h"
#include "kernels/cuda/mixture_moments.h"

namespace doppel::cuda {
namespace {

constexpr size_t kMostLanes = 32;  // of an entry: a warp

// [members, axes in the order given]
std::vector<double> gather(const double* from, size_t members, const std::vector<int32_t>& axis) {
  std::vector<double> to;
  to.reserve(members * axis.size());
  for (size_t member = 0; member < members; ++member)
    for (const int32_t a : axis) to.push_back(from[member * axis.size() + static_cast<size_t>(a)]);
  return to;
}

// [members, columns, rows] of [members, rows, columns]
std::vector<double> transposed(const double* matrix, size_t members, size_t rows, size_t columns) {
  std::vector<double> to(members * rows * columns);
  double* next = to.data();
  for (size_t member = 0; member < members; ++member, matrix += rows * columns)
    for (size_t column = 0; column < columns; ++column)
      for (size_t row = 0; row < rows; ++row) *next++ = matrix[row * columns + column];
  return to;
}

// Rows on the device, in blocks of kDensityRows.
struct DeviceRows {
  int64_t rows = 0;
  int32_t variables = 0, latents = 0;
  DeviceBuffer<int32_t> states;
  DeviceBuffer<float> latent;
};

// Moments of all members, and what they are taken about.
class DeviceMoments {
 public:
  DeviceMoments(const MixtureSums& sums, size_t offset_bytes, cudaStream_t stream)
      : sums_(sums), stream_(stream), members_(static_cast<size_t>(sums.latents.members)) {
    const MixtureLatents& latents = sums.latents;
    axis_.assign(latents.present.begin(), latents.present.end());
    axis_.insert(axis_.end(), latents.absent.begin(), latents.absent.end());
    const size_t here = latents.present.size(), gone = latents.absent.size();
    if (axis_.empty()) return;
    if (axis_.size() > kMostMomentAxes)
      throw Error("moments: members of more than " + std::to_string(kMostMomentAxes) + " axes");
    stride_ = static_cast<int32_t>((axis_.size() + 2) / 2 * 2);
    most_entries_ =
        std::max<int64_t>(1, static_cast<int64_t>(offset_bytes / (sizeof(double) * static_cast<size_t>(stride_))));
    const std::vector<double> centre = gather(latents.centre, members_, axis_);
    std::vector<double> mean, inverse, regression, packed(members_ * moments_of_member());
    if (gone > 0) {
      mean = gather(latents.mean, members_, axis_);
      inverse = transposed(latents.inverse, members_, here, here);
      regression = transposed(latents.regression, members_, gone, here);
    }
    for_moments(packed.data(), [](double& to, const double& from) { to = from; });
    axes_ = upload(axis_, stream);
    centre_ = upload(centre, stream);
    mean_ = upload(mean, stream);
    inverse_ = upload(inverse, stream);
    regression_ = upload(regression, stream);
    packed_ = upload(packed, stream);
    CUDA_CHECK(cudaStreamSynchronize(stream));
  }

  // Memory for so many entries' offsets at a time.
  DeviceBuffer<double> offsets_of(int64_t entries) const {
    return {static_cast<size_t>(std::min(entries, most_entries_)) * static_cast<size_t>(stride_), stream_};
  }
  void add(const DeviceRows& rows, const SortedEntries& sorted, const DeviceBuffer<double>& offsets) const {
    if (axis_.empty()) return;
    const auto here = static_cast<int32_t>(sums_.latents.present.size());
    const auto gone = static_cast<int32_t>(sums_.latents.absent.size());
    const auto entries = static_cast<int64_t>(sorted.entry.size());
    const auto lanes =
        static_cast<int32_t>(std::min(kMostLanes, std::bit_ceil(static_cast<size_t>(std::max(here, gone)))));
    for (int64_t first = 0; first < entries; first += most_entries_) {
      const auto begin = static_cast<int32_t>(first),
                 count = static_cast<int32_t>(std::min(most_entries_, entries - first));
      find_offsets(
          {begin, count, here, gone, stride_, lanes, sorted.entry.data(), sorted.member.data(), rows.latent.data(),
           axes_.data(), centre_.data(), mean_.data(), inverse_.data(), regression_.data(), offsets.data()},
          stream_);
      sum_moments({static_cast<int64_t>(members_), static_cast<int64_t>(moments_of_member()), stride_, begin, count,
                   sorted.first.data(), sorted.entry.data(), offsets.data(), packed_.data()},
                  stream_);
    }
  }
  void download_sums() const {
    if (axis_.empty()) return;
    const std::vector<double> packed = download(packed_, stream_);
    CUDA_CHECK(cudaStreamSynchronize(stream_));
    for_moments(packed.data(), [](const double& from, double& to) { to = from; });
  }

 private:
  size_t moments_of_member() const { return static_cast<size_t>(packed_moments(static_cast<int64_t>(axis_.size()))); }
  // Calls move(packed moment, sum) for all moments of all members, in the order of mixture_moments.h.
  template <class Packed, class Move>
  void for_moments(Packed* packed, Move move) const {
    const size_t axes = axis_.size();
    for (size_t member = 0; member < members_; ++member)
      for (size_t i = 0; i < axes; ++i) {
        move(*packed++, sums_.moments.sum[member * axes + i]);
        double* row = sums_.moments.product + (member * axes + i) * axes;
        for (size_t j = 0; j <= i; ++j) move(*packed++, row[j]);
      }
  }

  const MixtureSums& sums_;
  cudaStream_t stream_;
  size_t members_;
  std::vector<int32_t> axis_;
  int32_t stride_ = 0;
  int64_t most_entries_ = 1;
  DeviceBuffer<int32_t> axes_;
  DeviceBuffer<double> centre_, mean_, inverse_, regression_, packed_;
};

class MixtureRowsOnDevice : public PreparedMixtureRows {
 public:
  MixtureRowsOnDevice(const MixtureRows& rows, int32_t variables, int32_t latents, int device, size_t density_bytes,
                      size_t offset_bytes)
      : device_(select_device(device)),
        density_bytes_(density_bytes),
        offset_bytes_(offset_bytes),
        stream_(make_stream()) {
    const std::vector<int32_t> states = in_blocks(rows.states, 0, rows.rows, variables, -1);
    const std::vector<float> latent = in_blocks(rows.latents, 0, rows.rows, latents, 0.0f);
    rows_ = {rows.rows, variables, latents, upload(states, stream_.get()), upload(latent, stream_.get())};
    CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
  }
  ~MixtureRowsOnDevice() override { cudaSetDevice(device_); }  // whose memory it frees

  void expect(const MixtureDensity& density, std::span<double> log_density, const MixtureSums* sums,
              Responsibilities* shares) const override {
    if (shares != nullptr) shares->clear();
    if (rows_.rows == 0) return;
    CUDA_CHECK(cudaSetDevice(device_));
    cudaStream_t stream = stream_.get();
    const DensityParameters parameters(density, stream);
    std::optional<const DeviceCounts> counts;
    std::optional<const DeviceMoments> moments;
    if (sums != nullptr) {
      counts.emplace(sums->counts, stream);
      moments.emplace(*sums, offset_bytes_, stream);
    }
    const int64_t blocks = (rows_.rows + kDensityRows - 1) / kDensityRows, padded = padded_members(density.members);
    const auto block_bytes = static_cast<size_t>(padded * kDensityRows) * sizeof(float);
    const auto most = std::clamp<int64_t>(static_cast<int64_t>(density_bytes_ / block_bytes), 1, blocks);
    for_pieces_that_fit(blocks, most, [&](int64_t first, int64_t count) {
      const int64_t first_row = first * kDensityRows, rows = std::min(count * kDensityRows, rows_.rows - first_row);
      const DeviceShares found = find_piece(density, parameters, first, count);
      if (sums != nullptr && found.entries > 0) {
        const DeviceBuffer<double> offsets = moments->offsets_of(found.entries);
        const SortedEntries sorted(found, density.members, stream);
        counts->add(rows_.variables, rows_.states.data(), sorted);
        moments->add(rows_, sorted, offsets);
      }
      download(found, log_density.subspan(static_cast<size_t>(first_row), static_cast<size_t>(rows)), shares, stream);
    });
    if (sums == nullptr) return;
    counts->download_sums();
    moments->download_sums();
  }

 private:
  // Of `count` blocks of rows from the first on.
  DeviceShares find_piece(const MixtureDensity& density, const DensityParameters& parameters, int64_t first,
                          int64_t count) const {
    DensityArguments arguments{};
    arguments.rows = count * kDensityRows;
    arguments.padded = padded_members(density.members);
    arguments.variables = rows_.variables;
    arguments.latents = rows_.latents;
    arguments.states = rows_.states.data() + first * rows_.variables * kDensityRows;
    arguments.latent = rows_.latent.data() + first * rows_.latents * kDensityRows;
    parameters.set(arguments);
    const DeviceBuffer<float> log_density(static_cast<size_t>(arguments.rows * arguments.padded), stream_.get());
    arguments.log_density = log_density.data();
    compute_log_densities(arguments, stream_.get());
    const int64_t first_row = first * kDensityRows;
    return find_shares(log_density.data(), std::min(arguments.rows, rows_.rows - first_row), arguments.padded,
                       first_row, stream_.get());
  }

  int device_;
  size_t density_bytes_, offset_bytes_;
  Stream stream_;
  DeviceRows rows_;
};

}  // namespace

std::unique_ptr<PreparedMixtureRows> prepare_cuda_mixture_rows(const MixtureRows& rows, int32_t variables,
                                                               int32_t latents, int device, size_t density_bytes,
                                                               size_t offset_bytes) {
  return std::make_unique<MixtureRowsOnDevice>(rows, variables, latents, device, density_bytes, offset_bytes);
}

}  // namespace doppel::cuda
