#include <lapacke.h>

#include <string>

#include "kernels/common/error.h"
#include "kernels/common/statistics.h"
#include "kernels/cpu/statistics.h"

namespace doppel {

SymmetricEigen symmetric_eigen_on_cpu(std::span<const double> matrix, int64_t order) {
  check_symmetric_eigen(matrix, order);
  if (order == 0) return {};
  std::vector<double> vectors(matrix.begin(), matrix.end()), values(static_cast<size_t>(order));
  const auto n = static_cast<lapack_int>(order);
  const lapack_int status = LAPACKE_dsyevd(LAPACK_COL_MAJOR, 'V', 'L', n, vectors.data(), n, values.data());
  if (status != 0)
    throw Error("eigenproblem: LAPACK's dsyevd did not converge (status " + std::to_string(status) + ")");
  return canonical_eigen(values, vectors);
}

}  // namespace doppel
