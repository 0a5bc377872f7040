// The host's half of the CUDA sampler of bounded rows.
#include "kernels/cuda/bounded_sampler.h"

#include <algorithm>

#include "kernels/cpu/bounded_sampler.h"
#include "kernels/cuda/decode_table.h"
#include "kernels/cuda/piecewise_sampler.h"
#include "kernels/cuda/table_constants.h"

namespace doppel::cuda {
namespace {

constexpr int kBlocksPerMultiprocessor = 32;
constexpr size_t kScratchBytes = size_t{16} << 20;  // at most: stays in the L2 cache of a large device

class CudaBoundedSampler : public PiecewiseSampler {
 public:
  CudaBoundedSampler(const BoundedSampler& sampler, int device, size_t buffer_bytes)
      : PiecewiseSampler(sampler.table.columns, device) {
    const BoundedRecords records = make_bounded_records(sampler);
    const TableSampler& table = sampler.table;
    const PreparedTable prepared = prepare_table(table);
    Blob blob;
    const ScoreTables scores = put_scores(blob, table, prepared, plan_latents(table.latents));
    const ColumnTables columns = put_columns_of_latents(blob, table, prepared);
    const size_t cells = blob.put(records.cells), bounds = blob.put(records.bounds), weight = blob.put(records.weight),
                 outcomes = blob.put(records.outcomes);
    constants_ = upload(blob, stream());
    std::byte* uploaded = constants_.data();

    columns_ = column_arguments(columns, uploaded);
    column_count_ = static_cast<int32_t>(table.columns.size());
    arguments_.cells = records.numbers;
    arguments_.cells.cell = reinterpret_cast<const CellRecord*>(uploaded + cells);
    arguments_.cells.bound = reinterpret_cast<const BoundRecord*>(uploaded + bounds);
    arguments_.cells.weight = reinterpret_cast<const double*>(uploaded + weight);
    arguments_.cells.outcome = reinterpret_cast<const CellOutcome*>(uploaded + outcomes);
    arguments_.scores = score_arguments(scores, table, uploaded);
    arguments_.scores.mixture.first_word_block = records.numbers.words;
    arguments_.scores.mixture.word_blocks = records.numbers.further - records.numbers.words;
    arguments_.latents = table.latents;
    arguments_.most_bounds = records.most_bounds;
    blocks_ = multiprocessors() * kBlocksPerMultiprocessor;
    const size_t bytes = bounded_scratch_bytes(table.components, records.most_bounds);
    if (bytes > kSharedBytes) {
      blocks_ = static_cast<int>(std::clamp<size_t>(kScratchBytes / bytes, 1, static_cast<size_t>(blocks_)));
      scratch_ = DeviceBuffer<std::byte>(static_cast<size_t>(blocks_) * bytes, stream());
    }
    make_pieces(static_cast<int64_t>(std::max<size_t>(buffer_bytes / std::max<size_t>(padded_bytes(kTileRows), 1), 1)));
  }

 private:
  void make_buffers(int64_t rows) override {
    drawn_ = {};
    const auto numbers = static_cast<size_t>(arguments_.scores.mixture.variables + arguments_.latents);
    drawn_ = DeviceBuffer<float>(numbers * static_cast<size_t>(rows), stream());
    arguments_.drawn = drawn_.data();
  }

  void compute(uint64_t seed, uint64_t first_row, int64_t rows, std::byte* out) override {
    BoundedArguments arguments = arguments_;
    arguments.scores.seed = seed;
    arguments.scores.first_row = first_row;
    arguments.padded_rows = (rows + kTileRows - 1) / kTileRows * kTileRows;
    draw_bounded_rows(arguments, blocks_, scratch_.data(), stream());
    ColumnArguments columns = columns_;
    columns.rows = rows;
    columns.padded_rows = arguments.padded_rows;
    columns.out = out;
    write_drawn_columns(columns, column_count_, drawn_.data(), arguments_.scores.mixture.variables, stream());
  }

  DeviceBuffer<std::byte> constants_, scratch_;
  BoundedArguments arguments_{};
  ColumnArguments columns_{};
  int32_t column_count_ = 0;
  int blocks_ = 0;
  DeviceBuffer<float> drawn_;  // [variables + latents, rows]
};

}  // namespace

std::unique_ptr<PreparedTableSampler> prepare_cuda_bounded_sampler(const BoundedSampler& sampler, int device,
                                                                   size_t buffer_bytes) {
  return std::make_unique<CudaBoundedSampler>(sampler, device, buffer_bytes);
}

}  // namespace doppel::cuda
