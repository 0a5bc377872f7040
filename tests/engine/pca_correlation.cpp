// Normal scores, marginal segments and latent correlations, against closed forms.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numbers>
#include <numeric>

#include "engine/models/marginals.h"
#include "engine/models/pca/latent_correlation.h"
#include "engine/models/score_axis.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

TEST(ScoreAxis, QuantileIsTheInverseOfTheCdf) {
  for (const double z : {-6.0, -4.0, -2.0, -1.97, -0.5, 0.0, 1e-9, 0.7, 1.98, 3.0})
    EXPECT_NEAR(normal_quantile(normal_cdf(z)), z, 1e-8 + 1e-8 * std::abs(z)) << z;
  EXPECT_EQ(normal_quantile(0), -kInfinity);
  EXPECT_EQ(normal_quantile(1), kInfinity);
}

TEST(ScoreAxis, MeanScoresAverageToZeroAndLieInTheirCells) {
  const std::vector<int64_t> weights{1, 0, 5, 1000000, 3, 0, 0, 1};
  const auto boundaries = score_boundaries(weights), scores = mean_scores(boundaries);
  double mean = 0;
  for (size_t i = 0; i < weights.size(); ++i) {
    EXPECT_GE(scores[i], boundaries[i]);
    EXPECT_LE(scores[i], boundaries[i + 1]);
    mean += static_cast<double>(weights[i]) * scores[i];
  }
  EXPECT_NEAR(mean / 1000010, 0, 1e-9);
}

TEST(ScoreAxis, HermiteSeriesGiveOrthantProbabilities) {
  // P(z < 0, w < 0) = 1/4 + arcsin(r) / (2 pi).
  const auto coefficients = hermite_coefficients(std::vector<double>{-kInfinity, 0, kInfinity}, 60);
  for (const double r : {-0.8, -0.3, 0.0, 0.5, 0.8}) {
    double probability = 0;
    for (int k = 0; k <= 60; ++k) probability += std::pow(r, k) * coefficients[k] * coefficients[k];
    EXPECT_NEAR(probability, 0.25 + std::asin(r) / (2 * std::numbers::pi), 1e-8) << r;
  }
}

// The distribution function of a column of whole numbers, from its segments: P(value <= v) at each v.
std::vector<double> distribution_of(const ColumnSampler& column, const std::vector<int64_t>& values) {
  std::vector<double> cumulative;
  for (const int64_t v : values) {
    double below = 0;
    for (size_t s = 0; s < column.lower.size(); ++s) {
      if (column.base[s] > v) break;
      const double low = column.lower[s];
      const bool whole = v >= column.base[s] + column.width[s] - 1;
      const double end = s + 1 < column.lower.size() ? column.lower[s + 1] : double{kScoreLimit};
      const double reach = whole ? end : low + static_cast<double>(v - column.base[s] + 1) / column.scale[s];
      below = normal_cdf(whole && s + 1 == column.lower.size() ? kInfinity : reach);
    }
    cumulative.push_back(below);
  }
  return cumulative;
}

ColumnProfile profile_of(const std::vector<int64_t>& quanta, const std::vector<int64_t>& counts) {
  ColumnProfile profile;
  profile.distribution.quanta = quanta;
  profile.distribution.counts = counts;
  profile.present = std::accumulate(counts.begin(), counts.end(), int64_t{0});
  return profile;
}

double largest_error(const ColumnProfile& profile, const ColumnSampler& column) {
  const auto cumulative = distribution_of(column, profile.distribution.quanta);
  double error = 0, below = 0;
  for (size_t i = 0; i < cumulative.size(); ++i) {
    below += static_cast<double>(profile.distribution.counts[i]) / static_cast<double>(profile.present);
    error = std::max(error, std::abs(cumulative[i] - below));
  }
  return error;
}

ColumnSchema integers() {
  ColumnSchema schema;
  schema.kind = ColumnKind::kInteger;
  return schema;
}

TEST(Marginals, FewValuesAreKeptOneByOne) {
  std::vector<int64_t> quanta, counts;
  for (int64_t i = 0; i < static_cast<int64_t>(kExactSegments); ++i)
    quanta.push_back(3 * i * i - 7), counts.push_back(1 + i * 31 % 17);
  const ColumnProfile profile = profile_of(quanta, counts);
  const ColumnSampler column = make_marginal(integers(), profile, {});
  EXPECT_EQ(column.base, quanta);
  EXPECT_EQ(column.storage, Storage::kInt32);
  EXPECT_LT(largest_error(profile, column), 1e-6);  // floats of the bounds
}

TEST(Marginals, ManyValuesShareSegmentsWithinTheBound) {
  std::vector<int64_t> quanta, counts;
  std::mt19937_64 random(3);
  int64_t value = -100000;
  for (int64_t i = 0; i < 20000; ++i) {
    quanta.push_back(value += 1 + static_cast<int64_t>(random() % (i < 19900 ? 5 : 5000)));
    counts.push_back(1 + (i == 777 ? 5000 : i == 19999 ? 40 : random() % 3));
  }
  const ColumnProfile profile = profile_of(quanta, counts);
  const ColumnSampler column = make_marginal(integers(), profile, {});
  EXPECT_LT(column.base.size(), 2000u);
  EXPECT_EQ(column.base.front(), quanta.front());
  EXPECT_EQ(column.base.back() + column.width.back() - 1, quanta.back());
  EXPECT_LT(largest_error(profile, column), 1.05 * kSmoothing);
  // A value of many rows is not smeared over its neighbours.
  EXPECT_NE(std::find(column.base.begin(), column.base.end(), quanta[777]), column.base.end());
}

TEST(Marginals, MultiplesOfANumberAreNeverSmoothed) {
  std::vector<int64_t> quanta, counts(5000, 1);
  for (int64_t i = 0; i < 5000; ++i) quanta.push_back(10 + 50 * (i + i / 100));
  const ColumnSampler column = make_marginal(integers(), profile_of(quanta, counts), {});
  EXPECT_EQ(column.base, quanta);
}

TEST(Marginals, StorageFollowsTheRange) {
  const int64_t limit = std::numeric_limits<int32_t>::max(), huge = std::numeric_limits<int64_t>::max();
  EXPECT_EQ(make_marginal(integers(), profile_of({-limit - 1, limit}, {1, 1}), {}).storage, Storage::kInt32);
  EXPECT_EQ(make_marginal(integers(), profile_of({0, limit + 1}, {1, 1}), {}).storage, Storage::kInt64);
  const ColumnSampler column = make_marginal(integers(), profile_of({-huge - 1, huge}, {1, 1}), {});
  EXPECT_EQ(column.base, (std::vector<int64_t>{-huge - 1, huge}));
}

TEST(Marginals, RealsAreSmoothedWithinTheBoundAndKeepTheirEnds) {
  ColumnSchema schema;
  schema.kind = ColumnKind::kReal;
  ColumnProfile profile;
  const auto z = normals(1, 30000, 0, 8);
  profile.distribution.reals = z[0];
  std::sort(profile.distribution.reals.begin(), profile.distribution.reals.end());
  profile.distribution.counts.assign(30000, 1);
  profile.present = 30000;
  const ColumnSampler column = make_marginal(schema, profile, {});
  EXPECT_LT(column.lower.size(), 3000u);
  EXPECT_EQ(column.real_base.front(), profile.distribution.reals.front());
  EXPECT_EQ(column.real_top.back(), profile.distribution.reals.back());
  for (size_t s = 0; s < column.lower.size(); ++s) {  // each segment's ends are quantiles
    const auto rank = [&](double value) {
      const auto& reals = profile.distribution.reals;
      return static_cast<double>(std::upper_bound(reals.begin(), reals.end(), value) - reals.begin()) / 30000;
    };
    EXPECT_NEAR(normal_cdf(column.lower[s]), rank(column.real_base[s]), 2.0 / 30000 + kSmoothing) << s;
  }
}

std::vector<Latent> plain_latents(size_t count) {
  std::vector<Latent> latents(count);
  for (size_t i = 0; i < count; ++i) latents[i].column = i;
  return latents;
}

TEST(LatentCorrelation, ACorrelationMatrixIsItsOwnNearest) {
  const std::vector<double> matrix{1, 0.5, 0.2, 0.5, 1, -0.3, 0.2, -0.3, 1};
  EXPECT_EQ(nearest_correlation(matrix, plain_latents(3), cpu()), matrix);
}

TEST(LatentCorrelation, TheNearestMatrixIsHighams) {
  // Higham (2002), the 3 x 3 example: entries 0.7607 and 0.1573.
  const std::vector<double> matrix{1, 1, 0, 1, 1, 1, 0, 1, 1};
  const auto nearest = nearest_correlation(matrix, plain_latents(3), cpu());
  const std::vector<double> expected{1, 0.7607, 0.1573, 0.7607, 1, 0.7607, 0.1573, 0.7607, 1};
  for (size_t i = 0; i < 9; ++i) EXPECT_NEAR(nearest[i], expected[i], 1e-3) << i;
}

TEST(LatentCorrelation, TheNearestMatrixIsOneAndKeepsGapsApartFromTheirValues) {
  constexpr size_t kOrder = 12;
  std::mt19937_64 random(2);
  std::uniform_real_distribution<double> uniform(-1, 1);
  std::vector<double> matrix(kOrder * kOrder, 1);
  for (size_t i = 0; i < kOrder; ++i)
    for (size_t j = 0; j < i; ++j) matrix[i * kOrder + j] = matrix[j * kOrder + i] = uniform(random);
  auto latents = plain_latents(kOrder);
  latents[11].column = 0;
  latents[11].is_missingness = true;
  matrix[11 * kOrder] = matrix[11] = 0;
  const auto nearest = nearest_correlation(matrix, latents, cpu());
  for (size_t i = 0; i < kOrder; ++i) EXPECT_EQ(nearest[i * kOrder + i], 1);
  EXPECT_GE(cpu().symmetric_eigen(nearest, kOrder).values.back(), -1e-12);
  EXPECT_NEAR(nearest[11], 0, 0.01);
}

}  // namespace
}  // namespace doppel
