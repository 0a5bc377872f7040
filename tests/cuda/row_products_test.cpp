// Products of rows on CUDA against their definition.
#include "kernels/cuda/row_products.h"

#include "tests/cuda/device_under_test.h"
#include "tests/kernels/product_cases.h"

namespace doppel {
namespace {

class CudaRowProducts : public OnCuda {};

INSTANTIATE_TEST_SUITE_P(Device, CudaRowProducts, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaRowProducts, EveryNumberOfRows) {
  for (const int64_t rows :
       {int64_t{0}, int64_t{1}, kProductRows - 1, kProductRows, kProductRows + 1, 3 * kProductRows})
    expect_products(cuda(), 21, 13, rows, 1);
}

TEST_P(CudaRowProducts, EveryShape) {
  for (const int64_t inner : {0, 1, 100})
    for (const int64_t columns : {0, 1, 33}) expect_products(cuda(), inner, columns, kProductRows + 3, 2);
}

}  // namespace
}  // namespace doppel
