#include "kernels/cpu/products.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/product.h"

namespace doppel {
namespace {

class CpuProducts : public PreparedProducts {
 public:
  explicit CpuProducts(const ProductMatrices& all) : all_(all) {}

  void multiply(int64_t matrix, const double* rows, int64_t count, double* product) override {
    multiply_rows(CblasNoTrans, matrix, {rows, all_.inner}, count, {product, all_.columns});
  }
  void multiply_transposed(int64_t matrix, const double* rows, int64_t count, double* product) override {
    multiply_rows(CblasTrans, matrix, {rows, all_.columns}, count, {product, all_.inner});
  }

 private:
  template <class Value>
  struct Rows {
    Value* values;
    int64_t width;
  };

  void multiply_rows(CBLAS_TRANSPOSE side, int64_t matrix, Rows<const double> rows, int64_t count,
                     Rows<double> product) {
    if (rows.width == 0) std::fill_n(product.values, count * product.width, 0.0);
    if (rows.width == 0 || count == 0) return;
    const double* values = doubles_of(matrix);
    const auto multiply_block = [&](const double* from, double* to) {
      doppel::multiply(CblasNoTrans, side, kProductRows, product.width, rows.width, from, values, 0.0, to);
    };
    for (; count >= kProductRows; count -= kProductRows) {
      multiply_block(rows.values, product.values);
      rows.values += kProductRows * rows.width;
      product.values += kProductRows * product.width;
    }
    if (count == 0) return;
    padded_.assign(static_cast<size_t>(kProductRows * rows.width), 0);
    found_.resize(static_cast<size_t>(kProductRows * product.width));
    std::copy_n(rows.values, count * rows.width, padded_.data());
    multiply_block(padded_.data(), found_.data());
    std::copy_n(found_.data(), count * product.width, product.values);
  }

  const double* doubles_of(int64_t matrix) {
    const int64_t size = all_.inner * all_.columns;
    if (all_.values != nullptr) return all_.values + matrix * size;
    if (matrix != of_doubles_)
      doubles_.assign(all_.single_values + matrix * size, all_.single_values + (matrix + 1) * size);
    of_doubles_ = matrix;
    return doubles_.data();
  }

  ProductMatrices all_;
  std::vector<double> doubles_;  // the matrix of floats that was used last
  int64_t of_doubles_ = -1;
  std::vector<double> padded_, found_;  // a block of fewer rows
};

}  // namespace

std::unique_ptr<PreparedProducts> prepare_products_on_cpu(const ProductMatrices& matrices) {
  return std::make_unique<CpuProducts>(matrices);
}

}  // namespace doppel
