#include "kernels/cuda/convolutions.h"

#include <algorithm>

namespace doppel::cuda {
namespace {

using Kind = TrainedLayer::Kind;

// Algorithms with tables of where each output's inputs lie, which are the fast ones, want some megabytes.
constexpr int64_t kLeastCudnnBytes = int64_t{8} << 20;

int32_t narrow(int64_t size) {
  return static_cast<int32_t>(size);
}

const void* at(const void* values, int64_t place, Precision precision) {
  return static_cast<const std::byte*>(values) + place * value_bytes(precision);
}
void* at(void* values, int64_t place, Precision precision) {
  return static_cast<std::byte*>(values) + place * value_bytes(precision);
}

}  // namespace

Convolutions::Convolutions(std::span<const TrainedLayer* const> layers, Precision precision, int64_t rows,
                           int64_t patch_bytes, Products& products, cudaStream_t stream)
    : precision_(precision), patch_bytes_(patch_bytes), products_(products), stream_(stream) {
  std::vector<ConvShape> shapes;
  int64_t patches = 0, sums = 0;
  for (const TrainedLayer* described : layers) {
    shapes.push_back(described->shape);
    layers_.push_back({map_of(described->shape), described->kind == Kind::kTransposed, described->rectified});
    const Layer& layer = layers_.back();
    const int64_t piece = std::min(rows, rows_at_a_time(layer));
    patches = std::max(patches, piece * layer.patch_bytes());
    if (precision != Precision::kSingle && !layer.is_transposed) sums = std::max(sums, piece * layer.sums());
  }
  if (precision == Precision::kSingle && !shapes.empty()) cudnn_ = make_cudnn(shapes, stream);
  if (cudnn_) patches = std::max(patches, std::min(patch_bytes, kLeastCudnnBytes));
  patches_ = DeviceBuffer<std::byte>(static_cast<size_t>(patches), stream);
  sums_ = DeviceBuffer<float>(static_cast<size_t>(sums), stream);
  if (cudnn_) cudnn_->set_workspace(patches_.data(), patches_.size());
}

int64_t Convolutions::rows_at_a_time(const Layer& layer) const {
  return std::max(patch_bytes_ / layer.patch_bytes() / kNetworkRows * kNetworkRows, kNetworkRows);
}

// Calls take(first, rows) for rows whose patches fit their buffer.
template <class Take>
void Convolutions::for_each_piece(const Layer& layer, int64_t rows, const Take& take) const {
  const int64_t most = rows_at_a_time(layer);
  for (int64_t first = 0; first < rows; first += most) take(first, std::min(most, rows - first));
}

// By cuDNN values are floats (the constructor).
void Convolutions::forward(size_t number, const void* x, const void* weight, const float* bias, int64_t rows,
                           Precision to, void* y) {
  const Layer& layer = layers_[number];
  if (convolve_by_cudnn(number, layer.is_transposed, static_cast<const float*>(x), static_cast<const float*>(weight),
                        rows, static_cast<float*>(y))) {
    const int64_t channels = layer.is_transposed ? layer.map.inputs : layer.map.outputs,
                  values = layer.is_transposed ? layer.image() : layer.sums();
    finish_sums({static_cast<const float*>(y), bias, nullptr, nullptr, y, narrow(rows * values / channels),
                 narrow(channels), layer.rectify},
                to, stream_);
  } else if (layer.is_transposed) {
    transpose_patches(layer, x, weight, bias, layer.rectify, rows, to, y);
  } else {
    convolve_patches(layer, x, weight, bias, rows, to, y);
  }
}

bool Convolutions::convolve_by_cudnn(size_t number, bool transposed, const float* x, const float* weight, int64_t rows,
                                     float* y) {
  return cudnn_ && (transposed ? cudnn_->find_image_gradient(number, x, weight, rows, y)
                               : cudnn_->forward(number, x, weight, rows, y));
}

// Calls take(first, rows) with their patches in patches_.
template <class Take>
void Convolutions::for_patches(const Layer& layer, const void* images, int64_t rows, const Take& take) const {
  for_each_piece(layer, rows, [&](int64_t first, int64_t some) {
    gather_patches({at(images, first * layer.image(), precision_), patches_.data(), layer.map, narrow(some)},
                   precision_, stream_);
    take(first, some);
  });
}

void Convolutions::multiply_patches(const Layer& layer, const void* weight, int64_t rows, float* sums) {
  products_.multiply(precision_, Factor::kAsItIs, Factor::kTransposed, rows * layer.pixels(), layer.map.outputs,
                     layer.patch(), patches_.data(), weight, 0, sums);
}

void Convolutions::convolve_patches(const Layer& layer, const void* images, const void* weight, const float* bias,
                                    int64_t rows, Precision to, void* y) {
  for_patches(layer, images, rows, [&](int64_t first, int64_t some) {
    void* values = at(y, first * layer.sums(), to);
    float* sums = precision_ == Precision::kSingle ? static_cast<float*>(values) : sums_.data();
    multiply_patches(layer, weight, some, sums);
    finish_sums({sums, bias, nullptr, nullptr, values, narrow(some * layer.pixels()), layer.map.outputs, layer.rectify},
                to, stream_);
  });
}

void Convolutions::transpose_patches(const Layer& layer, const void* x, const void* weight, const float* bias,
                                     bool rectify, int64_t rows, Precision to, void* images) {
  auto* taps = reinterpret_cast<float*>(patches_.data());
  for_each_piece(layer, rows, [&](int64_t first, int64_t some) {
    products_.multiply(precision_, Factor::kAsItIs, Factor::kAsItIs, some * layer.pixels(), layer.patch(),
                       layer.map.outputs, at(x, first * layer.sums(), precision_), weight, 0, taps);
    sum_taps({taps, bias, at(images, first * layer.image(), to), layer.map, narrow(some), rectify}, to, stream_);
  });
}

void Convolutions::backward(size_t number, const float* x, const float* gradient, const float* weight, int64_t rows,
                            float* weight_gradient, float* x_gradient) {
  const Layer& layer = layers_[number];
  const float *images = layer.is_transposed ? gradient : x, *sums = layer.is_transposed ? x : gradient;
  const bool wants_weight = !cudnn_ || !cudnn_->find_weight_gradient(number, images, sums, rows, weight_gradient);
  const bool wants_x =
      x_gradient != nullptr && !convolve_by_cudnn(number, !layer.is_transposed, gradient, weight, rows, x_gradient);
  if (wants_weight || (wants_x && layer.is_transposed))
    for_patches(layer, images, rows, [&](int64_t first, int64_t some) {
      const int64_t place = first * layer.sums();
      if (wants_weight)
        products_.multiply(precision_, Factor::kTransposed, Factor::kAsItIs, layer.map.outputs, layer.patch(),
                           some * layer.pixels(), sums + place, patches_.data(), first > 0 ? 1.0f : 0.0f,
                           weight_gradient);
      if (wants_x && layer.is_transposed) multiply_patches(layer, weight, some, x_gradient + place);
    });
  if (wants_x && !layer.is_transposed)
    transpose_patches(layer, gradient, weight, nullptr, false, rows, precision_, x_gradient);
}

}  // namespace doppel::cuda
