#include "kernels/cpu/products.h"

#include <algorithm>
#include <vector>

#include "kernels/cpu/product.h"

namespace doppel {
namespace {

class CpuProducts : public PreparedProducts {
 public:
  explicit CpuProducts(const ProductMatrices& matrices) : all_(matrices) {}

  void multiply(int64_t matrix, const double* rows, int64_t count, double* product) override {
    if (all_.inner == 0) std::fill_n(product, count * all_.columns, 0.0);
    if (all_.inner == 0) return;
    const double* values = all_.values + matrix * all_.inner * all_.columns;
    for (; count >= kProductRows; count -= kProductRows) {
      multiply_block(values, rows, product);
      rows += kProductRows * all_.inner;
      product += kProductRows * all_.columns;
    }
    if (count == 0) return;
    padded_.assign(static_cast<size_t>(kProductRows * all_.inner), 0);
    found_.resize(static_cast<size_t>(kProductRows * all_.columns));
    std::copy_n(rows, count * all_.inner, padded_.data());
    multiply_block(values, padded_.data(), found_.data());
    std::copy_n(found_.data(), count * all_.columns, product);
  }

 private:
  void multiply_block(const double* matrix, const double* rows, double* product) const {
    doppel::multiply(CblasNoTrans, CblasNoTrans, kProductRows, all_.columns, all_.inner, rows, matrix, 0.0, product);
  }

  ProductMatrices all_;
  std::vector<double> padded_, found_;  // a block of fewer rows
};

}  // namespace

std::unique_ptr<PreparedProducts> prepare_products_on_cpu(const ProductMatrices& matrices) {
  return std::make_unique<CpuProducts>(matrices);
}

}  // namespace doppel
