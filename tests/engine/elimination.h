// The judge of factorisations: Gaussian elimination in double.
#pragma once

#include <vector>

namespace doppel {

// Solves a x = b for a symmetric positive definite matrix; the determinant beside it.
inline std::vector<double> solve(std::vector<double> a, std::vector<double> b, double& determinant) {
  const size_t n = b.size();
  determinant = 1;
  for (size_t k = 0; k < n; ++k) {
    determinant *= a[k * n + k];
    for (size_t i = k + 1; i < n; ++i) {
      const double factor = a[i * n + k] / a[k * n + k];
      for (size_t j = k; j < n; ++j) a[i * n + j] -= factor * a[k * n + j];
      b[i] -= factor * b[k];
    }
  }
  for (size_t k = n; k-- > 0;) {
    for (size_t j = k + 1; j < n; ++j) b[k] -= a[k * n + j] * b[j];
    b[k] /= a[k * n + k];
  }
  return b;
}

}  // namespace doppel
