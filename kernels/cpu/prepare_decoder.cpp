#include <algorithm>

#include "kernels/cpu/decode_table.h"

namespace doppel {
namespace {

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

}  // namespace doppel
