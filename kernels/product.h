// Products of rows with matrices, in double: what codes of linear models are.
#pragma once

#include <cstdint>

namespace doppel {

// [matrices, inner, columns] of doubles, or of floats, which are taken as doubles. They must outlive what is prepared of
// them.
struct ProductMatrices {
  const double* values = nullptr;
  const float* single_values = nullptr;  // where there are no `values`
  int64_t matrices = 1, inner = 0, columns = 0;
};

// For one thread at a time. Row-major. A row's product is the same bits whatever rows are beside it; sums are in a
// library's order, so that backends and processors agree but for rounding.
class PreparedProducts {
 public:
  virtual ~PreparedProducts() = default;
  // product [count, columns] = rows [count, inner] matrix
  virtual void multiply(int64_t matrix, const double* rows, int64_t count, double* product) = 0;
  // product [count, inner] = rows [count, columns] matrix^T
  virtual void multiply_transposed(int64_t matrix, const double* rows, int64_t count, double* product) = 0;
};

// A sum's order may depend on the product's shape, so all have one: so many rows, zeros where there are fewer.
inline constexpr int64_t kProductRows = 64;

}  // namespace doppel
