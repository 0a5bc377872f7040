// Trained networks run forward: a static list of layers, each of which takes what the one before gives. Values of a row
// are floats; images lie as rows [height, width, channels], channels last, so that the output of any layer is the input
// of any other as it is.
//
// The numbers that layers work with are those of `Precision` (precision.h); backends differ by rounding and by the
// order of sums. On CUDA single precision is that of TF32: factors of products are rounded to 11 significant bits, sums
// are made of floats.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/precision.h"

namespace doppel {

// Of a convolution from [height, width, inputs] to [output_height, output_width, outputs]: squares of kernel x kernel,
// `stride` apart, `padding` zeros around the image.
struct ConvShape {
  int64_t inputs = 1, outputs = 1;  // channels
  int64_t height = 0, width = 0;
  int64_t kernel = 3, stride = 1, padding = 1;

  int64_t output_height() const { return (height + 2 * padding - kernel) / stride + 1; }
  int64_t output_width() const { return (width + 2 * padding - kernel) / stride + 1; }
  int64_t output_pixels() const { return output_height() * output_width(); }
  int64_t taps() const { return kernel * kernel; }
  int64_t input_size() const { return height * width * inputs; }
  int64_t output_size() const { return output_pixels() * outputs; }
  int64_t weights() const { return outputs * inputs * taps(); }
  // Multiply-adds of one image, those with padding included.
  double operations() const { return static_cast<double>(output_pixels()) * static_cast<double>(weights()); }
};

struct TrainedLayer {
  enum class Kind : uint8_t {
    kDense,        // y = W x + b
    kConvolution,  // PyTorch's Conv2d
    kTransposed,   // the transpose of the convolution `shape`: its outputs are what goes in (ConvTranspose2d)
    kMaxPool,      // the largest of each window of kernel x kernel, side by side; what is left over is dropped
  };
  Kind kind = Kind::kDense;
  ConvShape shape;                  // of images; of a pool inputs = outputs, stride = kernel, padding = 0
  int64_t inputs = 0, outputs = 0;  // values of a row
  bool rectified = false;           // max(., 0) follows; never of a pool
  // As PyTorch has them: dense [outputs, inputs], of images [shape.outputs, shape.inputs, kernel, kernel]; none of a
  // pool.
  std::vector<float> weight;
  std::vector<float> bias;          // [outputs], of images [channels of what comes out]
  std::vector<float> label_weight;  // [labels, outputs] of a dense layer: added to the sums of a row of that label
};

struct TrainedNetwork {
  std::vector<TrainedLayer> layers;  // the last one is no pool
  int64_t inputs() const { return layers.front().inputs; }
  int64_t outputs() const { return layers.back().outputs; }
  bool has_labels() const {
    for (const TrainedLayer& layer : layers)
      if (!layer.label_weight.empty()) return true;
    return false;
  }
};

// Throws Error if there is no layer or a layer contradicts itself or the one before.
void check_trained_network(const TrainedNetwork& network);

// A network made ready for one backend. For one thread at a time; different ones are independent.
class PreparedNetwork {
 public:
  virtual ~PreparedNetwork() = default;
  // x [rows, inputs of the first layer] to y [rows, outputs of the last], in host memory. labels [rows] are looked at
  // where the network has labels, and then within them.
  virtual void run(const float* x, const int32_t* labels, int64_t rows, float* y) = 0;
};

}  // namespace doppel
