// What every backend's statistics share: the checks of their arguments, and the canonical form of an
// eigendecomposition.
#pragma once

#include <algorithm>
#include <cmath>
#include <span>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/statistics.h"

namespace doppel {

inline void check_co_moments(const MaskedMatrix& values, const CoMoments& moments) {
  const auto cells = static_cast<size_t>(values.rows) * static_cast<size_t>(values.columns);
  const auto pairs = static_cast<size_t>(moments.columns) * static_cast<size_t>(moments.columns);
  if (values.rows < 0 || values.columns != moments.columns || values.values.size() != cells ||
      (!values.present.empty() && values.present.size() != cells) || moments.count.size() != pairs ||
      moments.sum.size() != pairs || moments.square.size() != pairs || moments.product.size() != pairs)
    throw Error("co-moments: the sizes of values, present and moments do not agree");
}

inline void check_symmetric_eigen(std::span<const double> matrix, int64_t order) {
  if (order < 0 || matrix.size() != static_cast<size_t>(order) * static_cast<size_t>(order))
    throw Error("eigenproblem: the matrix is not square of the order given");
  if (!std::all_of(matrix.begin(), matrix.end(), [](double entry) { return std::isfinite(entry); }))
    throw Error("eigenproblem: the matrix has entries that are not finite; the data hold values too large to square");
}

// The sign that makes the largest entry by magnitude positive; of equal ones the first counts.
inline double canonical_sign(const double* vector, int64_t order) {
  const double* largest =
      std::max_element(vector, vector + order, [](double a, double b) { return std::abs(a) < std::abs(b); });
  return *largest < 0 ? -1.0 : 1.0;
}

// From LAPACK's and cuSOLVER's form: values [order] ascending, vectors [order, order] column-major.
inline SymmetricEigen canonical_eigen(const std::vector<double>& values, const std::vector<double>& vectors) {
  const auto order = static_cast<int64_t>(values.size());
  SymmetricEigen result{{values.rbegin(), values.rend()}, std::vector<double>(vectors.size())};
  for (int64_t k = 0; k < order; ++k) {
    const double* vector = vectors.data() + (order - 1 - k) * order;
    const double sign = canonical_sign(vector, order);
    for (int64_t i = 0; i < order; ++i) result.vectors[i * order + k] = sign * vector[i];
  }
  return result;
}

}  // namespace doppel
