// Products of rows with matrices for tests: random ones, and what every backend's must be.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>

#include "kernels/backend.h"
#include "kernels/product.h"

namespace doppel {

struct ProductCase {
  int64_t matrices, inner, columns;
  std::vector<double> values, rows;  // rows [count, max(inner, columns)]
  std::vector<float> single_values;  // the same

  ProductMatrices doubles() const { return {values.data(), nullptr, matrices, inner, columns}; }
  ProductMatrices floats() const { return {nullptr, single_values.data(), matrices, inner, columns}; }
};

inline ProductCase random_product(int64_t matrices, int64_t inner, int64_t columns, int64_t rows, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  ProductCase made{matrices, inner, columns, {}, {}, {}};
  for (int64_t i = 0; i < matrices * inner * columns; ++i) {
    made.single_values.push_back(normal(random));
    made.values.push_back(static_cast<double>(made.single_values.back()));
  }
  for (int64_t i = 0; i < rows * std::max(inner, columns); ++i)
    made.rows.push_back(static_cast<double>(normal(random)) * 1.1);
  return made;
}

inline std::vector<double> product_by(PreparedProducts& products, const ProductCase& made, bool is_transposed,
                                      int64_t matrix, const double* rows, int64_t count) {
  constexpr double kUntouched = 7.25;
  const int64_t width = is_transposed ? made.inner : made.columns;
  std::vector<double> product(static_cast<size_t>(count * width) + 1, kUntouched);
  if (is_transposed)
    products.multiply_transposed(matrix, rows, count, product.data());
  else
    products.multiply(matrix, rows, count, product.data());
  EXPECT_EQ(product.back(), kUntouched) << "written past the end";
  product.pop_back();
  return product;
}

// Sums of products within their rounding, of doubles and of floats the same bits, and each row's by itself.
inline void expect_products(const Backend& backend, int64_t inner, int64_t columns, int64_t count, uint64_t seed) {
  SCOPED_TRACE(std::to_string(count) + " rows, " + std::to_string(inner) + " x " + std::to_string(columns));
  constexpr int64_t kMatrices = 3;
  const ProductCase made = random_product(kMatrices, inner, columns, count, seed);
  const auto products = backend.prepare_products(made.doubles()), of_floats = backend.prepare_products(made.floats());
  for (const bool is_transposed : {false, true})
    for (const int64_t matrix : {2, 0, 1}) {
      const int64_t k = is_transposed ? columns : inner, width = is_transposed ? inner : columns;
      const auto found = product_by(*products, made, is_transposed, matrix, made.rows.data(), count);
      EXPECT_EQ(product_by(*of_floats, made, is_transposed, matrix, made.rows.data(), count), found);
      const double* values = made.values.data() + matrix * inner * columns;
      for (int64_t row = 0; row < count; ++row)
        for (int64_t c = 0; c < width; ++c) {
          long double sum = 0, size = 0;
          for (int64_t i = 0; i < k; ++i) {
            const double value = is_transposed ? values[c * columns + i] : values[i * columns + c];
            sum += static_cast<long double>(made.rows[size_t(row * k + i)]) * value;
            size += std::abs(static_cast<long double>(made.rows[size_t(row * k + i)]) * value);
          }
          ASSERT_LE(std::abs(found[size_t(row * width + c)] - sum), 1e-16L * (k + 1) * size) << row << ", " << c;
        }
      for (int64_t row = 0; row < count; ++row) {
        const auto alone = product_by(*products, made, is_transposed, matrix, made.rows.data() + row * k, 1);
        ASSERT_EQ(alone, std::vector(found.begin() + row * width, found.begin() + (row + 1) * width)) << "row " << row;
      }
    }
}

}  // namespace doppel
