#include <algorithm>
#include <cmath>

#include "kernels/common/error.h"
#include "kernels/cpu/decode_table.h"

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

DensePanels make_panels(const DenseWeights& layer) {
  constexpr int32_t kOutputs = DensePanels::kOutputs;
  DensePanels panels;
  panels.inputs = layer.inputs;
  panels.outputs = (layer.outputs + kOutputs - 1) / kOutputs * kOutputs;
  panels.bias = layer.bias;
  panels.bias.resize(static_cast<size_t>(panels.outputs));
  for (int32_t first = 0; first < panels.outputs; first += kOutputs)
    for (int32_t k = 0; k < layer.inputs; ++k)
      for (int32_t o = first; o < first + kOutputs; ++o)
        panels.weight.push_back(
            o < layer.outputs
                ? layer.weight[static_cast<size_t>(o) * static_cast<size_t>(layer.inputs) + static_cast<size_t>(k)]
                : 0);
  return panels;
}

class CpuTableDecoder : public PreparedTableSampler {
 public:
  CpuTableDecoder(const TableDecoder& decoder, const InstructionSet& instructions)
      : decoder_(prepare_decoder(decoder)), scratch_(decoder_), decode_(instructions.decode) {}

  void sample(uint64_t seed, uint64_t first_row, int64_t rows, std::span<const ColumnBuffer> columns) override {
    check_buffers(decoder_.table.columns, columns, rows);
    decode_(decoder_, scratch_, seed, first_row, rows, columns);
  }

 private:
  PreparedDecoder decoder_;
  DecoderScratch scratch_;
  decltype(InstructionSet::decode) decode_;
};

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

PreparedDecoder prepare_decoder(const TableDecoder& decoder) {
  check_table_decoder(decoder);
  PreparedDecoder prepared;
  prepared.prior = prepare_table(decoder.prior);
  prepared.table = prepare_table(decoder.table);
  prepared.table.tile_rows = prepared.prior.tile_rows;
  for (const Emission& emission : decoder.table.emissions) prepared.states.push_back(emission.states);
  prepared.bins = decoder.bins;
  prepared.first_block = prepared.prior.blocks + prepared.prior.word_blocks();
  prepared.blocks = static_cast<int32_t>((prepared.states.size() + 2 * prepared.bins.size() + 3) / 4);
  prepared.width = decoder.prior.latents;
  for (const DenseWeights& layer : decoder.layers) {
    prepared.layers.push_back(make_panels(layer));
    prepared.width = std::max(prepared.width, prepared.layers.back().outputs);
  }
  return prepared;
}

DecoderScratch::DecoderScratch(const PreparedDecoder& decoder)
    : prior(decoder.prior),
      table(decoder.table),
      words(4 * static_cast<size_t>(decoder.blocks) * static_cast<size_t>(decoder.table.tile_rows)),
      inputs(static_cast<size_t>(decoder.width) * kMostDecodedRows),
      outputs(inputs.size()) {}

std::unique_ptr<PreparedTableSampler> prepare_table_decoder_on_cpu(const TableDecoder& decoder,
                                                                   const InstructionSet& instructions) {
  return std::make_unique<CpuTableDecoder>(decoder, instructions);
}

std::unique_ptr<PreparedTableSampler> prepare_table_decoder_on_cpu(const TableDecoder& decoder) {
  return prepare_table_decoder_on_cpu(decoder, instruction_sets().front());
}

}  // namespace doppel
