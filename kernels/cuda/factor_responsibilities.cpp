// Responsibilities of factor analysers from and to host memory. Parameters are uploaded at each call: those of 128
// members of 1,000 latents and rank 32 are 18 MB, as much as 4,000 such rows.
#include <algorithm>
#include <cmath>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cuda/factor_densities.h"
#include "kernels/cuda/responsibilities.h"

namespace doppel::cuda {
namespace {

// A piece's rows as the kernels take them; they stay until the stream was waited for.
struct FactorRows {
  std::vector<float> z;
  std::vector<int32_t> whole, gappy;  // rows
  std::vector<int64_t> absent_first{0}, present_first{0};
  std::vector<int32_t> absent, present;

  FactorRows(const MixtureRows& rows, int64_t first, int64_t count, int64_t latents, int64_t stride) {
    const int64_t padded = (count + kSquareRows - 1) / kSquareRows * kSquareRows;
    z.resize(static_cast<size_t>(padded * stride));
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
      const auto gaps = static_cast<int64_t>(absent.size() - before);
      (gaps > 0 ? gappy : whole).push_back(static_cast<int32_t>(row));
      if (gaps == 0) continue;
      for (int64_t j = 0; j < latents && 2 * gaps > latents; ++j)
        if (!std::isnan(from[j])) present.push_back(static_cast<int32_t>(j));
      absent_first.push_back(static_cast<int64_t>(absent.size()));
      present_first.push_back(static_cast<int64_t>(present.size()));
    }
  }
};

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

void add_gappy_rows(const FactorArguments& arguments, FactorParameters& parameters, const FactorRows& of_piece,
                    cudaStream_t stream) {
  if (of_piece.gappy.empty()) return;
  const auto row = upload(of_piece.gappy, stream), absent = upload(of_piece.absent, stream),
             present = upload(of_piece.present, stream);
  const auto absent_first = upload(of_piece.absent_first, stream),
             present_first = upload(of_piece.present_first, stream);
  add_explained_with_gaps(arguments, parameters.by_member(),
                          {static_cast<int64_t>(of_piece.gappy.size()), row.data(), absent_first.data(), absent.data(),
                           present_first.data(), present.data()},
                          stream);
}

}  // namespace

void find_responsibilities(Libraries& libraries, const FactorDensity& density, const MixtureRows& rows,
                           Responsibilities& out, size_t density_bytes) {
  out.clear();
  if (rows.rows == 0) return;
  if (density.rank > kMostFactors) throw Error("responsibilities: factor analysers of more than 32 factors");
  cudaStream_t stream = libraries.stream();
  FactorParameters parameters(density, stream);
  FactorArguments factors{};
  factors.members = density.states.members;
  factors.padded = padded_members(factors.members);
  factors.latents = density.latents;
  factors.rank = density.rank;
  factors.stride = (density.latents + kLatentsOfVector - 1) / kLatentsOfVector * kLatentsOfVector;
  parameters.set(factors);
  const DensityParameters of_states(density.states, stream);
  DensityArguments states{};
  states.padded = factors.padded;
  states.variables = density.states.variables;
  of_states.set(states);
  std::vector<double> log_density;
  const auto append_piece = [&](int64_t first, int64_t count) {
    states.rows = (count + kDensityRows - 1) / kDensityRows * kDensityRows;
    const DeviceBuffer<float> log_densities(static_cast<size_t>(states.rows * states.padded), stream);
    const std::vector<int32_t> of_rows = in_blocks(rows.states, first, count, states.variables, -1);
    const DeviceBuffer<int32_t> states_of_rows = upload(of_rows, stream);
    states.log_density = log_densities.data();
    states.states = states_of_rows.data();
    compute_log_densities(states, stream);

    const FactorRows of_piece(rows, first, count, factors.latents, factors.stride);
    const DeviceBuffer<float> z = upload(of_piece.z, stream);
    const DeviceBuffer<float> product(static_cast<size_t>(count * factors.padded * factors.rank), stream);
    const DeviceBuffer<int32_t> whole = upload(of_piece.whole, stream);
    factors.rows = count;
    factors.z = z.data();
    factors.product = product.data();
    factors.log_density = log_densities.data();
    multiply(libraries, factors, parameters.loading(), product.data());
    add_squares(factors, stream);
    if (whole.size() > 0) add_explained(factors, whole.data(), static_cast<int64_t>(whole.size()), stream);
    add_gappy_rows(factors, parameters, of_piece, stream);
    const DeviceShares shares = find_shares(log_densities.data(), count, states.padded, first, stream);
    log_density.resize(static_cast<size_t>(count));
    download(shares, log_density, &out, stream);
  };
  const auto row_bytes = static_cast<size_t>(factors.padded * (1 + factors.rank)) * sizeof(float);
  const auto most = std::clamp<int64_t>(static_cast<int64_t>(density_bytes / row_bytes), 1, rows.rows);
  for_pieces_that_fit(rows.rows, most, append_piece);
}

}  // namespace doppel::cuda
