#include <cmath>
#include <limits>
#include <string>

#include "kernels/common/error.h"
#include "kernels/table.h"

namespace doppel {
namespace {

void require(bool holds, size_t column, const char* what) {
  if (!holds) throw Error("table sampler: column " + std::to_string(column) + ": " + what);
}

bool finite_in(double value, Storage storage) {
  return storage == Storage::kInt32 || storage == Storage::kFloat32 ? std::isfinite(static_cast<float>(value))
                                                                    : std::isfinite(value);
}

void check_integers(const ColumnSampler& column, size_t index) {
  const size_t segments = column.lower.size();
  require(column.base.size() == segments && column.width.size() == segments && column.scale.size() == segments, index,
          "integer segment tables of different lengths");
  const bool narrow = column.storage == Storage::kInt32;
  const int64_t widest = int64_t{1} << (narrow ? 24 : 53);
  const int64_t lowest = narrow ? std::numeric_limits<int32_t>::min() : std::numeric_limits<int64_t>::min();
  const int64_t highest = narrow ? std::numeric_limits<int32_t>::max() : std::numeric_limits<int64_t>::max();
  for (size_t s = 0; s < segments; ++s) {
    require(column.width[s] >= 1 && column.width[s] <= widest, index, "a segment's width is out of range");
    require(column.base[s] >= lowest && column.base[s] <= highest - (column.width[s] - 1), index,
            "a segment's values do not fit its storage");
    require(column.scale[s] >= 0 && finite_in(column.scale[s], column.storage), index,
            "a segment's scale is out of range");
  }
}

void check_reals(const ColumnSampler& column, size_t index) {
  const size_t segments = column.lower.size();
  require(
      column.real_base.size() == segments && column.real_top.size() == segments && column.real_slope.size() == segments,
      index, "real segment tables of different lengths");
  for (size_t s = 0; s < segments; ++s) {
    require(finite_in(column.real_base[s], column.storage) && finite_in(column.real_top[s], column.storage) &&
                finite_in(column.real_slope[s], column.storage),
            index, "a segment's values do not fit its storage");
    require(column.real_base[s] <= column.real_top[s], index, "a segment ends below its start");
  }
}

void check_segments(const ColumnSampler& column, size_t index) {
  const size_t segments = column.lower.size();
  require(segments >= 1 && segments < (size_t{1} << 30), index, "no segments, or too many");
  require(column.lower[0] == -kScoreLimit, index, "the first segment does not start at the score limit");
  for (size_t s = 1; s < segments; ++s)
    require(column.lower[s] > column.lower[s - 1], index, "segments are not ascending");
  require(column.lower.back() <= kScoreLimit, index, "a segment starts beyond the score limit");
  if (is_integer(column.storage)) {
    check_integers(column, index);
  } else {
    check_reals(column, index);
  }
}

void check_linear(const ColumnSampler& column, size_t index) {
  for (double number : {column.mean, column.deviation, column.minimum, column.maximum})
    require(finite_in(number, column.storage == Storage::kFloat32 ? Storage::kFloat32 : Storage::kFloat64), index,
            "a linear transform that is not finite");
  require(column.minimum <= column.maximum, index, "the maximum is below the minimum");
  double limit = std::numeric_limits<double>::max();
  if (column.storage == Storage::kInt32) limit = std::numeric_limits<int32_t>::max();
  if (column.storage == Storage::kInt64) limit = 0x1p53;
  require(column.minimum >= -limit - (column.storage == Storage::kInt32 ? 1 : 0) && column.maximum <= limit, index,
          "bounds that do not fit the storage");
}

void check_weights(const std::vector<float>& weights, const char* name) {
  for (float weight : weights)
    if (!(std::abs(weight) <= 0x1p64f)) throw Error(std::string("table sampler: ") + name + " out of range");
}

}  // namespace

void check_table_sampler(const TableSampler& sampler) {
  const auto latents = static_cast<size_t>(sampler.latents);
  if (sampler.latents < 0 || sampler.components < 0 || sampler.residual.size() != latents ||
      sampler.factor.size() != latents * static_cast<size_t>(sampler.components)) {
    throw Error("table sampler: factor or residual of the wrong size");
  }
  check_weights(sampler.factor, "a factor");
  check_weights(sampler.residual, "a residual");
  for (float residual : sampler.residual)
    if (residual < 0) throw Error("table sampler: a negative residual");
  for (size_t c = 0; c < sampler.columns.size(); ++c) {
    const ColumnSampler& column = sampler.columns[c];
    require(column.latent >= 0 && column.latent < sampler.latents, c, "latent out of range");
    require(column.missing_latent >= -1 && column.missing_latent < sampler.latents, c, "missing latent out of range");
    require(!std::isnan(column.missing_threshold), c, "the missing threshold is not a number");
    if (column.transform == Transform::kSegments) {
      check_segments(column, c);
    } else {
      check_linear(column, c);
    }
  }
}

}  // namespace doppel
