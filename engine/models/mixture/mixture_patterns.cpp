#include "engine/models/mixture/mixture_patterns.h"

#include <algorithm>
#include <numeric>

#include "engine/models/score_axis.h"
#include "engine/models/triangular.h"

namespace doppel {
namespace {

constexpr uint32_t kUseFill = 0x50000000u;  // and the axis: of fit_uniform
constexpr int64_t kRowsPerFactor = 8;       // times axes: rows that a factorisation may cost as much as
constexpr size_t kLeastPatterns = 4, kMostPatterns = 256;
constexpr double kOwnVariance = 0.05;  // keeps a covariance put together from pairs of columns definite

bool is_subset(const std::vector<int32_t>& part, const std::vector<int32_t>& whole) {
  return std::includes(whole.begin(), whole.end(), part.begin(), part.end());
}

}  // namespace

std::vector<double> pooled_covariance(const RowsByPattern& rows, size_t axes) {
  std::vector<double> count(axes * axes), sum(axes * axes), product(axes * axes);
  for (const RowsOfPattern& pattern : rows) {
    const size_t here = pattern.present.size();
    for (int64_t row = 0; row < pattern.rows; ++row) {
      const float* z = pattern.latents.data() + row * here;
      for (size_t i = 0; i < here; ++i)
        for (size_t j = 0; j < here; ++j) {
          const size_t place = pattern.present[i] * axes + pattern.present[j];
          count[place] += 1;
          sum[place] += z[i];
          product[place] += static_cast<double>(z[i]) * static_cast<double>(z[j]);
        }
    }
  }
  std::vector<double> covariance(axes * axes);
  for (size_t i = 0; i < axes; ++i)
    for (size_t j = 0; j < axes; ++j) {
      const size_t place = i * axes + j;
      const double n = std::max(count[place], 1.0);
      covariance[place] = (product[place] - sum[place] * sum[j * axes + i] / n) / n;
    }
  return covariance;
}

PatternLimit::PatternLimit(const RowsByPattern& rows, size_t axes, uint64_t seed)
    : axes_(axes), seed_(seed), covariance_(pooled_covariance(rows, axes)) {
  std::vector<const RowsOfPattern*> by_rows;
  for (const RowsOfPattern& pattern : rows) by_rows.push_back(&pattern);
  std::stable_sort(by_rows.begin(), by_rows.end(),
                   [](const RowsOfPattern* a, const RowsOfPattern* b) { return a->rows > b->rows; });
  const auto affordable = static_cast<size_t>(count_rows(rows)) / (kRowsPerFactor * (axes + 1));
  by_rows.resize(std::min(by_rows.size(), std::clamp(affordable, kLeastPatterns, kMostPatterns)));
  std::vector<int32_t> all(axes);
  std::iota(all.begin(), all.end(), 0);
  for (const RowsOfPattern* pattern : by_rows) kept_.push_back(pattern->present);
  if (std::find(kept_.begin(), kept_.end(), all) == kept_.end()) kept_.push_back(all);
}

RowsByPattern PatternLimit::apply(RowsByPattern rows) const {
  RowsByPattern limited;
  for (const std::vector<int32_t>& present : kept_) {
    RowsOfPattern& pattern = limited.emplace_back();
    pattern.present = present;
    for (int32_t a = 0; a < static_cast<int32_t>(axes_); ++a)
      if (!std::binary_search(present.begin(), present.end(), a)) pattern.absent.push_back(a);
  }
  uint64_t place = 0;
  for (const RowsOfPattern& pattern : rows) {
    RowsOfPattern* best = nullptr;
    for (RowsOfPattern& to : limited)
      if (is_subset(pattern.present, to.present) && (best == nullptr || to.present.size() < best->present.size()))
        best = &to;
    move(pattern, *best, place);
    place += static_cast<uint64_t>(pattern.rows);
  }
  std::erase_if(limited, [](const RowsOfPattern& pattern) { return pattern.rows == 0; });
  return limited;
}

void PatternLimit::move(const RowsOfPattern& from, RowsOfPattern& to, uint64_t place) const {
  to.rows += from.rows;
  to.states.insert(to.states.end(), from.states.begin(), from.states.end());
  if (from.present.size() == to.present.size()) {
    to.latents.insert(to.latents.end(), from.latents.begin(), from.latents.end());
    return;
  }
  // Present latents first, then those to draw: rows of the Cholesky factor of the latter give mean and spread.
  std::vector<int32_t> order = from.present;
  for (const int32_t a : to.present)
    if (!std::binary_search(from.present.begin(), from.present.end(), a)) order.push_back(a);
  const size_t here = from.present.size(), n = order.size();
  std::vector<double> factor(n * n);
  for (size_t i = 0; i < n; ++i)
    for (size_t j = 0; j < n; ++j)
      factor[i * n + j] =
          (i == j ? 1 : 1 - kOwnVariance) * covariance_[order[i] * axes_ + order[j]] + (i == j ? 1e-6 : 0);
  const bool is_definite = factorise(factor, n);
  std::vector<double> white(n);
  std::vector<float> filled(axes_);
  for (int64_t row = 0; row < from.rows; ++row) {
    const float* z = from.latents.data() + row * here;
    for (size_t i = 0; i < n; ++i) {
      double mean = 0;
      for (size_t j = 0; j < i && is_definite; ++j) mean += factor[i * n + j] * white[j];
      const double scale = is_definite ? factor[i * n + i] : 1;
      if (i < here) {
        filled[order[i]] = z[i];
        white[i] = (static_cast<double>(z[i]) - mean) / scale;
      } else {
        const auto use = kUseFill + static_cast<uint32_t>(order[i]);
        white[i] = normal_quantile(fit_uniform(seed_, place + static_cast<uint64_t>(row), use));
        filled[order[i]] = static_cast<float>(mean + scale * white[i]);
      }
    }
    for (const int32_t a : to.present) to.latents.push_back(filled[a]);
  }
}

}  // namespace doppel
