// Layers of images on CUDA, convolutions and transposed ones, forward and backward.
//
// By cuDNN, where it is there and has an algorithm (cudnn.h). Else by patches: those of images are gathered, multiplied
// by cuBLAS on tensor cores, and taps are summed for the way back (network.cu; no atomics: a pixel adds the taps that
// meet it). bfloat16 goes by patches, whose sums are floats until bias and ReLU are done; cuDNN would round them
// before.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/cudnn.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/network.h"
#include "kernels/cuda/products.h"
#include "kernels/network.h"

namespace doppel::cuda {

// The layers of one network, by their number among `layers`, in the order of `stream`. x is what goes into a layer, y
// what comes out; weights are those of network.h. Values are floats, and forward also Bfloat16. Rows are multiples of
// kNetworkRows.
class Convolutions {
 public:
  // For so many rows at most. Of `layers` kind, shape and ReLU are looked at, and now alone.
  Convolutions(std::span<const TrainedLayer* const> layers, Precision precision, int64_t rows, int64_t patch_bytes,
               Products& products, cudaStream_t stream);

  // y = layer(x), as values of `to`.
  void forward(size_t number, const void* x, const void* weight, const float* bias, int64_t rows, Precision to,
               void* y);
  // From the gradient of the layer's sums to that of its weights and, unless x_gradient is null, of x.
  void backward(size_t number, const float* x, const float* gradient, const float* weight, int64_t rows,
                float* weight_gradient, float* x_gradient);

 private:
  // Below, images are on the side of the convolution where it reads, its sums on the other.
  struct Layer {
    ImageMap map;
    bool is_transposed, rectify;
    int64_t image() const { return int64_t{map.height} * map.width * map.inputs; }  // values of a row
    int64_t pixels() const { return int64_t{map.output_height} * map.output_width; }
    int64_t sums() const { return pixels() * map.outputs; }
    int64_t patch() const { return int64_t{map.kernel} * map.kernel * map.inputs; }                   // of a pixel
    int64_t patch_bytes() const { return pixels() * patch() * static_cast<int64_t>(sizeof(float)); }  // of a row
  };
  int64_t rows_at_a_time(const Layer& layer) const;
  // False where cuDNN does not do it.
  bool convolve_by_cudnn(size_t number, bool transposed, const float* x, const float* weight, int64_t rows, float* y);
  // By patches:
  template <class Take>
  void for_each_piece(const Layer& layer, int64_t rows, const Take& take) const;
  template <class Take>
  void for_patches(const Layer& layer, const void* images, int64_t rows, const Take& take) const;
  void multiply_patches(const Layer& layer, const void* weight, int64_t rows, float* sums);
  void convolve_patches(const Layer& layer, const void* images, const void* weight, const float* bias, int64_t rows,
                        Precision to, void* y);
  void transpose_patches(const Layer& layer, const void* x, const void* weight, const float* bias, bool rectify,
                         int64_t rows, Precision to, void* images);

  Precision precision_;
  int64_t patch_bytes_;
  Products& products_;
  cudaStream_t stream_;
  std::vector<Layer> layers_;
  std::unique_ptr<Cudnn> cudnn_;
  DeviceBuffer<std::byte> patches_;  // and cuDNN's workspace
  DeviceBuffer<float> sums_;         // of a piece whose values are Bfloat16
};

}  // namespace doppel::cuda
