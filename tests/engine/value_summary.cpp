// Mean and quantiles of numbers by the million, whatever their order.
#include "engine/evaluation/value_summary.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>
#include <span>
#include <vector>

namespace doppel {
namespace {

constexpr double kShares[] = {0, 0.01, 0.25, 0.5, 0.95, 0.99, 0.999, 1};

// Both signs, many orders of magnitude, repeats.
std::vector<double> mixed_values(size_t count) {
  std::mt19937_64 random(7);
  std::normal_distribution<double> normal;
  std::vector<double> values(count);
  for (size_t i = 0; i < count; ++i) values[i] = i % 10 == 0 ? 0.25 : normal(random) * std::exp(4 * normal(random));
  return values;
}

double by_sorting(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(share * static_cast<double>(values.size() - 1) + 0.5)];
}

TEST(ValueSummary, OfNoNumbersIsZero) {
  ValueSummary none;
  EXPECT_EQ(none.count(), 0);
  EXPECT_EQ(none.mean(), 0);
  EXPECT_EQ(none.greatest(), 0);
  EXPECT_EQ(none.quantile(0.5), 0);
}

TEST(ValueSummary, IsExactForFewNumbers) {
  for (const size_t count : {size_t{1}, size_t{2}, size_t{1000}, static_cast<size_t>(ValueSummary::kExact)}) {
    const std::vector<double> values = mixed_values(count);
    ValueSummary summary;
    summary.add(values);
    for (const double share : kShares) EXPECT_EQ(summary.quantile(share), by_sorting(values, share)) << share;
    EXPECT_EQ(summary.greatest(), by_sorting(values, 1));
  }
}

TEST(ValueSummary, IsWithinItsBoundForMany) {
  const std::vector<double> values = mixed_values(static_cast<size_t>(ValueSummary::kExact) + 1000);
  ValueSummary summary;
  for (size_t first = 0; first < values.size(); first += 1000)
    summary.add(std::span(values).subspan(first, std::min<size_t>(1000, values.size() - first)));
  EXPECT_EQ(summary.count(), static_cast<int64_t>(values.size()));
  double worst = 0;
  for (const double share : kShares) {
    const double exact = by_sorting(values, share);
    worst = std::max(worst, std::abs(summary.quantile(share) - exact) / (1 + std::abs(exact)));
  }
  EXPECT_LE(worst, 0x1p-19);
  EXPECT_EQ(summary.quantile(1), by_sorting(values, 1));
  long double sum = 0;
  for (const double value : values) sum += value;
  EXPECT_NEAR(summary.mean(), static_cast<double>(sum / values.size()), 1e-12);
}

TEST(ValueSummary, DoesNotDependOnTheOrder) {
  std::vector<double> values = mixed_values(static_cast<size_t>(ValueSummary::kExact) + 1000);
  ValueSummary forward, shuffled;
  forward.add(values);
  std::shuffle(values.begin(), values.end(), std::mt19937_64(3));
  for (const double value : values) shuffled.add({&value, 1});
  EXPECT_EQ(forward.mean(), shuffled.mean());
  for (const double share : kShares) EXPECT_EQ(forward.quantile(share), shuffled.quantile(share));
}

TEST(ValueSummary, HoldsTheLargestNumbers) {
  ValueSummary summary;
  summary.add(std::vector<double>{-1e300, 1e300, 1e300});
  EXPECT_EQ(summary.greatest(), 0x1p40);
  EXPECT_EQ(summary.quantile(0), -0x1p40);
  EXPECT_DOUBLE_EQ(summary.mean(), 0x1p40 / 3);
}

}  // namespace
}  // namespace doppel
