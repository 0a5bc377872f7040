#include "engine/models/triangular.h"

#include <lapacke.h>

#include <algorithm>

namespace doppel {

bool factorise(std::span<double> matrix, size_t n) {
  if (n == 0) return true;
  const auto order = static_cast<int>(n);
  if (LAPACKE_dpotrf(LAPACK_ROW_MAJOR, 'L', order, matrix.data(), order) != 0) return false;
  for (size_t i = 0; i < n; ++i) std::fill_n(matrix.begin() + static_cast<int64_t>(i * n + i + 1), n - i - 1, 0);
  return true;
}

std::vector<double> invert_lower(std::span<const double> lower, size_t n) {
  std::vector<double> inverse(n * n);
  for (size_t j = 0; j < n; ++j) {
    inverse[j * n + j] = 1 / lower[j * n + j];
    for (size_t i = j + 1; i < n; ++i) {
      double sum = 0;
      for (size_t k = j; k < i; ++k) sum += lower[i * n + k] * inverse[k * n + j];
      inverse[i * n + j] = -sum / lower[i * n + i];
    }
  }
  return inverse;
}

}  // namespace doppel
