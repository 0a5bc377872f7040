// Products of rows on the CPU.
#include "tests/kernels/product_cases.h"

namespace doppel {
namespace {

TEST(Products, EveryNumberOfRows) {
  const auto cpu = make_backend("cpu");
  for (const int64_t rows :
       {int64_t{0}, int64_t{1}, kProductRows - 1, kProductRows, kProductRows + 1, 3 * kProductRows})
    expect_products(*cpu, 21, 13, rows, 1);
}

// Around the tiles of BLAS, and longer than the part of a sum that it takes at a time.
TEST(Products, EveryShape) {
  const auto cpu = make_backend("cpu");
  for (const int64_t inner : {0, 1, 7, 64, 100})
    for (const int64_t columns : {0, 1, 8, 33}) expect_products(*cpu, inner, columns, kProductRows + 3, 2);
  expect_products(*cpu, 1000, 65, 100, 3);
}

}  // namespace
}  // namespace doppel
