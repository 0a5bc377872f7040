// The used subset of cuBLAS, cuSOLVER and CUB, under their own names and in their streams' order, on OpenBLAS and
// LAPACK.
#include <cblas.h>
#include <cublas_v2.h>
#include <cusolverDn.h>
#include <lapacke.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <numeric>
#include <utility>
#include <vector>

#include "kernels/common/bfloat16.h"
#include "tests/simt/cub.h"
#include "tests/simt/engine.h"
#include "tests/simt/tf32.h"

struct cublasContext {
  cudaStream_t stream = nullptr;
};
struct cusolverDnContext {
  cudaStream_t stream = nullptr;
};
struct cusolverDnParams {};

namespace {

CBLAS_TRANSPOSE transposition(cublasOperation_t operation) {
  return operation == CUBLAS_OP_N ? CblasNoTrans : CblasTrans;
}
bool on_device(const void* pointer, size_t values, size_t value_bytes = sizeof(double)) {
  return simt::residence(pointer, values * value_bytes) == simt::Residence::kDevice;
}
// Of a column-major matrix.
size_t extent(int leading, int rows, int columns) {
  return rows && columns ? static_cast<size_t>(leading) * (columns - 1) + rows : 0;
}

// As tensor cores read them, where they do.
std::vector<float> factors(const void* matrix, cudaDataType type, size_t values, bool as_tf32) {
  std::vector<float> floats(values);
  for (size_t i = 0; i < values; ++i)
    floats[i] = type == CUDA_R_16BF ? doppel::float_of_bfloat16(static_cast<const doppel::Bfloat16*>(matrix)[i])
                                    : static_cast<const float*>(matrix)[i];
  if (as_tf32)
    for (float& value : floats) value = simt::rounded_to_tf32(value);
  return floats;
}

cublasStatus_t blas_status(cudaError_t error) {
  return error == cudaSuccess ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_EXECUTION_FAILED;
}
cusolverStatus_t solver_status(cudaError_t error) {
  return error == cudaSuccess ? CUSOLVER_STATUS_SUCCESS : CUSOLVER_STATUS_EXECUTION_FAILED;
}

constexpr size_t kWorkspacePerColumn = 64, kScratchBytes = 77;  // any numbers that a caller can't guess

}  // namespace

namespace simt {

cudaError_t exclusive_sum(void* scratch, size_t& bytes, const int32_t* values, int32_t* sums, int size,
                          cudaStream_t stream) {
  SIMT_CALL(cudaErrorUnknown);
  const size_t wanted = kScratchBytes + static_cast<size_t>(size);
  if (scratch == nullptr) return bytes = wanted, cudaSuccess;
  const size_t of_values = static_cast<size_t>(size) * sizeof(int32_t);
  if (bytes < wanted || !on_device(scratch, wanted, 1) || !on_device(values, of_values, 1) ||
      !on_device(sums, of_values, 1))
    return cudaErrorInvalidValue;
  return enqueue(stream, [=] {
    if (!is_still_there(scratch, wanted) || !is_still_there(values, of_values) || !is_still_there(sums, of_values))
      return;
    int32_t sum = 0;
    for (int i = 0; i < size; ++i) sums[i] = std::exchange(sum, sum + values[i]);
  });
}

cudaError_t sort_pairs(void* scratch, size_t& bytes, const int32_t* keys, int32_t* sorted_keys, const void* values,
                       void* sorted_values, size_t value_bytes, int size, int begin_bit, int end_bit,
                       cudaStream_t stream) {
  SIMT_CALL(cudaErrorUnknown);
  const size_t items = static_cast<size_t>(size), wanted = kScratchBytes + items;
  if (scratch == nullptr) return bytes = wanted, cudaSuccess;
  const size_t of_keys = items * sizeof(int32_t), of_values = items * value_bytes;
  if (bytes < wanted || !on_device(scratch, wanted, 1) || !on_device(keys, of_keys, 1) ||
      !on_device(sorted_keys, of_keys, 1) || !on_device(values, of_values, 1) ||
      !on_device(sorted_values, of_values, 1))
    return cudaErrorInvalidValue;
  return enqueue(stream, [=] {
    if (!is_still_there(scratch, wanted) || !is_still_there(keys, of_keys) || !is_still_there(sorted_keys, of_keys) ||
        !is_still_there(values, of_values) || !is_still_there(sorted_values, of_values))
      return;
    std::vector<size_t> order(items);
    std::iota(order.begin(), order.end(), size_t{0});
    const auto bits = [&](size_t i) {
      return (static_cast<uint32_t>(keys[i]) >> begin_bit) & ((uint64_t{1} << (end_bit - begin_bit)) - 1);
    };
    std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) { return bits(a) < bits(b); });
    for (size_t i = 0; i < items; ++i) {
      sorted_keys[i] = keys[order[i]];
      std::memcpy(static_cast<char*>(sorted_values) + i * value_bytes,
                  static_cast<const char*>(values) + order[i] * value_bytes, value_bytes);
    }
  });
}

cudaError_t sort_keys(void* scratch, size_t& bytes, const int64_t* keys, int64_t* sorted_keys, int64_t size,
                      int begin_bit, int end_bit, cudaStream_t stream) {
  SIMT_CALL(cudaErrorUnknown);
  const auto items = static_cast<size_t>(size), wanted = kScratchBytes + items;
  if (scratch == nullptr) return bytes = wanted, cudaSuccess;
  if (bytes < wanted || !on_device(scratch, wanted, 1) || !on_device(keys, items) || !on_device(sorted_keys, items) ||
      begin_bit < 0 || end_bit > 64 || begin_bit >= end_bit)
    return cudaErrorInvalidValue;
  return enqueue(stream, [=] {
    const size_t of_keys = items * sizeof(int64_t);
    if (!is_still_there(scratch, wanted) || !is_still_there(keys, of_keys) || !is_still_there(sorted_keys, of_keys))
      return;
    const auto bits = [&](int64_t key) {  // the sign's bit the other way round
      return (static_cast<uint64_t>(key) ^ uint64_t{1} << 63) << (64 - end_bit) >> (64 - end_bit + begin_bit);
    };
    std::copy_n(keys, items, sorted_keys);
    std::stable_sort(sorted_keys, sorted_keys + items, [&](int64_t a, int64_t b) { return bits(a) < bits(b); });
  });
}

cudaError_t encode_runs(void* scratch, size_t& bytes, const int64_t* values, int64_t* distinct, int32_t* lengths,
                        int32_t* runs, int size, cudaStream_t stream) {
  SIMT_CALL(cudaErrorUnknown);
  const auto items = static_cast<size_t>(size), wanted = kScratchBytes + items;
  if (scratch == nullptr) return bytes = wanted, cudaSuccess;
  if (bytes < wanted || !on_device(scratch, wanted, 1) || !on_device(values, items) || !on_device(distinct, items) ||
      !on_device(lengths, items, sizeof(int32_t)) || !on_device(runs, 1, sizeof(int32_t)))
    return cudaErrorInvalidValue;
  return enqueue(stream, [=] {
    if (!is_still_there(scratch, wanted) || !is_still_there(values, items * sizeof(int64_t)) ||
        !is_still_there(distinct, items * sizeof(int64_t)) || !is_still_there(lengths, items * sizeof(int32_t)) ||
        !is_still_there(runs, sizeof(int32_t)))
      return;
    int32_t found = 0;
    for (size_t i = 0; i < items; ++i) {
      if (i == 0 || values[i] != values[i - 1]) distinct[found] = values[i], lengths[found++] = 0;
      ++lengths[found - 1];
    }
    runs[0] = found;
  });
}

cudaError_t select(void* scratch, size_t& bytes, const void* values, void* selected_values, size_t value_bytes,
                   int32_t* selected, int size, const std::function<bool(const void*)>& takes, cudaStream_t stream) {
  SIMT_CALL(cudaErrorUnknown);
  const auto items = static_cast<size_t>(size), wanted = kScratchBytes + items;
  if (scratch == nullptr) return bytes = wanted, cudaSuccess;
  if (bytes < wanted || !on_device(scratch, wanted, 1) || !on_device(values, items, value_bytes) ||
      !on_device(selected_values, items, value_bytes) || !on_device(selected, 1, sizeof(int32_t)))
    return cudaErrorInvalidValue;
  return enqueue(stream, [=] {
    if (!is_still_there(scratch, wanted) || !is_still_there(values, items * value_bytes) ||
        !is_still_there(selected_values, items * value_bytes) || !is_still_there(selected, sizeof(int32_t)))
      return;
    const char* from = static_cast<const char*>(values);
    char* to = static_cast<char*>(selected_values);
    selected[0] = 0;
    for (size_t i = 0; i < items; ++i, from += value_bytes)
      if (takes(from)) std::memcpy(to + value_bytes * static_cast<size_t>(selected[0]++), from, value_bytes);
  });
}

}  // namespace simt

extern "C" {

cublasStatus_t cublasCreate_v2(cublasHandle_t* handle) {
  SIMT_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  *handle = new cublasContext;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasDestroy_v2(cublasHandle_t handle) {
  SIMT_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  delete handle;
  return CUBLAS_STATUS_SUCCESS;
}
cublasStatus_t cublasSetStream_v2(cublasHandle_t handle, cudaStream_t stream) {
  SIMT_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  handle->stream = stream;
  return CUBLAS_STATUS_SUCCESS;
}
const char* cublasGetStatusString(cublasStatus_t status) {
  return status == CUBLAS_STATUS_SUCCESS ? "success" : "emulated cuBLAS error";
}

cublasStatus_t cublasDgemm_v2(cublasHandle_t handle, cublasOperation_t transpose_a, cublasOperation_t transpose_b,
                              int m, int n, int k, const double* alpha, const double* a, int lda, const double* b,
                              int ldb, const double* beta, double* c, int ldc) {
  SIMT_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  const int rows_a = transpose_a == CUBLAS_OP_N ? m : k, rows_b = transpose_b == CUBLAS_OP_N ? k : n;
  if (m < 0 || n < 0 || k < 0 || lda < rows_a || ldb < rows_b || ldc < m) return CUBLAS_STATUS_INVALID_VALUE;
  if (!on_device(a, extent(lda, rows_a, rows_a == m ? k : m)) || !on_device(c, extent(ldc, m, n))) {
    return CUBLAS_STATUS_EXECUTION_FAILED;
  }
  return blas_status(simt::enqueue(handle->stream, [=, alpha = *alpha, beta = *beta] {
    cblas_dgemm(CblasColMajor, transposition(transpose_a), transposition(transpose_b), m, n, k, alpha, a, lda, b, ldb,
                beta, c, ldc);
  }));
}

cublasStatus_t cublasSetWorkspace_v2(cublasHandle_t, void* workspace, size_t bytes) {
  SIMT_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  return on_device(workspace, bytes, 1) ? CUBLAS_STATUS_SUCCESS : CUBLAS_STATUS_INVALID_VALUE;
}

// Floats or bfloat16, summed in floats.
cublasStatus_t cublasGemmEx(cublasHandle_t handle, cublasOperation_t transpose_a, cublasOperation_t transpose_b, int m,
                            int n, int k, const void* alpha, const void* a, cudaDataType a_type, int lda, const void* b,
                            cudaDataType b_type, int ldb, const void* beta, void* c, cudaDataType c_type, int ldc,
                            cublasComputeType_t compute, cublasGemmAlgo_t) {
  SIMT_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  const int rows_a = transpose_a == CUBLAS_OP_N ? m : k, rows_b = transpose_b == CUBLAS_OP_N ? k : n;
  if (m < 0 || n < 0 || k < 0 || lda < rows_a || ldb < rows_b || ldc < m) return CUBLAS_STATUS_INVALID_VALUE;
  const bool as_tf32 = compute == CUBLAS_COMPUTE_32F_FAST_TF32;
  if (c_type != CUDA_R_32F || a_type != b_type || (a_type != CUDA_R_32F && a_type != CUDA_R_16BF) ||
      (as_tf32 ? a_type != CUDA_R_32F : compute != CUBLAS_COMPUTE_32F))
    return CUBLAS_STATUS_NOT_SUPPORTED;
  const size_t size = a_type == CUDA_R_32F ? sizeof(float) : sizeof(doppel::Bfloat16);
  const size_t of_a = extent(lda, rows_a, rows_a == m ? k : m), of_b = extent(ldb, rows_b, rows_b == k ? n : k);
  if (!on_device(a, of_a, size) || !on_device(b, of_b, size) || !on_device(c, extent(ldc, m, n), sizeof(float)))
    return CUBLAS_STATUS_EXECUTION_FAILED;
  return blas_status(simt::enqueue(
      handle->stream, [=, alpha = *static_cast<const float*>(alpha), beta = *static_cast<const float*>(beta)] {
        if (!simt::is_still_there(a, of_a * size) || !simt::is_still_there(b, of_b * size) ||
            !simt::is_still_there(c, extent(ldc, m, n) * sizeof(float)))
          return;
        const std::vector<float> x = factors(a, a_type, of_a, as_tf32), y = factors(b, b_type, of_b, as_tf32);
        cblas_sgemm(CblasColMajor, transposition(transpose_a), transposition(transpose_b), m, n, k, alpha, x.data(),
                    lda, y.data(), ldb, beta, static_cast<float*>(c), ldc);
      }));
}

cublasStatus_t cublasDsyrk_v2(cublasHandle_t handle, cublasFillMode_t fill, cublasOperation_t transpose, int n, int k,
                              const double* alpha, const double* a, int lda, const double* beta, double* c, int ldc) {
  SIMT_CALL(CUBLAS_STATUS_EXECUTION_FAILED);
  const int rows_a = transpose == CUBLAS_OP_N ? n : k;
  if (n < 0 || k < 0 || lda < rows_a || ldc < n || fill == CUBLAS_FILL_MODE_FULL) return CUBLAS_STATUS_INVALID_VALUE;
  if (!on_device(c, extent(ldc, n, n))) return CUBLAS_STATUS_EXECUTION_FAILED;
  return blas_status(simt::enqueue(handle->stream, [=, alpha = *alpha, beta = *beta] {
    cblas_dsyrk(CblasColMajor, fill == CUBLAS_FILL_MODE_LOWER ? CblasLower : CblasUpper, transposition(transpose), n, k,
                alpha, a, lda, beta, c, ldc);
  }));
}

cusolverStatus_t cusolverDnCreate(cusolverDnHandle_t* handle) {
  SIMT_CALL(CUSOLVER_STATUS_INTERNAL_ERROR);
  *handle = new cusolverDnContext;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroy(cusolverDnHandle_t handle) {
  SIMT_CALL(CUSOLVER_STATUS_INTERNAL_ERROR);
  delete handle;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnSetStream(cusolverDnHandle_t handle, cudaStream_t stream) {
  SIMT_CALL(CUSOLVER_STATUS_INTERNAL_ERROR);
  handle->stream = stream;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnCreateParams(cusolverDnParams_t* parameters) {
  SIMT_CALL(CUSOLVER_STATUS_INTERNAL_ERROR);
  *parameters = new cusolverDnParams;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnDestroyParams(cusolverDnParams_t parameters) {
  SIMT_CALL(CUSOLVER_STATUS_INTERNAL_ERROR);
  delete parameters;
  return CUSOLVER_STATUS_SUCCESS;
}
cusolverStatus_t cusolverDnXsyevd_bufferSize(cusolverDnHandle_t, cusolverDnParams_t, cusolverEigMode_t,
                                             cublasFillMode_t, int64_t n, cudaDataType, const void*, int64_t,
                                             cudaDataType, const void*, cudaDataType, size_t* device_bytes,
                                             size_t* host_bytes) {
  SIMT_CALL(CUSOLVER_STATUS_INTERNAL_ERROR);
  *device_bytes = kWorkspacePerColumn * static_cast<size_t>(n);
  *host_bytes = kWorkspacePerColumn;
  return CUSOLVER_STATUS_SUCCESS;
}

cusolverStatus_t cusolverDnXsyevd(cusolverDnHandle_t handle, cusolverDnParams_t, cusolverEigMode_t mode,
                                  cublasFillMode_t fill, int64_t n, cudaDataType type, void* a, int64_t lda,
                                  cudaDataType, void* w, cudaDataType, void* workspace, size_t device_bytes,
                                  void* host_workspace, size_t host_bytes, int* info) {
  SIMT_CALL(CUSOLVER_STATUS_INTERNAL_ERROR);
  if (type != CUDA_R_64F) return CUSOLVER_STATUS_NOT_SUPPORTED;
  const bool enough = device_bytes >= kWorkspacePerColumn * static_cast<size_t>(n) &&
                      host_bytes >= kWorkspacePerColumn && on_device(workspace, device_bytes / sizeof(double)) &&
                      host_workspace;
  if (!enough || lda < n) return CUSOLVER_STATUS_INVALID_VALUE;
  if (simt::residence(info, sizeof(int)) != simt::Residence::kDevice) return CUSOLVER_STATUS_EXECUTION_FAILED;
  return solver_status(simt::enqueue(handle->stream, [=] {
    *info = LAPACKE_dsyevd(LAPACK_COL_MAJOR, mode == CUSOLVER_EIG_MODE_VECTOR ? 'V' : 'N',
                           fill == CUBLAS_FILL_MODE_LOWER ? 'L' : 'U', static_cast<lapack_int>(n),
                           static_cast<double*>(a), static_cast<lapack_int>(lda), static_cast<double*>(w));
  }));
}

}  // extern "C"
