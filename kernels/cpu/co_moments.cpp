#include <cblas.h>

#include <algorithm>

#include "kernels/common/statistics.h"
#include "kernels/cpu/statistics.h"

namespace doppel {
namespace {

constexpr int64_t kBlockRows = 4096;  // squares and ones of a block stay in the L2 cache

// out[i, j] += sum over rows of a[row, i] * b[row, j]; a, b column-major with a stride, out row-major [columns,
// columns].
void add_products(int64_t columns, int64_t rows, const double* a, int64_t a_stride, const double* b, int64_t b_stride,
                  double* out) {
  const auto n = static_cast<int>(columns);
  cblas_dgemm(CblasColMajor, CblasTrans, CblasNoTrans, n, n, static_cast<int>(rows), 1.0, b, static_cast<int>(b_stride),
              a, static_cast<int>(a_stride), 1.0, out, n);
}

// The same for b = a, which is symmetric: half the work.
void add_symmetric_products(int64_t columns, int64_t rows, const double* a, int64_t stride, double* out) {
  const auto n = static_cast<int>(columns);
  cblas_dsyrk(CblasRowMajor, CblasUpper, CblasNoTrans, n, static_cast<int>(rows), 1.0, a, static_cast<int>(stride), 1.0,
              out, n);
}

void mirror_upper(int64_t columns, std::vector<double>& matrix) {
  for (int64_t i = 1; i < columns; ++i)
    for (int64_t j = 0; j < i; ++j) matrix[i * columns + j] = matrix[j * columns + i];
}

// No gaps: counts, sums and squares do not depend on the other column.
void add_sums(const MaskedMatrix& values, int64_t first, int64_t rows, CoMoments& moments) {
  static const std::vector<double> ones(kBlockRows, 1.0);
  const int64_t columns = values.columns;
  for (int64_t i = 0; i < columns; ++i) {
    const double* x = values.values.data() + i * values.rows + first;
    const double sum = cblas_ddot(static_cast<int>(rows), x, 1, ones.data(), 1);
    const double square = cblas_ddot(static_cast<int>(rows), x, 1, x, 1);
    for (int64_t j = 0; j < columns; ++j) {
      moments.count[i * columns + j] += static_cast<double>(rows);
      moments.sum[i * columns + j] += sum;
      moments.square[i * columns + j] += square;
    }
  }
}

void add_masked_sums(const MaskedMatrix& values, int64_t first, int64_t rows, std::vector<double>& squares,
                     CoMoments& moments) {
  const double* x = values.values.data() + first;
  const double* present = values.present.data() + first;
  for (int64_t i = 0; i < values.columns; ++i)
    for (int64_t row = 0; row < rows; ++row)
      squares[i * kBlockRows + row] = x[i * values.rows + row] * x[i * values.rows + row];
  add_symmetric_products(values.columns, rows, present, values.rows, moments.count.data());
  add_products(values.columns, rows, x, values.rows, present, values.rows, moments.sum.data());
  add_products(values.columns, rows, squares.data(), kBlockRows, present, values.rows, moments.square.data());
}

}  // namespace

void accumulate_co_moments_on_cpu(const MaskedMatrix& values, CoMoments& moments) {
  check_co_moments(values, moments);
  if (values.rows == 0 || values.columns == 0) return;
  const bool gaps = !values.present.empty();
  std::vector<double> squares(gaps ? static_cast<size_t>(values.columns * kBlockRows) : 0);
  for (int64_t first = 0; first < values.rows; first += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, values.rows - first);
    if (gaps) {
      add_masked_sums(values, first, rows, squares, moments);
    } else {
      add_sums(values, first, rows, moments);
    }
    add_symmetric_products(values.columns, rows, values.values.data() + first, values.rows, moments.product.data());
  }
  if (gaps) mirror_upper(values.columns, moments.count);
  mirror_upper(values.columns, moments.product);
}

}  // namespace doppel
