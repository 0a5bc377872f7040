// A step of factor analysers on the device: parameters go up, responsibilities and sums are found, and the sums and
// rows' log densities come down. Rows stay there. For M members of L latents and rank R, S states of all variables, and
// N rows of V variables: 4 N (V + L) bytes once, and lists of what rows lack; each step 4 M (L (R + 2) + R (R + 1) / 2
// + S) bytes of parameters up, and 8 M (L (R + 1) + R^2) where rows have gaps, 8 M (L + R) (R + 2) of sums down, and 12
// N of rows. A step waits twice for each piece of rows, and three times for parameters and sums on their way.
//
// A^T z of all members is cuBLAS's product, 2 M L R flop a row; a member's own rows take b = A^T z - A^T mean from it,
// as their densities do. What follows, of the members that a row is part of, is less by a factor of these over M.
#include "kernels/cuda/factor_rows.h"

#include <algorithm>
#include <cmath>
#include <optional>
#include <span>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cuda/factor_densities.h"
#include "kernels/cuda/factor_sums.h"
#include "kernels/cuda/mixture_counts.h"
#include "kernels/cuda/responsibilities.h"

namespace doppel::cuda {
namespace {

static_assert(kDensityRows % kSquareRows == 0, "pieces of whole blocks of rows");
constexpr int64_t kLatentsOfWord = 32;

// Rows as the kernels take them, on the host.
struct HostFactorRows {
  std::vector<int32_t> states;
  std::vector<float> z;
  std::vector<int32_t> whole, gappy, gap;  // rows; [rows] number among gappy ones or -1, empty where there are none
  std::vector<uint32_t> bits;
  std::vector<int64_t> absent_first{0}, present_first{0};
  std::vector<int32_t> absent, present;

  HostFactorRows(const MixtureRows& rows, int64_t first, int64_t count, int32_t variables, int64_t latents,
                 int64_t stride, int64_t words)
      : states(in_blocks(rows.states, first, count, variables, -1)) {
    const int64_t padded = (count + kDensityRows - 1) / kDensityRows * kDensityRows;
    z.resize(static_cast<size_t>(padded * stride));
    gap.assign(static_cast<size_t>(count), -1);
    for (int64_t row = 0; row < count; ++row) {
      const float* from = rows.latents + (first + row) * latents;
      float* to = z.data() + row * stride;
      const size_t before = absent.size();
      for (int64_t j = 0; j < latents; ++j)
        if (std::isnan(from[j])) {
          absent.push_back(static_cast<int32_t>(j));
        } else {
          to[j] = from[j];
        }
      if (absent.size() == before) {
        whole.push_back(static_cast<int32_t>(row));
      } else {
        add_gappy(row, from, before, latents, words);
      }
    }
    if (gappy.empty()) gap.clear();
  }

 private:
  // Its absent latents are listed from `before` on.
  void add_gappy(int64_t row, const float* from, size_t before, int64_t latents, int64_t words) {
    gap[static_cast<size_t>(row)] = static_cast<int32_t>(gappy.size());
    gappy.push_back(static_cast<int32_t>(row));
    const size_t first_word = bits.size();
    bits.resize(first_word + static_cast<size_t>(words));
    for (size_t i = before; i < absent.size(); ++i)
      bits[first_word + static_cast<size_t>(absent[i] / kLatentsOfWord)] |= uint32_t{1} << absent[i] % kLatentsOfWord;
    const auto gaps = static_cast<int64_t>(absent.size() - before);
    for (int64_t j = 0; j < latents && 2 * gaps > latents; ++j)
      if (!std::isnan(from[j])) present.push_back(static_cast<int32_t>(j));
    absent_first.push_back(static_cast<int64_t>(absent.size()));
    present_first.push_back(static_cast<int64_t>(present.size()));
  }
};

// Some rows on the device.
struct DeviceFactorRows {
  int32_t variables, latents, stride, words;
  std::vector<int32_t> whole_rows, gappy_rows;
  DeviceBuffer<int32_t> states, whole, gappy, gap, absent, present;
  DeviceBuffer<float> z;
  DeviceBuffer<uint32_t> bits;
  DeviceBuffer<int64_t> absent_first, present_first;

  // Of `count` rows from `first` on. Waits for the stream.
  DeviceFactorRows(const MixtureRows& rows, int64_t first, int64_t count, int32_t of_variables, int32_t of_latents,
                   cudaStream_t stream)
      : variables(of_variables),
        latents(of_latents),
        stride((latents + kLatentsOfVector - 1) / kLatentsOfVector * kLatentsOfVector),
        words(static_cast<int32_t>((latents + kLatentsOfWord - 1) / kLatentsOfWord)) {
    HostFactorRows from(rows, first, count, variables, latents, stride, words);
    states = upload(from.states, stream);
    z = upload(from.z, stream);
    whole = upload(from.whole, stream);
    gappy = upload(from.gappy, stream);
    gap = upload(from.gap, stream);
    bits = upload(from.bits, stream);
    absent_first = upload(from.absent_first, stream);
    absent = upload(from.absent, stream);
    present_first = upload(from.present_first, stream);
    present = upload(from.present, stream);
    CUDA_CHECK(cudaStreamSynchronize(stream));
    whole_rows = std::move(from.whole);
    gappy_rows = std::move(from.gappy);
  }
  bool has_gaps() const { return !gappy_rows.empty(); }
};

// Where rows first .. first + count - 1 are in a list of rows, which ascends.
struct Range {
  int64_t first, count;
};
Range range_of(const std::vector<int32_t>& rows, int64_t first, int64_t count) {
  const auto begin = std::lower_bound(rows.begin(), rows.end(), first);
  const auto end = std::lower_bound(begin, rows.end(), first + count);
  return {begin - rows.begin(), end - begin};
}

// Parameters of factors on the device, and by member once a row has gaps.
class FactorParameters {
 public:
  FactorParameters(const FactorDensity& density, cudaStream_t stream)
      : density_(density),
        padded_(padded_members(density.states.members)),
        stream_(stream),
        mean_(upload(density.mean, stream)),
        precision_(upload(density.precision, stream)),
        loading_(upload(density.loading, stream)),
        offset_(upload(density.offset, stream)),
        root_(upload(density.root, stream)),
        half_log_(upload(density.half_log, stream)) {}

  const float* loading() const { return loading_.data(); }
  const float* mean() const { return mean_.data(); }
  const float* offset() const { return offset_.data(); }
  void set(FactorArguments& arguments) const {
    arguments.mean = mean_.data();
    arguments.precision = precision_.data();
    arguments.offset = offset_.data();
    arguments.root = root_.data();
    arguments.half_log = half_log_.data();
  }
  const FactorsByMember& by_member() {
    if (by_member_.mean != nullptr) return by_member_;  // all of them: memory may have been too short for some
    const int64_t latents = density_.latents, rank = density_.rank;
    const DeviceBuffer<float> absent = upload(density_.absent, stream_), moment = upload(density_.moment, stream_);
    by_member_ = {sorted(mean_, latents, 1, of_mean_),    sorted(precision_, latents, 1, of_precision_),
                  sorted(absent, latents, 1, of_absent_), sorted(loading_, latents, rank, of_loading_),
                  sorted(offset_, 1, rank, of_offset_),   sorted(moment, 1, rank * (rank + 1) / 2, of_moment_)};
    return by_member_;
  }

 private:
  const float* sorted(const DeviceBuffer<float>& from, int64_t outer, int64_t width, DeviceBuffer<float>& to) const {
    to = DeviceBuffer<float>(from.size(), stream_);
    sort_by_member(from.data(), outer, padded_, width, to.data(), stream_);
    return to.data();
  }

  const FactorDensity& density_;
  int64_t padded_;
  cudaStream_t stream_;
  DeviceBuffer<float> mean_, precision_, loading_, offset_, root_, half_log_;
  DeviceBuffer<float> of_mean_, of_precision_, of_absent_, of_loading_, of_offset_, of_moment_;
  FactorsByMember by_member_{};
};

// product [count, padded rank] = z A, row-major, in single precision and never in TF32. To cuBLAS, column-major, its
// transpose A^T z^T.
void multiply(Libraries& libraries, const FactorArguments& a, const float* loading, float* product) {
  const auto width = static_cast<int>(a.padded * a.rank);
  if (width == 0) return;
  const float one = 1, zero = 0;
  CUDA_CHECK(cublasGemmEx(libraries.blas(), CUBLAS_OP_N, CUBLAS_OP_N, width, static_cast<int>(a.rows), a.latents, &one,
                          loading, CUDA_R_32F, width, a.z, CUDA_R_32F, a.stride, &zero, product, CUDA_R_32F, width,
                          CUBLAS_COMPUTE_32F, CUBLAS_GEMM_DEFAULT));
}

// Sums of all members on the device, about their means in single precision, and what they are made with.
class DeviceFactorSums {
 public:
  // Waits for the stream.
  DeviceFactorSums(const FactorSums& sums, bool has_gaps, size_t covariance_bytes, cudaStream_t stream)
      : sums_(sums), of_(sums.of), stream_(stream) {
    const auto members = static_cast<size_t>(of_.members), latents = static_cast<size_t>(of_.latents),
               rank = static_cast<size_t>(of_.rank);
    most_covariances_ = std::max<int64_t>(
        1, static_cast<int64_t>(covariance_bytes / (sizeof(double) * std::max<size_t>(1, rank * rank))));
    const std::vector<float> inverse(of_.inverse, of_.inverse + members * rank * rank);
    inverse_ = upload(inverse, stream);
    if (has_gaps) {
      factor_ = upload(std::span(of_.factor, members * latents * rank), stream);
      residual_ = upload(std::span(of_.residual, members * latents), stream);
      moment_ = upload(std::span(of_.moment, members * rank * rank), stream);
    }
    packed_ = DeviceBuffer<double>(members * packed_of_member(), stream);
    if (packed_.size() > 0) CUDA_CHECK(cudaMemsetAsync(packed_.data(), 0, packed_.size() * sizeof(double), stream));
    CUDA_CHECK(cudaStreamSynchronize(stream));
  }

  // Memory for a piece of rows.
  struct Work {
    DeviceBuffer<float> factors;
    DeviceBuffer<double> covariances;  // of as many entries at a time
  };
  Work work_of(const DeviceFactorRows& rows, int64_t entries) const {
    const auto rank = static_cast<size_t>(of_.rank);
    const auto covariances = static_cast<size_t>(rows.has_gaps() ? std::min(entries, most_covariances_) : 0);
    return {{static_cast<size_t>(entries) * rank, stream_}, {covariances * rank * rank, stream_}};
  }
  // product: of rows from first_row on.
  void add(const DeviceFactorRows& rows, const FactorParameters& parameters, const float* product, int64_t first_row,
           const SortedEntries& sorted, const Work& work) const {
    FactorSumArguments a{};
    a.members = of_.members;
    a.padded = padded_members(of_.members);
    a.latents = of_.latents;
    a.rank = of_.rank;
    a.stride = sum_stride(of_.latents, of_.rank);
    a.entries = static_cast<int32_t>(sorted.entry.size());
    a.entry = sorted.entry.data();
    a.member = sorted.member.data();
    a.first = sorted.first.data();
    a.z = rows.z.data();
    a.row_stride = rows.stride;
    a.product = product;
    a.first_row = first_row;
    a.gap = rows.gap.data();
    a.absent = rows.bits.data();
    a.words = rows.words;
    a.mean = parameters.mean();
    a.offset = parameters.offset();
    a.inverse = inverse_.data();
    a.factors = work.factors.data();
    a.sums = packed_.data();
    find_factors(a, stream_);
    if (rows.has_gaps()) add_gaps(rows, a, work);
    sum_factors(a, stream_);
  }
  void download_sums() const {
    const std::vector<double> packed = download(packed_, stream_);
    CUDA_CHECK(cudaStreamSynchronize(stream_));
    for (int64_t m = 0; m < of_.members; ++m)
      add_member(m, packed.data() + static_cast<size_t>(m) * packed_of_member());
  }

 private:
  size_t packed_of_member() const { return static_cast<size_t>((of_.rank + 2) * sum_stride(of_.latents, of_.rank)); }
  void add_gaps(const DeviceFactorRows& rows, const FactorSumArguments& a, const Work& work) const {
    GapSumArguments gaps{};
    gaps.absent_first = rows.absent_first.data();
    gaps.absent = rows.absent.data();
    gaps.present_first = rows.present_first.data();
    gaps.present = rows.present.data();
    gaps.factor = factor_.data();
    gaps.residual = residual_.data();
    gaps.moment = moment_.data();
    gaps.inverse = work.covariances.data();
    for (int64_t first = 0; first < a.entries; first += most_covariances_) {
      gaps.first_entry = static_cast<int32_t>(first);
      gaps.entries = static_cast<int32_t>(std::min(most_covariances_, a.entries - first));
      complete_rows(a, gaps, stream_);
      sum_gaps(a, gaps, stream_);
    }
  }
  // packed: as factor_sums.h describes a member's. Moves sums about its mean to the centre.
  void add_member(int64_t m, const double* packed) const {
    const int64_t latents = of_.latents, rank = of_.rank, stride = sum_stride(latents, rank);
    const double *sum = packed + rank * stride, *square = sum + stride;
    const double weight = sum[latents + rank], whole = sum[latents + rank + 1];
    for (int64_t k = 0; k < rank; ++k) {
      sums_.factor_sum[m * rank + k] += sum[latents + k];
      for (int64_t l = 0; l < rank; ++l)
        sums_.factor_product[(m * rank + k) * rank + l] +=
            packed[l * stride + latents + k] + whole * of_.inverse[(m * rank + k) * rank + l];
    }
    for (int64_t j = 0; j < latents; ++j) {
      const int64_t place = m * latents + j;
      const double shift = static_cast<double>(static_cast<float>(of_.mean[place])) - sums_.centre[place];
      sums_.sum[place] += sum[j] + weight * shift;
      sums_.square[place] += square[j] + 2 * shift * sum[j] + weight * shift * shift;
      for (int64_t k = 0; k < rank; ++k)
        sums_.cross[place * rank + k] += packed[k * stride + j] + shift * sum[latents + k];
    }
  }

  const FactorSums& sums_;
  const FactorMembers& of_;
  cudaStream_t stream_;
  int64_t most_covariances_ = 1;
  DeviceBuffer<float> inverse_;
  DeviceBuffer<double> factor_, residual_, moment_, packed_;
};

class FactorRowsOnDevice : public PreparedFactorRows {
 public:
  FactorRowsOnDevice(const MixtureRows& rows, int32_t variables, int32_t latents, int device, size_t factor_bytes,
                     size_t covariance_bytes)
      : device_(select_device(device)),
        rows_(rows),
        variables_(variables),
        latents_(latents),
        factor_bytes_(factor_bytes),
        covariance_bytes_(covariance_bytes),
        libraries_(device) {
    try {
      held_.emplace(rows_, 0, rows_.rows, variables_, latents_, libraries_.stream());
    } catch (const OutOfMemory&) {  // steps upload them
    }
  }
  ~FactorRowsOnDevice() override { cudaSetDevice(device_); }  // whose memory it frees

  void expect(const FactorDensity& density, std::span<double> log_density, const FactorSums* sums,
              Responsibilities* shares) const override {
    if (density.rank > kMostFactors) throw Error("responsibilities: factor analysers of more than 32 factors");
    CUDA_CHECK(cudaSetDevice(device_));
    try {
      take_step(density, log_density, sums, shares);
    } catch (const OutOfMemory&) {
      if (!held_) throw;
      held_.reset();  // what they leave may do, and so far nothing was added
      take_step(density, log_density, sums, shares);
    }
  }

 private:
  struct Step {
    const FactorDensity& density;
    FactorParameters parameters;
    const DensityParameters of_states;
    std::optional<const DeviceCounts> counts;
    std::optional<const DeviceFactorSums> sums;
  };

  void take_step(const FactorDensity& density, std::span<double> log_density, const FactorSums* sums,
                 Responsibilities* shares) const {
    if (shares != nullptr) shares->clear();
    if (rows_.rows == 0) return;
    cudaStream_t stream = libraries_.stream();
    Step step{density, {density, stream}, {density.states, stream}, {}, {}};
    if (sums != nullptr) {
      step.counts.emplace(sums->counts, stream);
      step.sums.emplace(*sums, !held_ || held_->has_gaps(), covariance_bytes_, stream);
    }
    const int64_t blocks = (rows_.rows + kDensityRows - 1) / kDensityRows;
    const int64_t row_floats = padded_members(density.states.members) * (1 + density.rank);
    const auto block_bytes = static_cast<size_t>(row_floats * kDensityRows) * sizeof(float);
    const auto most = std::clamp<int64_t>(static_cast<int64_t>(factor_bytes_ / block_bytes), 1, blocks);
    for_pieces_that_fit(blocks, most, [&](int64_t first, int64_t count) {
      const int64_t first_row = first * kDensityRows, some = std::min(count * kDensityRows, rows_.rows - first_row);
      const std::span of_rows = log_density.subspan(static_cast<size_t>(first_row), static_cast<size_t>(some));
      if (held_) return add_piece(step, *held_, first_row, some, of_rows, shares);
      add_piece(step, {rows_, first_row, some, variables_, latents_, stream}, 0, some, of_rows, shares);
    });
    if (sums == nullptr) return;
    step.counts->download_sums();
    step.sums->download_sums();
  }

  // Of `count` of the device's rows from the first on.
  void add_piece(Step& step, const DeviceFactorRows& rows, int64_t first, int64_t count, std::span<double> log_density,
                 Responsibilities* shares) const {
    cudaStream_t stream = libraries_.stream();
    const int64_t members = step.density.states.members;
    const DeviceBuffer<float> product(static_cast<size_t>(count * padded_members(members) * step.density.rank), stream);
    const DeviceShares found = find_piece(step, rows, first, count, product.data());
    if (step.sums && found.entries > 0) {
      const DeviceFactorSums::Work work = step.sums->work_of(rows, found.entries);
      const SortedEntries sorted(found, members, stream);
      step.counts->add(variables_, rows.states.data(), sorted);
      step.sums->add(rows, step.parameters, product.data(), first, sorted, work);
    }
    download(found, log_density, shares, stream);
  }

  DeviceShares find_piece(Step& step, const DeviceFactorRows& rows, int64_t first, int64_t count,
                          float* product) const {
    cudaStream_t stream = libraries_.stream();
    DensityArguments states{};
    states.rows = (count + kDensityRows - 1) / kDensityRows * kDensityRows;
    states.padded = padded_members(step.density.states.members);
    states.variables = variables_;
    states.states = rows.states.data() + first * variables_;
    step.of_states.set(states);
    const DeviceBuffer<float> log_density(static_cast<size_t>(states.rows * states.padded), stream);
    states.log_density = log_density.data();
    compute_log_densities(states, stream);

    FactorArguments factors{};
    factors.rows = count;
    factors.members = step.density.states.members;
    factors.padded = states.padded;
    factors.latents = latents_;
    factors.rank = step.density.rank;
    factors.stride = rows.stride;
    factors.first_row = first;
    factors.z = rows.z.data() + first * rows.stride;
    factors.product = product;
    factors.log_density = log_density.data();
    step.parameters.set(factors);
    multiply(libraries_, factors, step.parameters.loading(), product);
    add_squares(factors, stream);
    const Range whole = range_of(rows.whole_rows, first, count), gappy = range_of(rows.gappy_rows, first, count);
    if (whole.count > 0) add_explained(factors, rows.whole.data() + whole.first, whole.count, stream);
    if (gappy.count > 0)
      add_explained_with_gaps(factors, step.parameters.by_member(),
                              {gappy.count, rows.gappy.data() + gappy.first, rows.absent_first.data() + gappy.first,
                               rows.absent.data(), rows.present_first.data() + gappy.first, rows.present.data()},
                              stream);
    return find_shares(log_density.data(), count, states.padded, first, stream);
  }

  int device_;
  MixtureRows rows_;
  int32_t variables_, latents_;
  size_t factor_bytes_, covariance_bytes_;
  mutable Libraries libraries_;
  mutable std::optional<DeviceFactorRows> held_;
};

}  // namespace

std::unique_ptr<PreparedFactorRows> prepare_cuda_factor_rows(const MixtureRows& rows, int32_t variables,
                                                             int32_t latents, int device, size_t factor_bytes,
                                                             size_t covariance_bytes) {
  return std::make_unique<FactorRowsOnDevice>(rows, variables, latents, device, factor_bytes, covariance_bytes);
}

}  // namespace doppel::cuda
