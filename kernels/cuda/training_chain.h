// A chain of layers in training, on the device: parameters, values, gradients, and what a pass over a batch asks a
// stream for. Products are cuBLAS's, convolutions those of convolutions.h, the rest is trainer.cu, and of codes
// code_trainer.cu.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cuda/convolutions.h"
#include "kernels/cuda/device.h"
#include "kernels/cuda/products.h"
#include "kernels/cuda/trainer.h"

namespace doppel::cuda {

inline constexpr size_t kLosses = 2;  // that are summed: and the divergence, or rows told right

// Of a pass, in device memory: the same each time, so that it can be captured as a graph.
struct BatchPass {
  int64_t rows;           // that are computed: rows_to_compute()
  const float* x;         // [rows, values()]
  const int32_t* labels;  // [rows]
  const int32_t* codes;   // [rows, fields()]
  const StepNumbers* numbers;
  bool is_step;   // else losses alone
  bool by_means;  // of the parameters
};

constexpr int64_t rows_to_compute(int64_t rows) {  // of a batch
  return (rows + kNetworkRows - 1) / kNetworkRows * kNetworkRows;
}

// All that it does is in the order of the stream, on the device that is selected; both must outlive it.
class TrainingChain {
 public:
  TrainingChain(const TrainableNetwork& network, int64_t batch_rows, int device, int64_t patch_bytes,
                cudaStream_t stream);
  TrainingChain(const TrainingChain&) = delete;
  TrainingChain& operator=(const TrainingChain&) = delete;

  int64_t rows() const { return rows_; }  // that are computed of the largest batch
  int64_t values() const { return fields() > 0 ? 0 : layers_.front().inputs(); }  // of a row
  int64_t fields() const { return static_cast<int64_t>(codes_.size()); }          // of a row of codes
  bool has_labels() const { return has_labels_; }
  bool has_means() const { return mean_.size() > 0; }
  double* losses() const { return losses_.data(); }  // [kLosses] on the device

  // Asynchronous; allocates nothing.
  void enqueue(const BatchPass& pass);

  // As PreparedTrainer's. Return when it is done. Means have memory once they were written.
  void read(std::span<const ParameterState> parameters);
  void write(std::span<const ParameterState> parameters);

 private:
  // A parameter in the buffers of parameters.
  struct Place {
    int64_t first = 0, count = 0;
  };

  struct Layer {
    const TrainedLayer* description = nullptr;  // without its weights
    ImageMap map{};
    bool is_gaussian = false;
    uint32_t dropped = 0, use = 0;
    int32_t labels = 0;
    size_t convolution = 0;  // its number
    Place weight, bias, label_weight;
    DeviceBuffer<float> y, noise, latents;
    DeviceBuffer<uint8_t> largest;  // of a pool

    TrainedLayer::Kind kind() const { return description->kind; }
    int64_t inputs() const { return description->inputs; }
    int64_t outputs() const { return description->outputs; }
    bool rectified() const { return description->rectified; }
    int64_t channels() const { return bias.count; }  // that y's columns are
    float kept_scale() const {
      return static_cast<float>(kDropoutShares) / static_cast<float>(kDropoutShares - dropped);
    }
  };

  void place_parameters(const TrainableNetwork& network);
  void place_codes();
  void make_convolutions(int64_t patch_bytes);
  void make_buffers();
  void check_size(int64_t of_row) const;
  DeviceBuffer<float> floats(int64_t count) const { return {static_cast<size_t>(count), stream_}; }
  bool is_embedding(const Layer& layer) const { return fields() > 0 && &layer == &layers_.front(); }
  void zero(DeviceBuffer<float>& buffer) const;

  const float* input_of(size_t layer, const BatchPass& pass) const;
  void forward_layer(Layer& layer, const float* x, const BatchPass& pass);
  void find_loss(const BatchPass& pass);
  void backward(const BatchPass& pass);
  // From the gradient of what the layer gives to that of its sums, and of biases and labels' weights.
  void mask(const Layer& layer, float* gradient, const BatchPass& pass);
  void backward_layer(const Layer& layer, const float* x, const float* gradient, float* x_gradient,
                      const BatchPass& pass);
  void multiply(Factor a_is, Factor b_is, int64_t m, int64_t n, int64_t k, const float* a, const float* b, float beta,
                float* c) {
    products_.multiply(Precision::kSingle, a_is, b_is, m, n, k, a, b, beta, c);
  }
  Totals totals(size_t first) const { return {partial_.data(), finished_.data(), losses_.data() + first}; }

  template <class Visit>
  void for_each_parameter(std::span<const ParameterState> parameters, const Visit& visit);
  void copy_parameter(const DeviceBuffer<float>& from, const Place& place, const Layer& layer, std::span<float> to);
  void copy_parameter(std::span<const float> from, const Place& place, const Layer& layer, DeviceBuffer<float>& to);

  cudaStream_t stream_;
  TrainingLoss loss_;
  std::vector<TrainedLayer> descriptions_;
  std::vector<int32_t> codes_;  // of each field
  int64_t rows_;
  int64_t parameters_ = 0;  // floats of each of the buffers below
  bool has_labels_ = false;
  Products products_;
  std::vector<Layer> layers_;
  std::unique_ptr<Convolutions> convolutions_;
  DeviceBuffer<int32_t> first_code_, field_of_code_;
  DeviceBuffer<float> value_, gradient_, first_, second_, mean_;
  std::array<DeviceBuffer<float>, 2> gradients_;  // of what every second layer gives
  DeviceBuffer<float> column_partial_;
  DeviceBuffer<double> partial_, losses_;
  DeviceBuffer<uint32_t> finished_;
};

}  // namespace doppel::cuda
