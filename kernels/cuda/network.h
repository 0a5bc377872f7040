// Trained networks on CUDA from inside: what their kernels get, and a network on the device. Backends use
// prepare_cuda_network.
//
// Products are cuBLAS's, on tensor cores: of dense layers, and of images' patches. What they lack is network.cu:
// patches gathered for convolutions, taps summed for transposed ones (no atomics: an output pixel adds the taps that
// meet it), biases, labels, ReLUs, pools. No cuDNN: its library is as large again as all others together, and tables
// need none.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/products.h"
#include "kernels/network.h"

namespace doppel::cuda {

// Rows of a block are a multiple of it: then all arrays of values are whole vectors of 16 bytes.
inline constexpr int64_t kNetworkRows = 16;

// ConvShape, in what the device counts in.
struct ImageMap {
  int32_t inputs, outputs, height, width, output_height, output_width, kernel, stride, padding;
};

inline ImageMap map_of(const ConvShape& s) {
  const auto narrow = [](int64_t size) { return static_cast<int32_t>(size); };
  return {narrow(s.inputs),         narrow(s.outputs), narrow(s.height), narrow(s.width),  narrow(s.output_height()),
          narrow(s.output_width()), narrow(s.kernel),  narrow(s.stride), narrow(s.padding)};
}

// Weights as products take them, [outputs, inputs] with the inputs or outputs of images channels last: of a convolution
// [outputs, taps, inputs], of a transposed one [taps, inputs, outputs] ("inputs" and "outputs" the convolution's).
// Calls visit(place in the layer's weights, place on the device) for as many.
template <class Visit>
void for_each_weight(const TrainedLayer& layer, size_t count, const Visit& visit) {
  if (count == 0) return;
  const bool is_dense = layer.kind == TrainedLayer::Kind::kDense,
             is_transposed = layer.kind == TrainedLayer::Kind::kTransposed;
  const auto outputs = is_dense ? count : static_cast<size_t>(layer.shape.outputs),
             inputs = is_dense ? 1 : static_cast<size_t>(layer.shape.inputs),
             taps = is_dense ? 1 : static_cast<size_t>(layer.shape.taps());
  size_t place = 0;
  for (size_t o = 0; o < outputs; ++o)
    for (size_t i = 0; i < inputs; ++i)
      for (size_t tap = 0; tap < taps; ++tap)
        visit(place++, is_transposed ? (tap * inputs + i) * outputs + o : (o * taps + tap) * inputs + i);
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

// A network's weights and what its layers work with for `rows()` rows at a time, on `device`, which is selected, in the
// order of `stream`, which must outlive it.
class NetworkOnDevice {
 public:
  // block_rows: 0, or what rows() is at least. Throws UsageError for bfloat16 on a device without it.
  NetworkOnDevice(const TrainedNetwork& network, Precision precision, int64_t block_rows, int device,
                  cudaStream_t stream);
  int64_t rows() const { return rows_; }
  float* input() const { return input_.data(); }          // [rows, inputs]
  const float* output() const { return output_.data(); }  // [rows, outputs]
  // Enqueues what makes the output of the input. labels [rows] on the device, where the network has labels.
  void run(const int32_t* labels);

 private:
  struct Layer {
    TrainedLayer::Kind kind;
    ImageMap map;
    int32_t inputs, outputs;
    bool rectify;
    size_t weight, bias, label_weight;  // places in constants_
    bool has_labels;
  };
  void make_buffers(const TrainedNetwork& network, int64_t block_rows);
  void run_layer(const Layer& layer, const void* x, Precision to, void* y, const int32_t* labels);
  // sums [count, outputs] = x [count, inputs] weight' [inputs, outputs]
  void multiply(const void* x, const void* weight, int64_t count, int32_t inputs, int32_t outputs);
  const float* floats(size_t place) const { return reinterpret_cast<const float*>(constants_.data() + place); }

  Precision precision_;
  cudaStream_t stream_;
  int64_t rows_ = 0;
  std::vector<Layer> layers_;
  DeviceBuffer<std::byte> constants_;
  DeviceBuffer<float> input_, output_, sums_;
  DeviceBuffer<std::byte> patches_;
  std::array<DeviceBuffer<std::byte>, 2> values_;  // of every second layer
  Products products_;
};

std::unique_ptr<PreparedNetwork> prepare_cuda_network(const TrainedNetwork& network, Precision precision,
                                                      int64_t block_rows, int device);

}  // namespace doppel::cuda
