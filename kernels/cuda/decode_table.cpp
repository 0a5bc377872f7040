// The host's half of the CUDA table decoder.
#include "kernels/cuda/decode_table.h"

#include <algorithm>
#include <vector>

#include "kernels/cuda/piecewise_sampler.h"
#include "kernels/cuda/table_constants.h"

namespace doppel::cuda {
namespace {

constexpr int kRowTilesPerMultiprocessor = 2;  // of kDenseRows: a layer of 256 outputs is two blocks for each of them

constexpr int32_t padded(int32_t size, int32_t to) {
  return (size + to - 1) / to * to;
}

// ---- constants

// A layer's weights in the upload, and its sizes.
struct LayerTables {
  size_t weight, bias;
  int32_t inputs, outputs;  // padded
};

LayerTables put_layer(Blob& blob, const DenseWeights& layer) {
  LayerTables tables{0, 0, padded(layer.inputs, kDenseDepth), padded(layer.outputs, kDenseHalf)};
  const auto outputs = static_cast<size_t>(tables.outputs);
  std::vector<float> weight(static_cast<size_t>(tables.inputs) * outputs), bias = layer.bias;
  const float* from = layer.weight.data();
  for (size_t o = 0; o < static_cast<size_t>(layer.outputs); ++o)
    for (size_t k = 0; k < static_cast<size_t>(layer.inputs); ++k) weight[k * outputs + o] = *from++;
  bias.resize(outputs);
  tables.weight = blob.put(weight);
  tables.bias = blob.put(bias);
  return tables;
}

std::vector<DrawGroup> plan_draws(const TableDecoder& decoder) {
  std::vector<DrawGroup> groups;
  int32_t first = 0;
  uint32_t word = 0;
  for (const Emission& emission : decoder.table.emissions) {
    groups.push_back({first, emission.states, word, 0});
    first += emission.states;
    ++word;
  }
  for (const int32_t bins : decoder.bins) {
    groups.push_back({first, bins, word, 2 * kScoreLimit / static_cast<float>(bins)});
    first += bins;
    word += 2;
  }
  return groups;
}

// ---- the decoder

class CudaTableDecoder : public PiecewiseSampler {
 public:
  CudaTableDecoder(const TableDecoder& decoder, int device, size_t buffer_bytes);

 private:
  void compute(uint64_t seed, uint64_t first_row, int64_t rows, std::byte* out) override;
  void make_buffers(int64_t rows) override;
  int64_t suitable_tiles(size_t buffer_bytes) const;

  DeviceBuffer<std::byte> constants_;
  Scorer prior_;
  std::vector<DenseArguments> layers_;  // but for the rows
  DrawArguments draws_{};
  ColumnArguments columns_{};
  int32_t variables_ = 0, column_count_ = 0;
  int32_t widest_[2] = {0, 0};   // numbers of a row in latents_ and hidden_
  DeviceBuffer<float> latents_;  // and every second layer's outputs, [widest, rows]
  DeviceBuffer<float> hidden_;   // the other layers', likewise
  DeviceBuffer<float> drawn_;    // [variables and axes, rows]
};

CudaTableDecoder::CudaTableDecoder(const TableDecoder& decoder, int device, size_t buffer_bytes)
    : PiecewiseSampler(decoder.table.columns, device) {
  check_table_decoder(decoder);
  const PreparedTable prior = prepare_table(decoder.prior);
  Blob blob;
  const ScoreTables scores = put_scores(blob, decoder.prior, prior, plan_latents(decoder.prior.latents));
  const ColumnTables columns = put_columns_of_latents(blob, decoder.table, prepare_table(decoder.table));
  std::vector<LayerTables> layers;
  for (const DenseWeights& layer : decoder.layers) layers.push_back(put_layer(blob, layer));
  const size_t draws = blob.put(plan_draws(decoder));
  constants_ = upload(blob, stream());
  std::byte* uploaded = constants_.data();

  prior_ = make_scorer(scores, decoder.prior, uploaded, multiprocessors(), stream());
  columns_ = column_arguments(columns, uploaded);
  for (const LayerTables& layer : layers)
    layers_.push_back({reinterpret_cast<const float*>(uploaded + layer.weight),
                       reinterpret_cast<const float*>(uploaded + layer.bias), nullptr, nullptr, layer.inputs,
                       layer.outputs, 0, &layer != &layers.back()});
  draws_.first_block = static_cast<uint32_t>(prior.blocks + prior.word_blocks());
  draws_.group = reinterpret_cast<const DrawGroup*>(uploaded + draws);
  variables_ = static_cast<int32_t>(decoder.table.emissions.size());
  draws_.groups = variables_ + static_cast<int32_t>(decoder.bins.size());
  column_count_ = static_cast<int32_t>(decoder.table.columns.size());
  widest_[0] = padded(decoder.prior.latents, kGroupScores);
  for (size_t i = 0; i < layers_.size(); ++i) widest_[(i + 1) % 2] = std::max(widest_[(i + 1) % 2], layers_[i].outputs);
  make_pieces(suitable_tiles(buffer_bytes));
}

// Pieces fill the device, but their activations take no more than `buffer_bytes`, and their columns no more than a
// table sampler's.
int64_t CudaTableDecoder::suitable_tiles(size_t buffer_bytes) const {
  const size_t row_floats =
      static_cast<size_t>(widest_[0]) + static_cast<size_t>(widest_[1]) + static_cast<size_t>(draws_.groups);
  const auto filling = static_cast<size_t>(multiprocessors()) * kRowTilesPerMultiprocessor * kDenseRows / kTileRows;
  const size_t affordable = buffer_bytes / (row_floats * sizeof(float) * kTileRows);
  const size_t copied = kSampleBufferBytes / std::max<size_t>(padded_bytes(kTileRows), 1);
  return static_cast<int64_t>(std::max<size_t>(std::min({filling, affordable, copied}), 1));
}

void CudaTableDecoder::make_buffers(int64_t rows) {
  for (DeviceBuffer<float>* buffer : {&latents_, &hidden_, &drawn_}) *buffer = {};
  const auto floats = [&](int32_t of_row) {
    return DeviceBuffer<float>(static_cast<size_t>(of_row) * static_cast<size_t>(rows), stream());
  };
  latents_ = floats(widest_[0]);
  hidden_ = floats(widest_[1]);
  drawn_ = floats(draws_.groups);
  for (size_t i = 0; i < layers_.size(); ++i) {
    layers_[i].x = (i % 2 == 0 ? latents_ : hidden_).data();
    layers_[i].y = (i % 2 == 0 ? hidden_ : latents_).data();
  }
  draws_.logits = layers_.back().y;
  draws_.drawn = drawn_.data();
}

void CudaTableDecoder::compute(uint64_t seed, uint64_t first_row, int64_t rows, std::byte* out) {
  const int64_t tiles = (rows + kTileRows - 1) / kTileRows, padded_rows = tiles * kTileRows;
  ScoreArguments scores = prior_.arguments;
  scores.seed = seed;
  scores.first_row = first_row;
  scores.tiles = tiles;
  draw_latents(scores, prior_.blocks, latents_.data(), stream());
  for (DenseArguments layer : layers_) {
    layer.rows = padded_rows;
    compute_dense(layer, stream());
  }
  DrawArguments draws = draws_;
  draws.seed = seed;
  draws.first_row = first_row;
  draws.rows = padded_rows;
  draw_outcomes(draws, stream());
  ColumnArguments columns = columns_;
  columns.rows = rows;
  columns.padded_rows = padded_rows;
  columns.out = out;
  write_drawn_columns(columns, column_count_, drawn_.data(), variables_, stream());
}

}  // namespace

std::unique_ptr<PreparedTableSampler> prepare_cuda_table_decoder(const TableDecoder& decoder, int device,
                                                                 size_t buffer_bytes) {
  return std::make_unique<CudaTableDecoder>(decoder, device, buffer_bytes);
}

}  // namespace doppel::cuda
