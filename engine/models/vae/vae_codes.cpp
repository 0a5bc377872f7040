#include "engine/models/vae/vae_codes.h"

#include <algorithm>

#include "engine/models/score_axis.h"

namespace doppel {

AxisBins::AxisBins(const LatentAxis& axis, int64_t rows) : edges_{0} {
  const std::vector<double>& cumulative = axis.cumulative;
  const int64_t bins = std::clamp<int64_t>(rows / kRowsPerBin, 1, kMostBins);
  for (int64_t b = 1; b < bins; ++b) {
    const double share = static_cast<double>(b) / static_cast<double>(bins);
    auto nearest = std::lower_bound(cumulative.begin(), cumulative.end(), share);
    if (nearest != cumulative.begin() && share - *(nearest - 1) < *nearest - share) --nearest;
    constexpr double kLeastShare = 1e-6;
    if (*nearest > edges_.back() + kLeastShare && *nearest < 1 - kLeastShare) edges_.push_back(*nearest);
  }
  edges_.push_back(1);
}

int32_t AxisBins::bin_of(double share) const {
  const auto above = std::upper_bound(edges_.begin() + 1, edges_.end() - 1, share);
  return static_cast<int32_t>(above - edges_.begin()) - 1;
}

double AxisBins::place_of(double share) const {
  const auto bin = static_cast<size_t>(bin_of(share));
  const double within = (share - edges_[bin]) / (edges_[bin + 1] - edges_[bin]);
  const double place = (static_cast<double>(bin) + within) / static_cast<double>(count());
  return double{kScoreLimit} * (2 * place - 1);
}

CodeSpace::CodeSpace(const MixtureSpace& space_, int64_t rows) : space(space_) {
  for (const MixtureVariable& variable : space.variables) codes.push_back(variable.states);
  for (const LatentAxis& axis : space.axes) {
    bins.emplace_back(axis, rows);
    codes.push_back(bins.back().count());
  }
  if (space.axes.empty()) codes.push_back(1);
}

CodedRows encode_rows(const CodeSpace& codes, const RowsByPattern& rows) {
  CodedRows coded;
  const size_t variables = codes.space.variables.size();
  for (const RowsOfPattern& pattern : rows) {
    const size_t here = pattern.present.size();
    std::vector<int32_t> bins(codes.fields() - variables);
    for (int64_t row = 0; row < pattern.rows; ++row) {
      const auto states = pattern.states.begin() + row * static_cast<int64_t>(variables);
      coded.codes.insert(coded.codes.end(), states, states + static_cast<int64_t>(variables));
      std::fill(bins.begin(), bins.end(), codes.bins.empty() ? 0 : -1);
      for (size_t i = 0; i < here; ++i) {
        const auto axis = static_cast<size_t>(pattern.present[i]);
        const float z = pattern.latents[static_cast<size_t>(row) * here + i];
        bins[axis] = codes.bins[axis].bin_of(normal_cdf(static_cast<double>(z)));
      }
      coded.codes.insert(coded.codes.end(), bins.begin(), bins.end());
    }
    coded.rows += pattern.rows;
  }
  return coded;
}

}  // namespace doppel
