#include "kernels/cuda/products.h"

namespace doppel::cuda {
namespace {

constexpr int kHopper = 9;  // compute capability
// What cuBLAS takes by itself.
size_t workspace_bytes(int device) {
  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  return size_t{properties.major >= kHopper ? 32u : 4u} << 20;
}

int narrow(int64_t size) {
  return static_cast<int>(size);
}
cublasOperation_t operation(Factor factor) {
  return factor == Factor::kAsItIs ? CUBLAS_OP_N : CUBLAS_OP_T;
}

}  // namespace

Products::Products(int device, cudaStream_t stream, bool on_tensor_cores)
    : on_tensor_cores_(on_tensor_cores), workspace_(workspace_bytes(device), stream) {
  cublasHandle_t handle = nullptr;
  CUDA_CHECK(cublasCreate(&handle));
  blas_.reset(handle);
  CUDA_CHECK(cublasSetStream(handle, stream));
  CUDA_CHECK(cublasSetWorkspace(handle, workspace_.data(), workspace_.size()));
}

// To cuBLAS, column-major: c' [n, m] = b' a'.
void Products::multiply(Precision precision, Factor a_is, Factor b_is, int64_t m, int64_t n, int64_t k, const void* a,
                        const void* b, float beta, float* c) {
  const bool is_single = precision == Precision::kSingle;
  const cudaDataType type = is_single ? CUDA_R_32F : CUDA_R_16BF;
  const float one = 1;
  CUDA_CHECK(cublasGemmEx(blas_.get(), operation(b_is), operation(a_is), narrow(n), narrow(m), narrow(k), &one, b, type,
                          narrow(b_is == Factor::kAsItIs ? n : k), a, type, narrow(a_is == Factor::kAsItIs ? k : m),
                          &beta, c, CUDA_R_32F, narrow(n),
                          is_single && on_tensor_cores_ ? CUBLAS_COMPUTE_32F_FAST_TF32 : CUBLAS_COMPUTE_32F,
                          CUBLAS_GEMM_DEFAULT));
}

void Products::multiply(Factor b_is, int64_t m, int64_t n, int64_t k, const double* a, const double* b, double* c) {
  const double one = 1, zero = 0;
  CUDA_CHECK(cublasDgemm(blas_.get(), operation(b_is), CUBLAS_OP_N, narrow(n), narrow(m), narrow(k), &one, b,
                         narrow(b_is == Factor::kAsItIs ? n : k), a, narrow(k), &zero, c, narrow(n)));
}

}  // namespace doppel::cuda
