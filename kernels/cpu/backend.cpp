#include "kernels/backend.h"

#include <cblas.h>

#include <charconv>
#include <optional>
#include <string_view>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cpu/bounded_sampler.h"
#include "kernels/cpu/decode_table.h"
#include "kernels/cpu/image_sampler.h"
#include "kernels/cpu/nearest.h"
#include "kernels/cpu/network.h"
#include "kernels/cpu/products.h"
#include "kernels/cpu/sample_table.h"
#include "kernels/cpu/statistics.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/sort.h"

namespace doppel {
namespace {

class CpuBackend : public Backend {
 public:
  std::string description() const override { return "cpu (" + instruction_sets().front().name + ")"; }
  std::unique_ptr<PreparedTableSampler> prepare_table_sampler(const TableSampler& sampler) const override {
    return prepare_cpu_table_sampler(sampler, instruction_sets().front());
  }
  std::unique_ptr<PreparedTableSampler> prepare_table_decoder(const TableDecoder& decoder) const override {
    return prepare_table_decoder_on_cpu(decoder, instruction_sets().front());
  }
  std::unique_ptr<PreparedTableSampler> prepare_bounded_sampler(const BoundedSampler& sampler) const override {
    return prepare_bounded_sampler_on_cpu(sampler, instruction_sets().front());
  }
  std::unique_ptr<PreparedImageSampler> prepare_image_sampler(const ImageSampler& sampler) const override {
    return prepare_image_sampler_on_cpu(sampler);
  }
  std::unique_ptr<PreparedNetwork> prepare_network(const TrainedNetwork& network, Precision precision,
                                                   int64_t) const override {
    return prepare_network_on_cpu(network, precision);
  }
  std::unique_ptr<PreparedTrainer> prepare_trainer(const TrainableNetwork&, int64_t) const override { return nullptr; }
  void accumulate_co_moments(const MaskedMatrix& values, CoMoments& moments) const override {
    accumulate_co_moments_on_cpu(values, moments);
  }
  SymmetricEigen symmetric_eigen(std::span<const double> matrix, int64_t order) const override {
    return symmetric_eigen_on_cpu(matrix, order);
  }
  std::unique_ptr<PreparedPositions<int64_t>> prepare_positions(std::span<const int64_t> sorted) const override {
    return prepare_positions_on_cpu(sorted);
  }
  std::unique_ptr<PreparedPositions<double>> prepare_positions(std::span<const double> sorted) const override {
    return prepare_positions_on_cpu(sorted);
  }
  std::unique_ptr<PreparedMixtureRows> prepare_mixture_rows(const MixtureRows& rows, int32_t variables,
                                                            int32_t latents) const override {
    return prepare_mixture_rows_on_cpu(rows, variables, latents);
  }
  std::unique_ptr<PreparedFactorRows> prepare_factor_rows(const MixtureRows& rows, int32_t variables,
                                                          int32_t latents) const override {
    return prepare_factor_rows_on_cpu(rows, variables, latents);
  }
  std::unique_ptr<PreparedScores> prepare_scores(const MixtureScores&) const override { return nullptr; }
  void sort_ascending(std::span<int64_t> values) const override { doppel::sort_ascending(values); }
  std::unique_ptr<PreparedPairCounts> prepare_pair_counts(const CodedColumns& columns) const override {
    return prepare_pair_counts_on_cpu(columns);
  }
  std::unique_ptr<PreparedProducts> prepare_products(const ProductMatrices& matrices) const override {
    return prepare_products_on_cpu(matrices);
  }
  std::vector<float> nearest_distances(const Points& queries, const Points& references) const override {
    return nearest_distances_on_cpu(queries, references);
  }
};

// Of "cuda", "cuda:N" or "cuda:N,N"; of "cuda:all" none; null for anything else.
std::optional<std::vector<int>> cuda_devices_of(std::string_view name) {
  if (name == "cuda") return std::vector{0};
  if (!name.starts_with("cuda:")) return std::nullopt;
  name.remove_prefix(5);
  std::vector<int> devices;
  if (name == "all") return devices;
  const char *at = name.data(), *const end = at + name.size();
  while (true) {
    int device = -1;
    const auto [next, error] = std::from_chars(at, end, device);
    if (error != std::errc() || device < 0) return std::nullopt;
    devices.push_back(device);
    if (next == end) return devices;
    if (*next != ',') return std::nullopt;
    at = next + 1;
  }
}

}  // namespace

std::unique_ptr<Backend> make_backend(const std::string& name) {
  // OpenBLAS splits its sums by threads, so it gets one: a fit is the same on any machine with the same kind of core,
  // and the callers' threads are the parallelism. Small products are the host's whatever the backend.
  openblas_set_num_threads(1);
  if (const auto devices = cuda_devices_of(name)) return make_cuda_backend(*devices);
  if (name != "auto" && name != "cpu")
    throw UsageError("no backend '" + name +
                     "'; there are auto, cpu, cuda, cuda:N with N a device's number, cuda:0,1 and cuda:all");
  if (name == "auto" && cuda_devices() > 0) return make_cuda_backend(std::vector{0});
  return std::make_unique<CpuBackend>();
}

}  // namespace doppel
