// Statistics (kernels/statistics.h) on a CUDA device: cuBLAS and cuSOLVER, and what they lack as kernels.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>
#include <cusolverDn.h>

#include <cstdint>
#include <memory>
#include <span>

#include "kernels/cuda/device.h"
#include "kernels/statistics.h"

namespace doppel::cuda {

// backend.cpp
void check(cublasStatus_t status, const char* call, const char* file, int line);
void check(cusolverStatus_t status, const char* call, const char* file, int line);

struct BlasDeleter {
  void operator()(cublasHandle_t handle) const { cublasDestroy(handle); }
};
struct SolverDeleter {
  void operator()(cusolverDnHandle_t handle) const { cusolverDnDestroy(handle); }
};

// A stream and the libraries' handles on it, made at the first use. One caller at a time.
class Libraries {
 public:
  explicit Libraries(int device);
  cudaStream_t stream() const { return stream_.get(); }
  cublasHandle_t blas();
  cusolverDnHandle_t solver();

 private:
  Stream stream_;
  std::unique_ptr<cublasContext, BlasDeleter> blas_;
  std::unique_ptr<cusolverDnContext, SolverDeleter> solver_;
};

// accumulate_co_moments.cpp, symmetric_eigen.cpp. Return when the result is there.
void accumulate_co_moments(Libraries& libraries, const MaskedMatrix& values, CoMoments& moments);
SymmetricEigen symmetric_eigen(Libraries& libraries, std::span<const double> matrix, int64_t order);

}  // namespace doppel::cuda
