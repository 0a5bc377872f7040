// The host's half of the CUDA table sampler.
#include "kernels/cuda/sample_table.h"

#include <algorithm>

#include "kernels/cuda/piecewise_sampler.h"
#include "kernels/cuda/table_constants.h"

namespace doppel::cuda {
namespace {

std::vector<GroupPlan> plan_groups(const TableSampler& sampler, std::vector<SampleColumn>& columns) {
  std::vector<GroupPlan> groups;
  for (size_t c = 0; c < columns.size(); ++c) {
    const ColumnSampler& column = sampler.columns[c];
    const int32_t latent = column.has_latent() ? column.latent : -1;
    const auto full = [&](const GroupPlan& group) {
      return group.latents.size() + group.missing(latent, column.missing_latent) > kGroupScores;
    };
    if (groups.empty() || full(groups.back())) groups.push_back({static_cast<int32_t>(c), 0, {}});
    GroupPlan& group = groups.back();
    ++group.columns;
    columns[c].score = group.score_of(latent);
    columns[c].missing_score = group.score_of(column.missing_latent);
  }
  return groups;
}

class CudaTableSampler : public PiecewiseSampler {
 public:
  CudaTableSampler(const TableSampler& sampler, int device, size_t buffer_bytes)
      : PiecewiseSampler(sampler.columns, device) {
    const PreparedTable table = prepare_table(sampler);
    Blob blob;
    std::vector<SampleColumn> columns = make_columns(blob, table);
    const ScoreTables scores = put_scores(blob, sampler, table, plan_groups(sampler, columns));
    const ColumnTables places = put_columns(blob, std::move(columns));
    constants_ = upload(blob, stream());
    scorer_ = make_scorer(scores, sampler, constants_.data(), multiprocessors(), stream());
    arguments_ = {scorer_.arguments, column_arguments(places, constants_.data())};
    const size_t tile_bytes = std::max<size_t>(padded_bytes(kTileRows), 1);
    make_pieces(static_cast<int64_t>(std::max<size_t>(buffer_bytes / tile_bytes, 1)));
  }

 private:
  void compute(uint64_t seed, uint64_t first_row, int64_t rows, std::byte* out) override {
    SampleArguments arguments = arguments_;
    arguments.scores.seed = seed;
    arguments.scores.first_row = first_row;
    arguments.scores.tiles = (rows + kTileRows - 1) / kTileRows;
    arguments.columns.rows = rows;
    arguments.columns.padded_rows = arguments.scores.tiles * kTileRows;
    arguments.columns.out = out;
    sample_table(arguments, scorer_.blocks, stream());
  }

  DeviceBuffer<std::byte> constants_;
  Scorer scorer_;
  SampleArguments arguments_{};
};

}  // namespace

std::unique_ptr<PreparedTableSampler> prepare_cuda_table_sampler(const TableSampler& sampler, int device,
                                                                 size_t buffer_bytes) {
  return std::make_unique<CudaTableSampler>(sampler, device, buffer_bytes);
}

}  // namespace doppel::cuda
