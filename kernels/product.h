// Products of rows with matrices, in double: what codes of linear models are.
#pragma once

#include <cstdint>

namespace doppel {

struct ProductMatrices {
  const double* values = nullptr;  // [matrices, inner, columns]; must outlive what is prepared of them
  int64_t matrices = 0, inner = 0, columns = 0;
};

// For one thread at a time.
class PreparedProducts {
 public:
  virtual ~PreparedProducts() = default;
  // product [count, columns] = rows [count, inner] matrix [inner, columns], row-major. A row's product is the same bits
  // whatever rows are beside it. Sums are in a library's order: backends and processors agree but for rounding.
  virtual void multiply(int64_t matrix, const double* rows, int64_t count, double* product) = 0;
};

// A sum's order may depend on the product's shape, so all have one: so many rows, zeros where there are fewer.
inline constexpr int64_t kProductRows = 64;

}  // namespace doppel
