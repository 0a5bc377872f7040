// Matrix products of layers, row-major. In single precision by oneDNN, so that all of a network's work is done by one
// set of threads, and at full speed where BLAS does not know the processor.
#pragma once

#include <cblas.h>
#include <oneapi/dnnl/dnnl.h>

#include <cstdint>

#include "kernels/common/error.h"

namespace doppel {

// c [m, n] = op(a) op(b) + beta c, with k the inner extent; beta is 0 or 1.
inline void multiply(CBLAS_TRANSPOSE op_a, CBLAS_TRANSPOSE op_b, int64_t m, int64_t n, int64_t k, const float* a,
                     const float* b, float beta, float* c) {
  if (m == 0 || n == 0 || k == 0) return;
  const char a_letter = op_a == CblasNoTrans ? 'N' : 'T', b_letter = op_b == CblasNoTrans ? 'N' : 'T';
  const dnnl_status_t status = dnnl_sgemm(a_letter, b_letter, m, n, k, 1, a, op_a == CblasNoTrans ? k : m, b,
                                          op_b == CblasNoTrans ? n : k, beta, c, n);
  if (status != dnnl_success) throw Error("oneDNN refused a matrix product");
}
inline void multiply(CBLAS_TRANSPOSE op_a, CBLAS_TRANSPOSE op_b, int64_t m, int64_t n, int64_t k, const double* a,
                     const double* b, double beta, double* c) {
  if (m == 0 || n == 0 || k == 0) return;
  cblas_dgemm(CblasRowMajor, op_a, op_b, static_cast<int>(m), static_cast<int>(n), static_cast<int>(k), 1, a,
              static_cast<int>(op_a == CblasNoTrans ? k : m), b, static_cast<int>(op_b == CblasNoTrans ? n : k), beta,
              c, static_cast<int>(n));
}

}  // namespace doppel
