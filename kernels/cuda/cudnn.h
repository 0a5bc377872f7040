// Convolutions by cuDNN: a plugin of the plugin, libdoppel_cudnn.so beside libdoppel_cuda.so, loaded where the first
// network of images is made ready. So tables need no cuDNN, which is as large as CUDA's other libraries together, and
// without it images are convolved all the same (convolutions.h).
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "kernels/network.h"

namespace doppel::cuda {

// Some convolutions y = x * w of floats, known by their number, in the order of one stream. All is channels last:
// x [rows, height, width, inputs], w [outputs, kernel, kernel, inputs], y [rows, output_height, output_width, outputs].
//
// The algorithm is the first that cuDNN proposes of those that give the same sums each time and find room in the
// workspace; it is chosen at the first call of as many rows, which no stream may capture, and kept. Measured choices
// would depend on what else the device does, and with them the bits of what is learned. Each call answers false, with
// nothing done, where there is no such algorithm. Throws Error.
class Cudnn {
 public:
  virtual ~Cudnn() = default;
  // In device memory, for all that is chosen from now on; `memory` must outlive what is enqueued.
  virtual void set_workspace(void* memory, size_t bytes) = 0;
  virtual bool forward(size_t number, const float* x, const float* w, int64_t rows, float* y) = 0;
  // What y's gradient makes of x's: the transpose of forward.
  virtual bool find_image_gradient(size_t number, const float* y, const float* w, int64_t rows, float* x) = 0;
  virtual bool find_weight_gradient(size_t number, const float* x, const float* y, int64_t rows, float* w) = 0;
};

// On the device that is selected; `stream` must outlive it. Null where there is no cuDNN. Throws Error.
std::unique_ptr<Cudnn> make_cudnn(std::span<const ConvShape> shapes, cudaStream_t stream);

// What libdoppel_cudnn.so exports under the name kCudnnPluginSymbol.
struct CudnnPlugin {
  const char* version;  // of the build
  std::unique_ptr<Cudnn> (*make)(std::span<const ConvShape> shapes, cudaStream_t stream);
};
inline constexpr char kCudnnPluginSymbol[] = "doppel_cudnn_plugin";

}  // namespace doppel::cuda
