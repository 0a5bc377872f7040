// The matrices stay on the device; of a piece of rows one copy goes there, and one comes back. Pieces are whole blocks
// of kProductRows, each a product of its own.
#include "kernels/cuda/row_products.h"

#include <algorithm>
#include <cstring>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/products.h"

namespace doppel::cuda {
namespace {

constexpr size_t bytes_of(int64_t values) {
  return static_cast<size_t>(values) * sizeof(double);
}

class CudaProducts : public PreparedProducts {
 public:
  CudaProducts(const ProductMatrices& all, int device, size_t product_bytes)
      : device_(select_device(device)),
        stream_(make_stream()),
        products_(device, stream()),
        inner_(all.inner),
        columns_(all.columns),
        matrices_(static_cast<size_t>(all.matrices * inner_ * columns_), stream()) {
    upload_matrices(all);
    const size_t block_bytes = std::max<size_t>(bytes_of(kProductRows * (inner_ + columns_)), 1);
    most_blocks_ = static_cast<int64_t>(std::max<size_t>(product_bytes / block_bytes, 1));
  }
  ~CudaProducts() override {  // an exception may have left copies under way
    cudaSetDevice(device_);
    cudaStreamSynchronize(stream());
  }

  void multiply(int64_t matrix, const double* rows, int64_t count, double* product) override {
    multiply_rows(Factor::kAsItIs, matrix, {rows, inner_}, count, {product, columns_});
  }
  void multiply_transposed(int64_t matrix, const double* rows, int64_t count, double* product) override {
    multiply_rows(Factor::kTransposed, matrix, {rows, columns_}, count, {product, inner_});
  }

 private:
  template <class Value>
  struct Rows {
    Value* values;
    int64_t width;
  };
  cudaStream_t stream() const { return stream_.get(); }

  // One after the other, so that the host has but one of floats as doubles.
  void upload_matrices(const ProductMatrices& all) {
    const int64_t size = inner_ * columns_;
    if (size == 0) return;
    std::vector<double> doubles;
    for (int64_t matrix = 0; matrix < all.matrices; ++matrix) {
      const double* values = all.values + matrix * size;
      if (all.values == nullptr) {
        doubles.assign(all.single_values + matrix * size, all.single_values + (matrix + 1) * size);
        values = doubles.data();
      }
      CUDA_CHECK(
          cudaMemcpyAsync(matrices_.data() + matrix * size, values, bytes_of(size), cudaMemcpyHostToDevice, stream()));
      CUDA_CHECK(cudaStreamSynchronize(stream()));
    }
  }

  void multiply_rows(Factor side, int64_t matrix, Rows<const double> rows, int64_t count, Rows<double> product) {
    if (rows.width == 0) std::fill_n(product.values, count * product.width, 0.0);
    if (count == 0 || rows.width == 0 || product.width == 0) return;
    CUDA_CHECK(cudaSetDevice(device_));
    make_room(std::min((count + kProductRows - 1) / kProductRows, most_blocks_));
    const int64_t most = blocks_ * kProductRows;
    for (int64_t first = 0; first < count; first += most)
      multiply_piece(side, matrices_.data() + matrix * inner_ * columns_,
                     {rows.values + first * rows.width, rows.width}, std::min(most, count - first),
                     {product.values + first * product.width, product.width});
  }

  void make_room(int64_t blocks) {
    if (blocks <= blocks_) return;
    make_what_fits(blocks, 1, [&](int64_t fewer) {
      const int64_t values = fewer * kProductRows * (inner_ + columns_);
      blocks_ = 0;
      device_values_ = {};
      device_values_ = DeviceBuffer<double>(static_cast<size_t>(values), stream());
      for (HostMemory* memory : {&host_rows_, &host_product_})
        *memory = allocate_for_copies(bytes_of(fewer * kProductRows * std::max(inner_, columns_)));
      blocks_ = fewer;
      if (fewer < blocks) most_blocks_ = fewer;
    });
  }

  void multiply_piece(Factor side, const double* matrix, Rows<const double> rows, int64_t count, Rows<double> product) {
    const int64_t blocks = (count + kProductRows - 1) / kProductRows, padded = blocks * kProductRows;
    std::byte *host = host_rows_.get(), *found = host_product_.get();
    double *from = device_values_.data(), *to = from + padded * rows.width;
    std::memcpy(host, rows.values, bytes_of(count * rows.width));
    std::memset(host + bytes_of(count * rows.width), 0, bytes_of((padded - count) * rows.width));
    CUDA_CHECK(cudaMemcpyAsync(from, host, bytes_of(padded * rows.width), cudaMemcpyHostToDevice, stream()));
    for (int64_t row = 0; row < padded; row += kProductRows)
      products_.multiply(side, kProductRows, product.width, rows.width, from + row * rows.width, matrix,
                         to + row * product.width);
    CUDA_CHECK(cudaMemcpyAsync(found, to, bytes_of(count * product.width), cudaMemcpyDeviceToHost, stream()));
    CUDA_CHECK(cudaStreamSynchronize(stream()));
    std::memcpy(product.values, found, bytes_of(count * product.width));
  }

  int device_;
  Stream stream_;
  Products products_;
  int64_t inner_, columns_;
  DeviceBuffer<double> matrices_;
  int64_t most_blocks_ = 0, blocks_ = 0;  // of a piece, and that there is room for
  DeviceBuffer<double> device_values_;    // rows, then products
  HostMemory host_rows_{nullptr, nullptr}, host_product_{nullptr, nullptr};
};

}  // namespace

std::unique_ptr<PreparedProducts> prepare_cuda_products(const ProductMatrices& matrices, int device,
                                                        size_t product_bytes) {
  return std::make_unique<CudaProducts>(matrices, device, product_bytes);
}

}  // namespace doppel::cuda
