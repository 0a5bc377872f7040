// The Backend on CUDA devices, as the plugin libdoppel_cuda.so exports it (cuda_backend.h).
#include <cuda_runtime_api.h>

#include <mutex>
#include <numeric>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cuda/bounded_sampler.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/decode_table.h"
#include "kernels/cuda/device_group.h"
#include "kernels/cuda/factor_rows.h"
#include "kernels/cuda/image_sampler.h"
#include "kernels/cuda/mixture_rows.h"
#include "kernels/cuda/nearest.h"
#include "kernels/cuda/network.h"
#include "kernels/cuda/pair_counts.h"
#include "kernels/cuda/positions.h"
#include "kernels/cuda/primitives.h"
#include "kernels/cuda/row_products.h"
#include "kernels/cuda/row_scores.h"
#include "kernels/cuda/sample_table.h"
#include "kernels/cuda/statistics.h"
#include "kernels/cuda/trainer.h"

namespace doppel::cuda {

void check(cublasStatus_t status, const char* call, const char* file, int line) {
  if (status != CUBLAS_STATUS_SUCCESS) fail(std::string("cuBLAS: ") + cublasGetStatusString(status), call, file, line);
}

void check(cusolverStatus_t status, const char* call, const char* file, int line) {
  if (status != CUSOLVER_STATUS_SUCCESS) fail("cuSOLVER: status " + std::to_string(status), call, file, line);
}

Libraries::Libraries(int device) {
  CUDA_CHECK(cudaSetDevice(device));
  stream_ = make_stream();
}

cublasHandle_t Libraries::blas() {
  if (!blas_) {
    cublasHandle_t handle = nullptr;
    CUDA_CHECK(cublasCreate(&handle));
    blas_.reset(handle);
    CUDA_CHECK(cublasSetStream(handle, stream()));
  }
  return blas_.get();
}

cusolverDnHandle_t Libraries::solver() {
  if (!solver_) {
    cusolverDnHandle_t handle = nullptr;
    CUDA_CHECK(cusolverDnCreate(&handle));
    solver_.reset(handle);
    CUDA_CHECK(cusolverDnSetStream(handle, stream()));
  }
  return solver_.get();
}

namespace {

class CudaBackend : public Backend {
 public:
  explicit CudaBackend(int device) : device_(device), libraries_(device) {
    cudaDeviceProp properties;
    CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
    name_ = properties.name;
  }
  ~CudaBackend() override { cudaSetDevice(device_); }  // for the libraries' handles, which are the device's
  const std::string& name() const { return name_; }
  std::string description() const override { return "cuda:" + std::to_string(device_) + " (" + name_ + ")"; }
  std::unique_ptr<PreparedTableSampler> prepare_table_sampler(const TableSampler& sampler) const override {
    return prepare_cuda_table_sampler(sampler, device_);
  }
  std::unique_ptr<PreparedTableSampler> prepare_table_decoder(const TableDecoder& decoder) const override {
    return prepare_cuda_table_decoder(decoder, device_);
  }
  std::unique_ptr<PreparedTableSampler> prepare_bounded_sampler(const BoundedSampler& sampler) const override {
    return prepare_cuda_bounded_sampler(sampler, device_);
  }
  std::unique_ptr<PreparedImageSampler> prepare_image_sampler(const ImageSampler& sampler) const override {
    return prepare_cuda_image_sampler(sampler, device_);
  }
  std::unique_ptr<PreparedNetwork> prepare_network(const TrainedNetwork& network, Precision precision,
                                                   int64_t block_rows) const override {
    return prepare_cuda_network(network, precision, block_rows, device_);
  }
  std::unique_ptr<PreparedTrainer> prepare_trainer(const TrainableNetwork& network, int64_t batch_rows) const override {
    return prepare_cuda_trainer(network, batch_rows, device_);
  }
  void accumulate_co_moments(const MaskedMatrix& values, CoMoments& moments) const override {
    const std::lock_guard lock(mutex_);
    CUDA_CHECK(cudaSetDevice(device_));
    cuda::accumulate_co_moments(libraries_, values, moments);
  }
  SymmetricEigen symmetric_eigen(std::span<const double> matrix, int64_t order) const override {
    const std::lock_guard lock(mutex_);
    CUDA_CHECK(cudaSetDevice(device_));
    return cuda::symmetric_eigen(libraries_, matrix, order);
  }
  std::unique_ptr<PreparedPositions<int64_t>> prepare_positions(std::span<const int64_t> sorted) const override {
    return prepare_cuda_positions(sorted, device_);
  }
  std::unique_ptr<PreparedPositions<double>> prepare_positions(std::span<const double> sorted) const override {
    return prepare_cuda_positions(sorted, device_);
  }
  std::unique_ptr<PreparedMixtureRows> prepare_mixture_rows(const MixtureRows& rows, int32_t variables,
                                                            int32_t latents) const override {
    return prepare_cuda_mixture_rows(rows, variables, latents, device_);
  }
  std::unique_ptr<PreparedFactorRows> prepare_factor_rows(const MixtureRows& rows, int32_t variables,
                                                          int32_t latents) const override {
    return prepare_cuda_factor_rows(rows, variables, latents, device_);
  }
  std::unique_ptr<PreparedScores> prepare_scores(const MixtureScores& mixture) const override {
    return prepare_cuda_scores(mixture, device_);
  }
  void sort_ascending(std::span<int64_t> values) const override {
    const std::lock_guard lock(mutex_);
    CUDA_CHECK(cudaSetDevice(device_));
    sort_on_device(values, libraries_.stream());
  }
  std::unique_ptr<PreparedPairCounts> prepare_pair_counts(const CodedColumns& columns) const override {
    return prepare_cuda_pair_counts(columns, device_);
  }
  std::unique_ptr<PreparedProducts> prepare_products(const ProductMatrices& matrices) const override {
    return prepare_cuda_products(matrices, device_);
  }
  std::vector<float> nearest_distances(const Points& queries, const Points& references) const override {
    const std::lock_guard lock(mutex_);
    CUDA_CHECK(cudaSetDevice(device_));
    return cuda::nearest_distances(libraries_, queries, references);
  }

 private:
  int device_;
  std::string name_;
  mutable std::mutex mutex_;  // of libraries_
  mutable Libraries libraries_;
};

int devices() {
  int count = 0;
  return cudaGetDeviceCount(&count) == cudaSuccess ? count : 0;
}

std::unique_ptr<Backend> make(std::span<const int> numbers) {
  int count = 0;
  const cudaError_t error = cudaGetDeviceCount(&count);
  if (error != cudaSuccess) {
    throw Error(std::string("no CUDA device: ") + cudaGetErrorString(error) + " (" + cudaGetErrorName(error) +
                "); take --backend cpu");
  }
  std::vector<int> all(static_cast<size_t>(count));
  std::iota(all.begin(), all.end(), 0);
  std::vector<GroupedDevice> group;
  for (const int number : numbers.empty() ? all : std::vector(numbers.begin(), numbers.end())) {
    if (number < 0 || number >= count)
      throw Error("no CUDA device " + std::to_string(number) + ": this machine has " + std::to_string(count) +
                  ", counted from 0");
    auto backend = std::make_unique<CudaBackend>(number);
    const std::string name = backend->name();
    group.push_back({number, name, std::move(backend)});
  }
  if (group.size() == 1) return std::move(group.front().backend);
  return make_device_group(std::move(group));
}

}  // namespace
}  // namespace doppel::cuda

extern "C" const doppel::CudaPlugin doppel_cuda_plugin = {DOPPEL_VERSION, doppel::cuda::devices, doppel::cuda::make};
