#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/common/error.h"
#include "kernels/cpu/statistics.h"

namespace doppel {
namespace {

// vectors: LAPACK's, column-major, ascending. The sign that makes the largest entry by magnitude positive; of equal
// ones the first counts.
double canonical_sign(const double* vector, int64_t order) {
  const double* largest =
      std::max_element(vector, vector + order, [](double a, double b) { return std::abs(a) < std::abs(b); });
  return *largest < 0 ? -1.0 : 1.0;
}

}  // namespace

SymmetricEigen symmetric_eigen_on_cpu(std::span<const double> matrix, int64_t order) {
  if (order < 0 || matrix.size() != static_cast<size_t>(order) * static_cast<size_t>(order))
    throw Error("eigenproblem: the matrix is not square of the order given");
  if (!std::all_of(matrix.begin(), matrix.end(), [](double entry) { return std::isfinite(entry); }))
    throw Error("eigenproblem: the matrix has entries that are not finite; the data hold values too large to square");
  SymmetricEigen result;
  if (order == 0) return result;
  std::vector<double> vectors(matrix.begin(), matrix.end()), values(static_cast<size_t>(order));
  const auto n = static_cast<lapack_int>(order);
  const lapack_int status = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'L', n, vectors.data(), n, values.data());
  if (status != 0)
    throw Error("eigenproblem: LAPACK's dsyevd did not converge (status " + std::to_string(status) + ")");
  result.values.assign(values.rbegin(), values.rend());
  result.vectors.resize(matrix.size());
  for (int64_t k = 0; k < order; ++k) {
    const double* vector = vectors.data() + (order - 1 - k) * order;
    const double sign = canonical_sign(vector, order);
    for (int64_t i = 0; i < order; ++i) result.vectors[i * order + k] = sign * vector[i];
  }
  return result;
}

}  // namespace doppel
