#include "engine/table/row_points.h"

#include <algorithm>
#include <cmath>
#include <numeric>

namespace doppel {
namespace {

// Where numbers lie that are missing, and how far out others may: beyond 1 of any number within its range, and exact
// differences of levels stay possible below.
constexpr float kMissing = 1e9f, kFarthest = 1e6f;

// Rounding of a value to float moves it by 2^-25 at most within its range: of the two values in each of two distances
// that makes 2^-23 a column, and as much again for their sums. Less than that is a tie.
constexpr float kTieOfColumn = 0x1p-22f;

}  // namespace

float PointColumn::place(double value) const {
  if (std::isnan(value)) return kMissing;
  if (!is_number) return static_cast<float>(value);
  if (value == minimum) return 0;
  // A range of nothing, or of more than doubles have: every other value is far away.
  const double share = (value - minimum) / range;
  return std::isnan(share) ? kFarthest : static_cast<float>(std::clamp<double>(share, -kFarthest, kFarthest));
}

double spread_of(std::span<const float> places) {
  const size_t half = places.size() / 2;
  double sum = 0;
  for (size_t i = 0; i < half; ++i) sum += std::min(std::abs(places[i] - places[i + half]), 1.0f);
  return half == 0 ? 0 : sum / static_cast<double>(half);
}

std::vector<float> sort_points(const std::vector<float>& values, size_t columns) {
  if (columns == 0) return values;
  std::vector<size_t> order(values.size() / columns);
  std::iota(order.begin(), order.end(), size_t{0});
  const auto row_of = [&](size_t i) { return std::span(values).subspan(i * columns, columns); };
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::lexicographical_compare(row_of(a).begin(), row_of(a).end(), row_of(b).begin(), row_of(b).end());
  });
  std::vector<float> sorted;
  sorted.reserve(values.size());
  for (const size_t i : order) sorted.insert(sorted.end(), row_of(i).begin(), row_of(i).end());
  return sorted;
}

NearerShare compare_distances(std::span<const float> to_first, std::span<const float> to_second, size_t columns) {
  const float tie = kTieOfColumn * static_cast<float>(columns);
  int64_t nearer = 0, tied = 0;
  for (size_t i = 0; i < to_first.size(); ++i) {
    const bool is_tie = std::abs(to_first[i] - to_second[i]) <= tie;
    tied += is_tie;
    nearer += !is_tie && to_first[i] < to_second[i];
  }
  const auto rows = static_cast<double>(to_first.size());
  return {(static_cast<double>(nearer) + 0.5 * static_cast<double>(tied)) / rows, static_cast<double>(tied) / rows};
}

}  // namespace doppel
