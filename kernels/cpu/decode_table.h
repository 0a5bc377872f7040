// The CPU's table decoder from inside: tests and benchmarks choose the instruction set.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/cpu/sample_table.h"
#include "kernels/decoder.h"

namespace doppel {

// Weights in panels of kOutputs outputs that are computed together.
struct DensePanels {
  static constexpr int32_t kOutputs = 4;
  int32_t inputs = 0, outputs = 0;  // outputs padded to whole panels
  std::vector<float> weight;        // [outputs / kOutputs, inputs, kOutputs]
  std::vector<float> bias;          // [outputs]
};

struct PreparedDecoder {
  PreparedTable prior, table;  // of tiles of equally many rows
  std::vector<DensePanels> layers;
  std::vector<int32_t> states, bins;    // [variables], [axes]
  int32_t first_block = 0, blocks = 0;  // of a row's words for states and bins
  int32_t width = 0;                    // outputs of the widest layer, or latents
};

PreparedDecoder prepare_decoder(const TableDecoder& decoder);  // checks it, too

// Rows that go through the network together: two vectors.
inline constexpr int32_t kMostDecodedRows = 2 * kMostLanes;

struct DecoderScratch {
  explicit DecoderScratch(const PreparedDecoder& decoder);
  TileScratch prior, table;
  std::vector<float> words;            // [4 * blocks, tile rows], words by their bits
  std::vector<float> inputs, outputs;  // [width, kMostDecodedRows] of one layer
};

std::unique_ptr<PreparedTableSampler> prepare_table_decoder_on_cpu(const TableDecoder& decoder,
                                                                   const InstructionSet& instructions);

}  // namespace doppel
