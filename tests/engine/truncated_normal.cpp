// Functions of the normal distribution against libm's, and draws within bounds against naive references.
#include "kernels/common/truncated_normal.h"

#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <random>

#include "engine/models/mixture/tilted_normals.h"
#include "kernels/common/bounded_rows.h"
#include "kernels/common/elementary.h"

namespace doppel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

double relative_error(double value, double reference) {
  return std::abs(value - reference) / std::abs(reference);
}

TEST(TruncatedNormal, ExpAndLogAreAsPreciseAsStated) {
  std::mt19937_64 random(1);
  std::uniform_real_distribution<double> exponent(-700, 0);
  for (int i = 0; i < 100'000; ++i) {
    const double x = exponent(random), y = std::exp(x * (i % 2 ? -1 : 1e-3));
    EXPECT_LE(relative_error(exp_below_zero(x), std::exp(x)), 1e-15) << x;
    EXPECT_LE(std::abs(log_of_positive(y) - std::log(y)), 1e-15 + 0x1p-52 * std::abs(std::log(y))) << y;
  }
}

TEST(TruncatedNormal, TailsAgreeWithErfcAndTheirInverse) {
  for (double x = -36.9; x < 36.95; x += 0.0173) {
    const double tail = upper_tail(x);
    EXPECT_LE(relative_error(tail, 0.5 * std::erfc(x / std::sqrt(2.0))), 1e-13) << x;
    if (x > -5) {
      EXPECT_NEAR(upper_tail_inverse(tail), x, 1e-13 + 1e-15 / std::min(tail, 1 - tail) * (x < 0)) << x;
    }
  }
  EXPECT_EQ(upper_tail(kInfinity), 0);
  EXPECT_EQ(upper_tail(-kInfinity), 1);
}

// The distribution function of a draw at u is u or 1 - u, whatever the interval.
TEST(TruncatedNormal, DrawsAreQuantilesOfTheInterval) {
  const std::vector<std::pair<double, double>> intervals{
      {-kInfinity, kInfinity}, {-1, 2},        {-2, -1},   {6, kInfinity},  {-kInfinity, -6},
      {29.99, 30.02},          {30.01, 30.02}, {-36, -35}, {36, kInfinity}, {0.5, 0.5000001}};
  for (const auto& [low, high] : intervals) {
    const TruncatedNormal normal(low, high);
    const bool is_upper = !(low + high < 0);
    double previous = normal.draw(0.01);
    for (double u = 0.03; u < 1; u += 0.02) {
      const double x = normal.draw(u);
      EXPECT_GE(x, low);
      EXPECT_LE(x, high);
      const double part = is_upper ? upper_tail(x) - upper_tail(high) : upper_tail(-x) - upper_tail(-low);
      EXPECT_NEAR(part / std::exp(normal.log_probability()), u, 2e-8) << low << " " << high;
      EXPECT_NE(x, previous);
      previous = x;
    }
  }
}

TEST(TruncatedNormal, MeansAgreeWithQuadrature) {
  for (const auto& [low, high] :
       std::vector<std::pair<double, double>>{{-1, 2}, {-3, -2.5}, {4, 9}, {29, 32}, {31, 34}, {-101, -100}}) {
    double mass = 0, sum = 0;
    constexpr int kSteps = 200'000;
    for (int i = 0; i < kSteps; ++i) {
      const double x = low + (high - low) * (i + 0.5) / kSteps,
                   density = std::exp(-0.5 * (x * x - std::min(low * low, high * high)));
      mass += density, sum += density * x;
    }
    EXPECT_NEAR(TruncatedNormal(low, high).mean(), sum / mass, 1e-7 * std::abs(sum / mass));
  }
}

// One try of k normals from as many uniforms.
bool propose(const TiltedNormals& normals, std::span<const double> weight, std::span<const double> low,
             std::span<const double> high, std::span<const double> uniforms, double acceptance, double* u) {
  const double first_tilt = normals.tilt()[0];
  const CellRecord cell{0,
                        static_cast<int32_t>(low.size()),
                        0,
                        0,
                        normals.log_bound(),
                        TruncatedNormal(low[0] - first_tilt, high[0] - first_tilt)};
  std::vector<BoundRecord> bounds;
  for (size_t i = 0; i < low.size(); ++i) bounds.push_back({low[i], high[i], normals.tilt()[i], 0, 0, 0, 0});
  return portable::propose_normals(
      cell, bounds.data(), weight.data(), acceptance, [&](int i) { return uniforms[static_cast<size_t>(i)]; }, u, 1);
}

// Two correlated normals a and b = weight a' s: P and the mean of the first, by quadrature over the first.
struct Reference {
  double probability = 0, mean = 0;
};
Reference quadrature(double weight, const double low[2], const double high[2]) {
  Reference reference;
  constexpr int kSteps = 400'000;
  const double from = std::max(low[0], -12.0), to = std::min(high[0], 12.0);
  for (int i = 0; i < kSteps; ++i) {
    const double a = from + (to - from) * (i + 0.5) / kSteps;
    const double inner =
        0.5 * (std::erfc((low[1] - weight * a) / std::sqrt(2.0)) - std::erfc((high[1] - weight * a) / std::sqrt(2.0)));
    const double part = std::exp(-0.5 * a * a) / std::sqrt(2 * std::acos(-1.0)) * inner * (to - from) / kSteps;
    reference.probability += part;
    reference.mean += a * part;
  }
  reference.mean /= reference.probability;
  return reference;
}

// Probability (bound times share accepted) and mean against quadrature, at 5 sigma; far tails accept as well as others.
TEST(TiltedNormals, TwoBoundsAgreeWithQuadratureHoweverRare) {
  struct Case {
    double weight, low[2], high[2];
  };
  for (const Case& c : {Case{0.5, {-1, 0}, {1, 2}}, Case{-2, {0, 0.5}, {kInfinity, kInfinity}},
                        Case{1.5, {4, 4}, {kInfinity, kInfinity}}, Case{-1.5, {3, 3}, {kInfinity, kInfinity}},
                        Case{-8, {1, 2}, {1.5, 2.5}}, Case{0.3, {-kInfinity, -7}, {-6, -6.5}}}) {
    const double weight[4] = {0, 0, c.weight, 0};
    const TiltedNormals normals(weight, c.low, c.high);
    const Reference reference = quadrature(c.weight, c.low, c.high);
    std::mt19937_64 random(3);
    std::uniform_real_distribution<double> uniform(1e-12, 1);
    constexpr int kTries = 100'000;
    int accepted = 0;
    double sum = 0, squares = 0;
    for (int i = 0; i < kTries; ++i) {
      const double uniforms[2] = {uniform(random), uniform(random)};
      double u[2];
      if (!propose(normals, weight, c.low, c.high, uniforms, uniform(random), u)) continue;
      EXPECT_TRUE(u[0] >= c.low[0] && u[0] <= c.high[0]);
      const double second = c.weight * u[0] + u[1];
      EXPECT_TRUE(second >= c.low[1] - 1e-9 && second <= c.high[1] + 1e-9);
      ++accepted, sum += u[0], squares += u[0] * u[0];
    }
    const double share = static_cast<double>(accepted) / kTries, mean = sum / accepted;
    const double bound = std::exp(normals.log_bound());
    EXPECT_GT(share, 0.3) << c.weight;
    EXPECT_NEAR(bound * share / reference.probability, 1, 5 * std::sqrt((1 - share) / share / kTries) + 1e-6)
        << c.weight;
    EXPECT_NEAR(mean, reference.mean, 5 * std::sqrt((squares / accepted - mean * mean) / accepted)) << c.weight;
  }
}

// Equicorrelated normals (correlation 1/2) are all positive with probability 1 / (k + 1).
TEST(TiltedNormals, TenPositiveNormalsHaveTheKnownProbability) {
  constexpr size_t k = 10;
  std::vector<double> factor(k * k), weight(k * k), low(k, 0), high(k, kInfinity);
  for (size_t i = 0; i < k; ++i)
    for (size_t j = 0; j <= i; ++j) {  // Cholesky
      double sum = i == j ? 1 : 0.5;
      for (size_t l = 0; l < j; ++l) sum -= factor[i * k + l] * factor[j * k + l];
      factor[i * k + j] = i == j ? std::sqrt(sum) : sum / factor[j * k + j];
    }
  for (size_t i = 0; i < k; ++i)
    for (size_t j = 0; j < i; ++j) weight[i * k + j] = factor[i * k + j] / factor[i * k + i];
  const TiltedNormals normals(weight, low, high);
  std::mt19937_64 random(4);
  std::uniform_real_distribution<double> uniform(1e-12, 1);
  constexpr int kTries = 100'000;
  int accepted = 0;
  for (int i = 0; i < kTries; ++i) {
    double uniforms[k], u[k];
    for (double& value : uniforms) value = uniform(random);
    accepted += propose(normals, weight, low, high, uniforms, uniform(random), u);
  }
  const double share = static_cast<double>(accepted) / kTries;
  EXPECT_GT(share, 0.3);
  EXPECT_NEAR(std::exp(normals.log_bound()) * share * (k + 1), 1, 5 * std::sqrt((1 - share) / share / kTries));
}

}  // namespace
}  // namespace doppel
