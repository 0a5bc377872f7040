// The matrices stay on the device; of a piece of rows one copy goes there, and one comes back. Pieces are whole blocks
// of kProductRows, each a product of its own.
#include "kernels/cuda/row_products.h"

#include <algorithm>
#include <cstring>
#include <span>

#include "kernels/cuda/device.h"
#include "kernels/cuda/products.h"

namespace doppel::cuda {
namespace {

class CudaProducts : public PreparedProducts {
 public:
  CudaProducts(const ProductMatrices& matrices, int device, size_t product_bytes)
      : device_(select_device(device)),
        stream_(make_stream()),
        products_(device, stream()),
        inner_(matrices.inner),
        columns_(matrices.columns) {
    matrices_ =
        upload(std::span(matrices.values, static_cast<size_t>(matrices.matrices * inner_ * columns_)), stream());
    CUDA_CHECK(cudaStreamSynchronize(stream()));  // the values are there, and the caller's are no longer read
    const auto block_bytes = sizeof(double) * static_cast<size_t>(kProductRows * (inner_ + columns_));
    most_blocks_ = static_cast<int64_t>(std::max<size_t>(product_bytes / std::max<size_t>(block_bytes, 1), 1));
  }
  ~CudaProducts() override {  // an exception may have left copies under way
    cudaSetDevice(device_);
    cudaStreamSynchronize(stream());
  }

  void multiply(int64_t matrix, const double* rows, int64_t count, double* product) override {
    if (count == 0 || columns_ == 0) return;
    if (inner_ == 0) {
      std::fill_n(product, count * columns_, 0.0);
      return;
    }
    CUDA_CHECK(cudaSetDevice(device_));
    make_room(std::min((count + kProductRows - 1) / kProductRows, most_blocks_));
    const int64_t most = blocks_ * kProductRows;
    for (int64_t first = 0; first < count; first += most)
      multiply_piece(matrices_.data() + matrix * inner_ * columns_, rows + first * inner_,
                     std::min(most, count - first), product + first * columns_);
  }

 private:
  cudaStream_t stream() const { return stream_.get(); }

  void make_room(int64_t blocks) {
    if (blocks <= blocks_) return;
    make_what_fits(blocks, 1, [&](int64_t fewer) {
      const auto rows = static_cast<size_t>(fewer * kProductRows);
      const size_t inner = rows * static_cast<size_t>(inner_), columns = rows * static_cast<size_t>(columns_);
      blocks_ = 0;
      rows_ = {}, product_ = {};
      rows_ = DeviceBuffer<double>(inner, stream());
      product_ = DeviceBuffer<double>(columns, stream());
      host_rows_ = allocate_for_copies(inner * sizeof(double));
      host_product_ = allocate_for_copies(columns * sizeof(double));
      blocks_ = fewer;
      if (fewer < blocks) most_blocks_ = fewer;
    });
  }

  void multiply_piece(const double* matrix, const double* rows, int64_t count, double* product) {
    const int64_t blocks = (count + kProductRows - 1) / kProductRows, padded = blocks * kProductRows;
    const auto bytes = [](int64_t values) { return static_cast<size_t>(values) * sizeof(double); };
    std::memcpy(host_rows_.get(), rows, bytes(count * inner_));
    std::memset(host_rows_.get() + bytes(count * inner_), 0, bytes((padded - count) * inner_));
    CUDA_CHECK(
        cudaMemcpyAsync(rows_.data(), host_rows_.get(), bytes(padded * inner_), cudaMemcpyHostToDevice, stream()));
    for (int64_t block = 0; block < blocks; ++block)
      products_.multiply(kProductRows, columns_, inner_, rows_.data() + block * kProductRows * inner_, matrix,
                         product_.data() + block * kProductRows * columns_);
    CUDA_CHECK(cudaMemcpyAsync(host_product_.get(), product_.data(), bytes(count * columns_), cudaMemcpyDeviceToHost,
                               stream()));
    CUDA_CHECK(cudaStreamSynchronize(stream()));
    std::memcpy(product, host_product_.get(), bytes(count * columns_));
  }

  int device_;
  Stream stream_;
  Products products_;
  int64_t inner_, columns_;
  DeviceBuffer<double> matrices_;
  int64_t most_blocks_ = 0, blocks_ = 0;  // of a piece, and that there is room for
  DeviceBuffer<double> rows_, product_;
  HostMemory host_rows_{nullptr, nullptr}, host_product_{nullptr, nullptr};
};

}  // namespace

std::unique_ptr<PreparedProducts> prepare_cuda_products(const ProductMatrices& matrices, int device,
                                                        size_t product_bytes) {
  return std::make_unique<CudaProducts>(matrices, device, product_bytes);
}

}  // namespace doppel::cuda
