// A trained network on the device, from the inside: what else runs there takes its input and output where they lie.
#pragma once

#include <cuda_runtime_api.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/cuda/convolutions.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/network.h"
#include "kernels/cuda/products.h"
#include "kernels/network.h"

namespace doppel::cuda {

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
    size_t convolution;  // its number
  };
  void make_buffers(const TrainedNetwork& network, int64_t block_rows);
  void run_layer(const Layer& layer, const void* x, Precision to, void* y, const int32_t* labels);
  const float* floats(size_t place) const { return reinterpret_cast<const float*>(constants_.data() + place); }

  Precision precision_;
  cudaStream_t stream_;
  int64_t rows_ = 0;
  std::vector<Layer> layers_;
  DeviceBuffer<std::byte> constants_;
  DeviceBuffer<float> input_, output_, sums_;      // sums: of dense layers
  std::array<DeviceBuffer<std::byte>, 2> values_;  // of every second layer
  Products products_;
  std::unique_ptr<Convolutions> convolutions_;
};

}  // namespace doppel::cuda
