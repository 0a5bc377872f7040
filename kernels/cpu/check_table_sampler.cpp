#include <string>

#include "kernels/common/error.h"
#include "kernels/table.h"

namespace doppel {
namespace {

void require(bool holds, size_t column, const char* what) {
  if (!holds) throw Error("table sampler: column " + std::to_string(column) + ": " + what);
}

void check_segments(const ColumnSampler& column, size_t index) {
  const size_t segments = column.lower.size();
  require(segments >= 1, index, "no segments");
  require(column.lower[0] == -kScoreLimit, index, "the first segment does not start at the score limit");
  for (size_t s = 1; s < segments; ++s) require(column.lower[s] > column.lower[s - 1], index, "segments are not ascending");
  if (column.storage == Storage::kInt32 || column.storage == Storage::kInt64) {
    require(column.base.size() == segments && column.width.size() == segments && column.scale.size() == segments, index,
            "integer segment tables of different lengths");
    for (int64_t width : column.width) require(width >= 1, index, "a segment of no width");
  } else {
    require(column.real_base.size() == segments && column.real_top.size() == segments && column.real_slope.size() == segments,
            index, "real segment tables of different lengths");
  }
}

}  // namespace

void check_table_sampler(const TableSampler& sampler) {
  const auto latents = static_cast<size_t>(sampler.latents);
  if (sampler.latents < 0 || sampler.components < 0 || sampler.residual.size() != latents ||
      sampler.factor.size() != latents * static_cast<size_t>(sampler.components)) {
    throw Error("table sampler: factor or residual of the wrong size");
  }
  for (size_t c = 0; c < sampler.columns.size(); ++c) {
    const ColumnSampler& column = sampler.columns[c];
    require(column.latent >= 0 && column.latent < sampler.latents, c, "latent out of range");
    require(column.missing_latent >= -1 && column.missing_latent < sampler.latents, c, "missing latent out of range");
    if (column.transform == Transform::kSegments) check_segments(column, c);
  }
}

}  // namespace doppel
