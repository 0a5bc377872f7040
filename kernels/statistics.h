// Statistics of columns with gaps: the sums from which a model is fitted.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace doppel {

// A block of rows, column-major: column j is values[j * rows .. (j + 1) * rows), present[...] likewise 1 (value there)
// or 0 (missing; the value must then be 0).
struct MaskedMatrix {
  int64_t rows = 0, columns = 0;
  std::span<const double> values;   // [columns, rows]
  std::span<const double> present;  // [columns, rows], or empty: nothing is missing
};

// Sums over the rows in which both columns i and j are present; each [columns, columns], row-major. Sums are in double
// and the order of addition is fixed by the blocks the caller makes, never by threads.
struct CoMoments {
  int64_t columns = 0;
  std::vector<double> count;    // n_ij
  std::vector<double> sum;      // sum of x_i over rows where j is present too
  std::vector<double> square;   // sum of x_i^2, likewise
  std::vector<double> product;  // sum of x_i x_j
  explicit CoMoments(int64_t columns_ = 0)
      : columns(columns_), count(columns_ * columns_), sum(count), square(count), product(count) {}
};

// A = V diag(values) V^T, values descending; eigenvector k is column k of V, vectors row-major [order, order], its
// largest entry by magnitude positive (a canonical sign). Throws Error when LAPACK does not converge or the matrix is
// not finite.
struct SymmetricEigen {
  std::vector<double> values;   // [order]
  std::vector<double> vectors;  // [order, order]
};
// For small matrices whose vectors must be the same bits whatever the backend.
SymmetricEigen symmetric_eigen_on_cpu(std::span<const double> matrix, int64_t order);

}  // namespace doppel
