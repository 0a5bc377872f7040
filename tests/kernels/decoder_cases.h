// Table decoders for tests.
#pragma once

#include <cmath>
#include <random>
#include <vector>

#include "kernels/decoder.h"
#include "tests/kernels/sampler_cases.h"

namespace doppel {

inline DenseWeights random_layer(int32_t inputs, int32_t outputs, std::mt19937_64& random) {
  std::normal_distribution<float> normal;
  DenseWeights layer{inputs, outputs, {}, {}};
  const float scale = 2 / std::sqrt(static_cast<float>(inputs));
  for (int32_t i = 0; i < inputs * outputs; ++i) layer.weight.push_back(normal(random) * scale);
  for (int32_t i = 0; i < outputs; ++i) layer.bias.push_back(normal(random));
  return layer;
}

struct DecoderShape {
  int32_t latent = 5;
  std::vector<int32_t> hidden = {9, 17};
  int32_t variables = 3, axes = 4;
  int32_t more_bins = 6;  // each axis has so many more than the one before it; the first has one
};

inline TableDecoder random_decoder(const DecoderShape& shape, uint64_t seed) {
  std::mt19937_64 random(seed);
  TableDecoder decoder;
  decoder.prior =
      random_mixture({.members = 4, .latents = shape.latent, .components = shape.latent, .variables = 0}, seed);
  decoder.prior.columns.clear();
  decoder.table = random_mixture(
      {.members = 1, .latents = shape.axes, .components = 0, .variables = shape.variables, .levels = 1}, seed + 1);
  int32_t outputs = 0;
  for (const Emission& emission : decoder.table.emissions) outputs += emission.states;
  for (int32_t axis = 0; axis < shape.axes; ++axis) {
    decoder.bins.push_back(1 + shape.more_bins * axis);
    outputs += decoder.bins.back();
  }
  int32_t inputs = shape.latent;
  for (const int32_t width : shape.hidden) {
    decoder.layers.push_back(random_layer(inputs, width, random));
    inputs = width;
  }
  decoder.layers.push_back(random_layer(inputs, outputs, random));
  return decoder;
}

}  // namespace doppel
