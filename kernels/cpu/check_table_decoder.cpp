#include <algorithm>
#include <cmath>
#include <string>

#include "kernels/common/error.h"
#include "kernels/decoder.h"

namespace doppel {
namespace {

constexpr double kLargest = 0x1p100;  // of any activation: sums of floats then never overflow

[[noreturn]] void fail(const std::string& what) {
  throw Error("table decoder: " + what);
}

double largest(const std::vector<float>& values) {
  double most = 0;
  for (const float value : values) {
    if (!std::isfinite(value)) fail("a weight that is not finite");
    most = std::max(most, std::abs(static_cast<double>(value)));
  }
  return most;
}

// No normal is larger.
constexpr double kLargestNormal = 7;

double largest_latent(const TableSampler& prior) {
  return largest(prior.mean) + (largest(prior.factor) * prior.components + largest(prior.residual)) * kLargestNormal;
}

int64_t count_outputs(const TableDecoder& decoder) {
  int64_t outputs = 0;
  for (const Emission& emission : decoder.table.emissions) outputs += emission.states;
  for (const int32_t bins : decoder.bins) outputs += bins;
  return outputs;
}

}  // namespace

void check_table_decoder(const TableDecoder& decoder) {
  check_table_sampler(decoder.prior);
  check_table_sampler(decoder.table);
  if (!decoder.prior.is_mixture() || !decoder.table.is_mixture()) fail("no mixture");
  if (!decoder.prior.columns.empty() || !decoder.prior.emissions.empty()) fail("a prior with columns or variables");
  if (static_cast<int64_t>(decoder.bins.size()) != decoder.table.latents) fail("bins of the wrong number");
  for (const int32_t bins : decoder.bins)
    if (bins < 1) fail("an axis without bins");
  if (decoder.layers.empty()) fail("no layers");
  int64_t inputs = decoder.prior.latents;
  double most = largest_latent(decoder.prior);
  for (const DenseWeights& layer : decoder.layers) {
    if (layer.inputs != inputs || layer.outputs < 1 || layer.bias.size() != static_cast<size_t>(layer.outputs) ||
        layer.weight.size() != static_cast<size_t>(layer.inputs) * static_cast<size_t>(layer.outputs))
      fail("layers that do not fit each other");
    most = most * largest(layer.weight) * layer.inputs + largest(layer.bias);
    if (!(most < kLargest)) fail("weights so large that its sums could overflow");
    inputs = layer.outputs;
  }
  if (inputs != count_outputs(decoder)) fail("other outputs than there are states and bins");
}

}  // namespace doppel
