// Matrix products of networks and of codes, by cuBLAS.
#pragma once

#include <cublas_v2.h>
#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/cuda/device.h"
#include "kernels/cuda/statistics.h"
#include "kernels/precision.h"

namespace doppel::cuda {

enum class Factor : uint8_t { kAsItIs, kTransposed };

// On `device`, which is selected, in the order of `stream`, which must outlive it. cuBLAS' workspace is ours: so it
// allocates none, and sums do not depend on what others do.
class Products {
 public:
  // Tensor cores round floats to TF32.
  Products(int device, cudaStream_t stream, bool on_tensor_cores = true);
  // Row-major: c [m, n] = a b + beta c with k the inner extent, where a is [m, k], or [k, m] if it is transposed, and b
  // [k, n], or [n, k]. Factors are floats or bfloat16; c is of floats.
  void multiply(Precision precision, Factor a_is, Factor b_is, int64_t m, int64_t n, int64_t k, const void* a,
                const void* b, float beta, float* c);
  // c [m, n] = a b in double, where a is [m, k] and b as above.
  void multiply(Factor b_is, int64_t m, int64_t n, int64_t k, const double* a, const double* b, double* c);

 private:
  bool on_tensor_cores_;
  DeviceBuffer<std::byte> workspace_;
  std::unique_ptr<cublasContext, BlasDeleter> blas_;
};

}  // namespace doppel::cuda
