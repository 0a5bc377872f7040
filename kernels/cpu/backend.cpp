#include "kernels/backend.h"

#include <cblas.h>

#include <charconv>

#include "kernels/common/error.h"
#include "kernels/cpu/decode_table.h"
#include "kernels/cpu/image_sampler.h"
#include "kernels/cpu/nearest.h"
#include "kernels/cpu/network.h"
#include "kernels/cpu/sample_table.h"
#include "kernels/cpu/statistics.h"
#include "kernels/cuda/cuda_backend.h"

namespace doppel {
namespace {

class CpuBackend : public Backend {
 public:
  // OpenBLAS splits its sums by threads, so it gets one: a fit is the same on any machine with the same kind of core,
  // and the callers' threads are the parallelism.
  CpuBackend() { openblas_set_num_threads(1); }
  std::string description() const override { return "cpu (" + instruction_sets().front().name + ")"; }
  std::unique_ptr<PreparedTableSampler> prepare_table_sampler(const TableSampler& sampler) const override {
    return prepare_cpu_table_sampler(sampler, instruction_sets().front());
  }
  std::unique_ptr<PreparedTableSampler> prepare_table_decoder(const TableDecoder& decoder) const override {
    return prepare_table_decoder_on_cpu(decoder, instruction_sets().front());
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
  void find_responsibilities(const MixtureDensity& density, const MixtureRows& rows,
                             Responsibilities& out) const override {
    find_responsibilities_on_cpu(density, rows, out);
  }
  void find_responsibilities(const FactorDensity& density, const MixtureRows& rows,
                             Responsibilities& out) const override {
    find_responsibilities_on_cpu(density, rows, out);
  }
  std::vector<float> nearest_distances(const Points& queries, const Points& references) const override {
    return nearest_distances_on_cpu(queries, references);
  }
};

// "cuda" or "cuda:N"; -1 for anything else.
int cuda_device_of(const std::string& name) {
  if (name == "cuda") return 0;
  if (!name.starts_with("cuda:")) return -1;
  int device = -1;
  const auto [end, error] = std::from_chars(name.data() + 5, name.data() + name.size(), device);
  return error == std::errc() && end == name.data() + name.size() ? device : -1;
}

}  // namespace

std::unique_ptr<Backend> make_backend(const std::string& name) {
  const int device = cuda_device_of(name);
  if (name != "auto" && name != "cpu" && device < 0)
    throw UsageError("no backend '" + name + "'; there are auto, cpu, cuda and cuda:N with N a device number");
  if (device >= 0) return make_cuda_backend(device);
  if (name == "auto" && cuda_devices() > 0) return make_cuda_backend(0);
  return std::make_unique<CpuBackend>();
}

}  // namespace doppel
