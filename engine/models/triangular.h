// Triangular factors of small covariances, row-major [n, n].
#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace doppel {

// The lower Cholesky factor of a symmetric matrix, in place, by LAPACK; the upper triangle becomes 0. False where the
// matrix is not positive definite.
bool factorise(std::span<double> matrix, size_t n);

// The inverse of a lower triangle.
std::vector<double> invert_lower(std::span<const double> lower, size_t n);

}  // namespace doppel
