// The host's half of trained networks on CUDA.
#include "kernels/cuda/network.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "kernels/common/bfloat16.h"
#include "kernels/common/error.h"
#include "kernels/cuda/network_on_device.h"
#include "kernels/cuda/table_constants.h"

namespace doppel::cuda {
namespace {

using Kind = TrainedLayer::Kind;

// Of a block of rows, at most: small enough that most of what a layer hands on is read from an L2 of 50 MB, and large
// enough that products fill the device.
constexpr int64_t kWorkingBytes = int64_t{128} << 20, kMostRows = 8192;
constexpr int kFirstWithBfloat16 = 8;  // compute capability

std::vector<float> arranged_weights(const TrainedLayer& layer) {
  std::vector<float> weight(layer.weight.size());
  for_each_weight(layer, weight.size(),
                  [&](size_t in_layer, size_t on_device) { weight[on_device] = layer.weight[in_layer]; });
  return weight;
}

size_t put_weights(Blob& blob, const std::vector<float>& weight, Precision precision) {
  if (precision == Precision::kSingle) return blob.put(weight);
  std::vector<Bfloat16> rounded(weight.size());
  std::transform(weight.begin(), weight.end(), rounded.begin(), bfloat16_of_float);
  return blob.put(rounded);
}

}  // namespace

NetworkOnDevice::NetworkOnDevice(const TrainedNetwork& network, Precision precision, int64_t block_rows, int device,
                                 cudaStream_t stream)
    : precision_(precision), stream_(stream), products_(device, stream) {
  check_trained_network(network);
  cudaDeviceProp properties;
  CUDA_CHECK(cudaGetDeviceProperties(&properties, device));
  if (precision == Precision::kBfloat16 && properties.major < kFirstWithBfloat16)
    throw UsageError(std::string(properties.name) + " has no instructions for bfloat16: f32 is faster here");
  Blob blob;
  std::vector<const TrainedLayer*> convolved;
  for (const TrainedLayer& layer : network.layers) {
    layers_.push_back({layer.kind, map_of(layer.shape), static_cast<int32_t>(layer.inputs),
                       static_cast<int32_t>(layer.outputs), layer.rectified,
                       put_weights(blob, arranged_weights(layer), precision), blob.put(layer.bias),
                       blob.put(layer.label_weight), !layer.label_weight.empty(), convolved.size()});
    if (is_convolved(layer)) convolved.push_back(&layer);
  }
  constants_ = upload(blob, stream);
  make_buffers(network, block_rows);
  convolutions_ = std::make_unique<Convolutions>(convolved, precision, rows_, kPatchBytes, products_, stream);
}

void NetworkOnDevice::make_buffers(const TrainedNetwork& network, int64_t block_rows) {
  int64_t sums = 0, patches = 0, values = 0;
  for (const TrainedLayer& layer : network.layers) {
    if (layer.kind == Kind::kDense) sums = std::max(sums, layer.outputs);
    if (is_convolved(layer))
      patches = std::max(patches, layer.shape.output_pixels() * layer.shape.taps() * layer.shape.inputs);
    values = std::max(values, layer.inputs);
  }
  const int64_t size = value_bytes(precision_);
  const int64_t row_bytes = 4 * (network.inputs() + network.outputs() + sums) + size * (patches + 2 * values);
  const int64_t suitable = std::clamp<int64_t>(kWorkingBytes / row_bytes, kNetworkRows, kMostRows);
  rows_ = block_rows > 0 ? (block_rows + kNetworkRows - 1) / kNetworkRows * kNetworkRows
                         : suitable / kNetworkRows * kNetworkRows;
  if (rows_ * std::max({sums, patches, values, network.outputs()}) > std::numeric_limits<int32_t>::max())
    throw Error("a block of " + std::to_string(rows_) + " rows of a network is more than 2^31 values");
  const auto floats = [&](int64_t of_row) { return DeviceBuffer<float>(static_cast<size_t>(rows_ * of_row), stream_); };
  input_ = floats(network.inputs());
  output_ = floats(network.outputs());
  sums_ = floats(sums);
  for (DeviceBuffer<std::byte>& buffer : values_)
    buffer = DeviceBuffer<std::byte>(static_cast<size_t>(rows_ * values * size), stream_);
}

void NetworkOnDevice::run_layer(const Layer& layer, const void* x, Precision to, void* y, const int32_t* labels) {
  const auto rows = static_cast<int32_t>(rows_);
  const std::byte* weight = constants_.data() + layer.weight;
  switch (layer.kind) {
    case Kind::kDense:
      products_.multiply(precision_, Factor::kAsItIs, Factor::kTransposed, rows_, layer.outputs, layer.inputs, x,
                         weight, 0, sums_.data());
      finish_sums({sums_.data(), floats(layer.bias), layer.has_labels ? floats(layer.label_weight) : nullptr, labels, y,
                   rows, layer.outputs, layer.rectify},
                  to, stream_);
      break;
    case Kind::kConvolution:
    case Kind::kTransposed:
      convolutions_->forward(layer.convolution, x, weight, floats(layer.bias), rows_, to, y);
      break;
    case Kind::kMaxPool:
      pool_images({x, y, layer.map, rows}, to, stream_);
      break;
  }
}

void NetworkOnDevice::run(const int32_t* labels) {
  const void* x = input_.data();
  if (precision_ == Precision::kBfloat16) {
    round_values(input_.data(), static_cast<int64_t>(input_.size()), values_[0].data(), stream_);
    x = values_[0].data();
  }
  for (size_t i = 0; i < layers_.size(); ++i) {
    const bool is_last = i + 1 == layers_.size();
    void* y = is_last ? static_cast<void*>(output_.data()) : values_[(i + 1) % 2].data();
    run_layer(layers_[i], x, is_last ? Precision::kSingle : precision_, y, labels);
    x = y;
  }
}

// ---- from and to host memory

namespace {

class CudaNetwork : public PreparedNetwork {
 public:
  CudaNetwork(const TrainedNetwork& network, Precision precision, int64_t block_rows, int device)
      : device_(select_device(device)),
        inputs_(network.layers.empty() ? 0 : network.inputs()),
        outputs_(network.layers.empty() ? 0 : network.outputs()),
        has_labels_(network.has_labels()),
        stream_(make_stream()),
        network_(network, precision, block_rows, device, stream_.get()),
        x_(make_pinned<float>(static_cast<size_t>(network_.rows() * inputs_))),
        y_(make_pinned<float>(static_cast<size_t>(network_.rows() * outputs_))),
        labels_(make_pinned<int32_t>(static_cast<size_t>(network_.rows()))),
        device_labels_(static_cast<size_t>(network_.rows()), stream_.get()) {
    std::fill_n(x_.get(), network_.rows() * inputs_, 0.0f);  // rows past the end are computed, too
    std::fill_n(labels_.get(), network_.rows(), 0);
  }
  ~CudaNetwork() override {
    cudaSetDevice(device_);
    cudaStreamSynchronize(stream_.get());
  }

  void run(const float* x, const int32_t* labels, int64_t rows, float* y) override {
    CUDA_CHECK(cudaSetDevice(device_));
    for (int64_t first = 0; first < rows; first += network_.rows()) {
      const int64_t some = std::min(network_.rows(), rows - first);
      run_block(x + first * inputs_, labels + (has_labels_ ? first : 0), some, y + first * outputs_);
    }
  }

 private:
  void run_block(const float* x, const int32_t* labels, int64_t rows, float* y) {
    const auto bytes_of = [&](int64_t width) { return static_cast<size_t>(network_.rows() * width) * sizeof(float); };
    std::copy_n(x, rows * inputs_, x_.get());
    CUDA_CHECK(cudaMemcpyAsync(network_.input(), x_.get(), bytes_of(inputs_), cudaMemcpyHostToDevice, stream_.get()));
    if (has_labels_) {
      std::copy_n(labels, rows, labels_.get());
      CUDA_CHECK(
          cudaMemcpyAsync(device_labels_.data(), labels_.get(), bytes_of(1), cudaMemcpyHostToDevice, stream_.get()));
    }
    network_.run(device_labels_.data());
    CUDA_CHECK(cudaMemcpyAsync(y_.get(), network_.output(), bytes_of(outputs_), cudaMemcpyDeviceToHost, stream_.get()));
    CUDA_CHECK(cudaStreamSynchronize(stream_.get()));
    std::copy_n(y_.get(), rows * outputs_, y);
  }

  int device_;
  int64_t inputs_, outputs_;
  bool has_labels_;
  Stream stream_;
  NetworkOnDevice network_;
  PinnedBuffer<float> x_, y_;
  PinnedBuffer<int32_t> labels_;
  DeviceBuffer<int32_t> device_labels_;
};

}  // namespace

std::unique_ptr<PreparedNetwork> prepare_cuda_network(const TrainedNetwork& network, Precision precision,
                                                      int64_t block_rows, int device) {
  return std::make_unique<CudaNetwork>(network, precision, block_rows, device);
}

}  // namespace doppel::cuda
