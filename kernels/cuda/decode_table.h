// The CUDA table decoder from inside: what its kernels get. Backends use prepare_cuda_table_decoder.
//
// A piece of rows is on the device feature by feature, [features, padded rows]: neighbouring threads have neighbouring
// rows and read memory in whole lines. Padded rows: a multiple of kTileRows; what is computed of the rows past the last
// goes nowhere.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/cuda/sample_table.h"
#include "kernels/decoder.h"

namespace doppel::cuda {

// A block computes kDenseOutputs outputs of kDenseRows rows, or half as many outputs where no more are left; inputs
// come in chunks of kDenseDepth.
inline constexpr int kDenseRows = 128, kDenseOutputs = 128, kDenseHalf = kDenseOutputs / 2, kDenseDepth = 8;
static_assert(kTileRows % kDenseRows == 0 && kGroupScores == kDenseDepth);

struct DenseArguments {
  const float* weight;      // [inputs, outputs]
  const float* bias;        // [outputs]
  const float* x;           // [inputs, rows]
  float* y;                 // [outputs, rows]
  int32_t inputs, outputs;  // padded to kDenseDepth and kDenseHalf, with weights and biases of 0
  int64_t rows;             // padded
  bool rectify;
};

// A variable or an axis: a softmax of the logits from `first` on. Its outcome comes of word `word` of a row, an axis'
// place within its bin of the next one.
struct DrawGroup {
  int32_t first, outcomes;
  uint32_t word;
  float width;  // of an axis' bin; 0: a variable
};

struct DrawArguments {
  uint64_t seed, first_row;
  int64_t rows;          // padded
  uint32_t first_block;  // where words for outcomes begin
  int32_t groups;        // variables, then axes
  const DrawGroup* group;
  const float* logits;  // [outputs, rows]
  float* drawn;         // [groups, rows]: states by their bits, then scores
};

// decode_table.cu. Asynchronous, in this order.
//
// latents [8 groups, padded rows] of a mixture's scores; `blocks` of them share the tiles.
void draw_latents(const ScoreArguments& arguments, int blocks, float* latents, cudaStream_t stream);
void compute_dense(const DenseArguments& arguments, cudaStream_t stream);
void draw_outcomes(const DrawArguments& arguments, cudaStream_t stream);
// drawn: of DrawArguments, the first `variables` of which are states.
void write_drawn_columns(const ColumnArguments& arguments, int32_t columns, const float* drawn, int32_t variables,
                         cudaStream_t stream);

// Activations of a piece, at most: those of 33,792 rows of a network of 256, 256 and 700 outputs are 130 MB.
inline constexpr size_t kDecodeBufferBytes = size_t{192} << 20;

std::unique_ptr<PreparedTableSampler> prepare_cuda_table_decoder(const TableDecoder& decoder, int device,
                                                                 size_t buffer_bytes = kDecodeBufferBytes);

}  // namespace doppel::cuda
