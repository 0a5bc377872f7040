// Trained networks on CUDA: what their kernels get. Backends use prepare_cuda_network.
//
// Products of dense layers are cuBLAS's, on tensor cores, convolutions cuDNN's or those of images' patches
// (convolutions.h). What they lack is network.cu: patches gathered for convolutions, taps summed for transposed ones
// (no atomics: an output pixel adds the taps that meet it), biases, labels, ReLUs, pools.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/network.h"

namespace doppel::cuda {

// Rows of a block are a multiple of it: then all arrays of values are whole vectors of 16 bytes.
inline constexpr int64_t kNetworkRows = 16;

// Of images' patches at a time, at most, and of cuDNN's workspace: what a product reads is then still in an L2 of 50
// MB, for the most part.
inline constexpr int64_t kPatchBytes = int64_t{64} << 20;

// ConvShape, in what the device counts in.
struct ImageMap {
  int32_t inputs, outputs, height, width, output_height, output_width, kernel, stride, padding;
};

inline ImageMap map_of(const ConvShape& s) {
  const auto narrow = [](int64_t size) { return static_cast<int32_t>(size); };
  return {narrow(s.inputs),         narrow(s.outputs), narrow(s.height), narrow(s.width),  narrow(s.output_height()),
          narrow(s.output_width()), narrow(s.kernel),  narrow(s.stride), narrow(s.padding)};
}

inline bool is_convolved(const TrainedLayer& layer) {
  return layer.kind == TrainedLayer::Kind::kConvolution || layer.kind == TrainedLayer::Kind::kTransposed;
}
constexpr int64_t value_bytes(Precision precision) {
  return precision == Precision::kSingle ? 4 : 2;
}

// Weights as products take them, [outputs, inputs]; of images channels last, [outputs, taps, inputs] ("inputs" and
// "outputs" the convolution's). Calls visit(place in the layer's weights, place on the device) for as many.
template <class Visit>
void for_each_weight(const TrainedLayer& layer, size_t count, const Visit& visit) {
  if (count == 0) return;
  const bool is_dense = layer.kind == TrainedLayer::Kind::kDense;
  const auto outputs = is_dense ? count : static_cast<size_t>(layer.shape.outputs),
             inputs = is_dense ? 1 : static_cast<size_t>(layer.shape.inputs),
             taps = is_dense ? 1 : static_cast<size_t>(layer.shape.taps());
  size_t place = 0;
  for (size_t o = 0; o < outputs; ++o)
    for (size_t i = 0; i < inputs; ++i)
      for (size_t tap = 0; tap < taps; ++tap) visit(place++, (o * taps + tap) * inputs + i);
}

// "Values" are floats or, in Precision::kBfloat16, Bfloat16. Counts are below 2^31.
struct SumArguments {         // y = sums + bias [+ label_weight of the row's label] [, at least 0]
  const float* sums;          // [rows, columns]
  const float* bias;          // [columns]
  const float* label_weight;  // [labels, columns] or null
  const int32_t* labels;      // [rows]
  void* y;                    // values [rows, columns]
  int32_t rows, columns;
  bool rectify;
};
struct PatchArguments {
  const void* x;  // values [rows, height, width, inputs]
  void* patches;  // values [rows, output_height, output_width, kernel, kernel, inputs], 0 beyond the image
  ImageMap map;
  int32_t rows;
};
struct TapArguments {
  const float* patches;  // as PatchArguments'
  const float* bias;     // [inputs] or null
  void* y;               // values [rows, height, width, inputs]: sums of the taps that meet the pixel, and the bias
  ImageMap map;
  int32_t rows;
  bool rectify;
};
struct PoolArguments {
  const void* x;  // values [rows, height, width, inputs]
  void* y;        // values [rows, output_height, output_width, inputs]
  ImageMap map;
  int32_t rows;
  // Of floats only:
  uint8_t* largest =
      nullptr;  // as y, unless null: which of the window's pixels, row by row, is the first of the largest
  bool rectify = false;
};

// network.cu. Asynchronous. `precision`: of the values.
void finish_sums(const SumArguments& arguments, Precision precision, cudaStream_t stream);
void gather_patches(const PatchArguments& arguments, Precision precision, cudaStream_t stream);
void sum_taps(const TapArguments& arguments, Precision precision, cudaStream_t stream);
void pool_images(const PoolArguments& arguments, Precision precision, cudaStream_t stream);
void round_values(const float* x, int64_t count, void* y, cudaStream_t stream);  // to Bfloat16

std::unique_ptr<PreparedNetwork> prepare_cuda_network(const TrainedNetwork& network, Precision precision,
                                                      int64_t block_rows, int device);

}  // namespace doppel::cuda
