#include "engine/models/mixture/factor_start.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/models/leading_directions.h"
#include "engine/models/mixture/factor_analysers.h"

namespace doppel {
namespace {

constexpr int64_t kProjectedRows = 512;
constexpr double kLeastShare = 0.05;  // of an axis's variance, that is its own at the start

// Means [members, axes] of the latents present.
std::vector<double> means_of(const RowsByPattern& rows, size_t axes, const std::vector<int32_t>& member_of_row,
                             int64_t members) {
  std::vector<double> mean(static_cast<size_t>(members) * axes), count(mean.size());
  const int32_t* member = member_of_row.data();
  for (const RowsOfPattern& pattern : rows)
    for (int64_t row = 0; row < pattern.rows; ++row, ++member)
      for (size_t a = 0; a < axes; ++a) {
        const float z = pattern.latents[static_cast<size_t>(row) * axes + a];
        if (std::isnan(z)) continue;
        mean[static_cast<size_t>(*member) * axes + a] += z;
        count[static_cast<size_t>(*member) * axes + a] += 1;
      }
  for (size_t i = 0; i < mean.size(); ++i) mean[i] /= std::max(count[i], 1.0);
  return mean;
}

}  // namespace

std::vector<double> latent_variances(const RowsByPattern& rows, size_t axes) {
  std::vector<double> count(axes), sum(axes), square(axes);
  for (const RowsOfPattern& pattern : rows)
    for (int64_t row = 0; row < pattern.rows; ++row)
      for (size_t a = 0; a < axes; ++a) {
        const double z = pattern.latents[static_cast<size_t>(row) * axes + a];
        if (std::isnan(z)) continue;
        count[a] += 1, sum[a] += z, square[a] += z * z;
      }
  for (size_t a = 0; a < axes; ++a) {
    const double n = std::max(count[a], 1.0);
    square[a] = (square[a] - sum[a] * sum[a] / n) / n;
  }
  return square;
}

CommonFactors common_factors(const RowsByPattern& rows, size_t axes, const std::vector<int32_t>& member_of_row,
                             int64_t members) {
  const std::vector<double> mean = means_of(rows, axes, member_of_row, members);
  std::vector<float> block(kProjectedRows * axes);
  const auto for_blocks = [&](const RowConsumer& consume) {
    const int32_t* member = member_of_row.data();
    for (const RowsOfPattern& pattern : rows)
      for (int64_t first = 0; first < pattern.rows; first += kProjectedRows) {
        const int64_t count = std::min(kProjectedRows, pattern.rows - first);
        const float* z = pattern.latents.data() + static_cast<size_t>(first) * axes;
        for (int64_t row = 0; row < count; ++row, ++member)
          for (size_t a = 0; a < axes; ++a) {
            const size_t place = static_cast<size_t>(row) * axes + a;
            block[place] =
                std::isnan(z[place]) ? 0 : z[place] - static_cast<float>(mean[static_cast<size_t>(*member) * axes + a]);
          }
        consume(block.data(), count);
      }
  };
  CommonFactors start;
  start.residual.assign(axes, 0);
  for_blocks([&](const float* values, int64_t count) {
    for (int64_t row = 0; row < count; ++row)
      for (size_t a = 0; a < axes; ++a) {
        const double z = values[static_cast<size_t>(row) * axes + a];
        start.residual[a] += z * z;
      }
  });
  const double n = std::max(static_cast<double>(count_rows(rows)), 2.0);
  for (double& variance : start.residual) variance = std::max(variance / n, kLeastResidual);
  const Directions found = leading_directions(static_cast<int64_t>(axes), kMostRank, for_blocks);
  const auto kept = static_cast<int64_t>(found.values.size());
  // What the directions leave, an axis, is what noise would have along each.
  double left = std::accumulate(start.residual.begin(), start.residual.end(), 0.0);
  for (const double value : found.values) left -= value / n;
  const double noise =
      std::max(left / std::max(static_cast<double>(axes) - static_cast<double>(kept), 1.0), kLeastResidual);
  while (start.rank < kept && pays(found.values[start.rank] / n / noise, n, static_cast<double>(axes))) ++start.rank;
  start.factor.resize(axes * static_cast<size_t>(start.rank));
  for (size_t a = 0; a < axes; ++a) {
    double own = start.residual[a];
    for (int64_t k = 0; k < start.rank; ++k) {
      const double weight = found.vectors[a * static_cast<size_t>(kept) + static_cast<size_t>(k)] *
                            std::sqrt(std::max(found.values[static_cast<size_t>(k)] / n - noise, 0.0));
      start.factor[a * static_cast<size_t>(start.rank) + static_cast<size_t>(k)] = weight;
      own -= weight * weight;
    }
    start.residual[a] = std::max({own, kLeastShare * start.residual[a], kLeastResidual});
  }
  return start;
}

}  // namespace doppel
