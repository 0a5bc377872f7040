// Networks with random weights, what they give by the definition, and image samplers of them.
#pragma once

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/image_sampler.h"

namespace doppel {

inline std::vector<float> random_normals(int64_t count, double deviation, std::mt19937_64& random) {
  std::normal_distribution<double> normal(0, deviation);
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = static_cast<float>(normal(random));
  return values;
}

inline TrainedLayer random_dense(int64_t inputs, int64_t outputs, bool rectified, int64_t labels, uint64_t seed) {
  std::mt19937_64 random(seed);
  TrainedLayer layer{TrainedLayer::Kind::kDense, {}, inputs, outputs, rectified, {}, {}, {}};
  layer.weight = random_normals(inputs * outputs, std::sqrt(2.0 / static_cast<double>(inputs)), random);
  layer.bias = random_normals(outputs, 0.3, random);
  layer.label_weight = random_normals(labels * outputs, 0.7, random);
  return layer;
}

inline TrainedLayer random_image_layer(TrainedLayer::Kind kind, const ConvShape& s, bool rectified, uint64_t seed) {
  std::mt19937_64 random(seed);
  const bool is_transposed = kind == TrainedLayer::Kind::kTransposed;
  TrainedLayer layer{kind, s, s.input_size(), s.output_size(), rectified, {}, {}, {}};
  if (is_transposed) std::swap(layer.inputs, layer.outputs);
  if (kind == TrainedLayer::Kind::kMaxPool) return layer;
  const double sums = is_transposed
                          ? static_cast<double>(s.outputs * s.taps()) / static_cast<double>(s.stride * s.stride)
                          : static_cast<double>(s.inputs * s.taps());
  layer.weight = random_normals(s.weights(), std::sqrt(2 / sums), random);
  layer.bias = random_normals(is_transposed ? s.inputs : s.outputs, 0.3, random);
  return layer;
}

inline TrainedLayer max_pool(int64_t channels, int64_t height, int64_t width, int64_t size) {
  return random_image_layer(TrainedLayer::Kind::kMaxPool, {channels, channels, height, width, size, size, 0}, false, 0);
}

// One row of one layer in double, by the definition.
inline std::vector<double> run_layer(const TrainedLayer& layer, const std::vector<double>& x, int32_t label) {
  std::vector<double> y(static_cast<size_t>(layer.outputs), layer.kind == TrainedLayer::Kind::kMaxPool ? -INFINITY : 0);
  const auto at = [](int64_t i) { return static_cast<size_t>(i); };
  const ConvShape& s = layer.shape;
  if (layer.kind == TrainedLayer::Kind::kDense) {
    for (int64_t o = 0; o < layer.outputs; ++o) {
      for (int64_t i = 0; i < layer.inputs; ++i) y[at(o)] += layer.weight[at(o * layer.inputs + i)] * x[at(i)];
      y[at(o)] += layer.bias[at(o)];
      if (!layer.label_weight.empty()) y[at(o)] += layer.label_weight[at(label * layer.outputs + o)];
    }
  } else {
    for (int64_t oy = 0; oy < s.output_height(); ++oy)
      for (int64_t ox = 0; ox < s.output_width(); ++ox)
        for (int64_t ky = 0; ky < s.kernel; ++ky)
          for (int64_t kx = 0; kx < s.kernel; ++kx) {
            const int64_t iy = oy * s.stride + ky - s.padding, ix = ox * s.stride + kx - s.padding;
            if (iy < 0 || iy >= s.height || ix < 0 || ix >= s.width) continue;
            const int64_t small = (oy * s.output_width() + ox) * s.outputs, large = (iy * s.width + ix) * s.inputs;
            for (int64_t o = 0; o < s.outputs; ++o) {
              if (layer.kind == TrainedLayer::Kind::kMaxPool) {
                y[at(small + o)] = std::max(y[at(small + o)], x[at(large + o)]);
                continue;
              }
              for (int64_t i = 0; i < s.inputs; ++i) {
                const double weight = layer.weight[at(((o * s.inputs + i) * s.kernel + ky) * s.kernel + kx)];
                if (layer.kind == TrainedLayer::Kind::kConvolution)
                  y[at(small + o)] += weight * x[at(large + i)];
                else
                  y[at(large + i)] += weight * x[at(small + o)];
              }
            }
          }
    if (layer.kind != TrainedLayer::Kind::kMaxPool)
      for (size_t i = 0; i < y.size(); ++i) y[i] += layer.bias[i % layer.bias.size()];
  }
  if (layer.rectified)
    for (double& value : y) value = std::max(value, 0.0);
  return y;
}

inline std::vector<double> run_layers(const TrainedNetwork& network, const float* x, const int32_t* labels,
                                      int64_t rows) {
  std::vector<double> all;
  for (int64_t row = 0; row < rows; ++row) {
    std::vector<double> values(x + row * network.inputs(), x + (row + 1) * network.inputs());
    for (const TrainedLayer& layer : network.layers) values = run_layer(layer, values, labels[row]);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

// Root mean square of the differences over that of `expected`.
inline double relative_error(const std::vector<float>& values, const std::vector<double>& expected) {
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - expected[i], 2);
    size += expected[i] * expected[i];
  }
  return std::sqrt(error / size);
}

// A sampler of images of 3 labels, `members` Gaussians each, on a decoder.
inline ImageSampler random_image_sampler(const TrainedNetwork& decoder, PixelLikelihood likelihood, int64_t labels,
                                         int64_t members, uint64_t seed) {
  std::mt19937_64 random(seed);
  ImageSampler sampler;
  sampler.decoder = decoder;
  sampler.likelihood = likelihood;
  const int64_t latent = decoder.inputs();
  sampler.members.latent = latent;
  sampler.members.first = {0};
  for (int64_t label = 0; label < labels; ++label) {
    sampler.label_weights.push_back(static_cast<double>(label % 3 + 1));
    for (int64_t m = 0; m < members; ++m) sampler.members.weight.push_back(1 / static_cast<double>(members));
    sampler.members.first.push_back(static_cast<int64_t>(sampler.members.weight.size()));
  }
  const int64_t all = labels * members;
  sampler.members.mean = random_normals(all * latent, 1, random);
  sampler.members.factor = random_normals(all * latent * latent, 0.5, random);
  for (int64_t m = 0; m < all; ++m)
    for (int64_t i = 0; i < latent; ++i)
      for (int64_t k = i + 1; k < latent; ++k)
        sampler.members.factor[static_cast<size_t>((m * latent + i) * latent + k)] = 0;
  return sampler;
}

// Of every label its own.
inline std::shared_ptr<const ImageTexture> random_texture(int64_t levels, int64_t directions, int64_t labels,
                                                          uint64_t seed) {
  std::mt19937_64 random(seed);
  ImageTexture texture{levels, directions, {}, {}, {}};
  for (int64_t i = 0; i < labels * ImageTexture::kMeans; ++i)
    texture.spread.push_back(static_cast<float>(5 + i / 16 % 16));
  texture.factor =
      random_normals(labels * directions * levels, 1 / std::sqrt(static_cast<double>(directions)), random);
  for (int64_t i = 0; i < labels * levels; ++i) texture.noise.push_back(static_cast<float>(i % 7) / 8);
  return std::make_shared<const ImageTexture>(std::move(texture));
}

}  // namespace doppel
