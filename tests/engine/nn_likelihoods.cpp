// Likelihoods of pixels against their definitions and against differences.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/nn/likelihoods.h"
#include "tests/engine/nn_cases.h"

namespace doppel {
namespace {

double sigmoid(double x) {
  return 1 / (1 + std::exp(-x));
}

Numbers levels(size_t count, uint64_t seed) {
  Numbers targets = random_numbers(count, seed);
  for (double& t : targets) t = std::round(255 * std::clamp(0.5 + 0.6 * t, 0.0, 1.0)) / 255;
  return targets;
}

TEST(Sigmoid, IsTheDefinition) {
  Numbers x = {-800, -30, -1, 0, 0.5, 40, 800};
  const Numbers before = x;
  forward_sigmoid(static_cast<int64_t>(x.size()), x.data());
  for (size_t i = 0; i < x.size(); ++i) EXPECT_NEAR(x[i], sigmoid(before[i]), 1e-15);
}

TEST(Bernoulli, LossIsTheCrossEntropy) {
  const Numbers logits = random_numbers(1300, 1), targets = levels(1300, 2);
  double sum = 0;
  for (size_t i = 0; i < logits.size(); ++i) {
    const double p = sigmoid(logits[i]);
    sum -= targets[i] * std::log(p) + (1 - targets[i]) * std::log(1 - p);
  }
  EXPECT_NEAR(bernoulli_loss(logits.data(), targets.data(), 1300), sum, 1e-9);
  const Numbers extreme = {-500, 500, 500, -500}, zero_one = {0, 1, 0, 1};
  EXPECT_NEAR(bernoulli_loss(extreme.data(), zero_one.data(), 4), 1000, 1e-9);
}

TEST(Bernoulli, GradientIsThatOfDifferences) {
  Numbers logits = random_numbers(40, 1);
  const Numbers targets = levels(40, 2);
  Numbers gradient = logits;
  backward_bernoulli(targets.data(), 0.3, 40, gradient.data());
  expect_gradient(logits, gradient, [&] { return 0.3 * bernoulli_loss(logits.data(), targets.data(), 40); });
}

TEST(DiscretisedLogistic, ProbabilitiesOfAllLevelsSumToOne) {
  for (const double mean : {-0.2, 0.0, 0.3, 1.1})
    for (const double log_scale : {-9.0, -7.0, -4.0, -1.0, 2.0}) {
      double sum = 0;
      for (int level = 0; level < 256; ++level) {
        const Numbers heads = {mean, log_scale}, target = {level / 255.0};
        const double p = std::exp(-logistic_loss(heads.data(), target.data(), 1));
        const double scale = std::exp(std::max(log_scale, kLeastLogScale));
        const double above = level == 255 ? 1 : sigmoid(((level + 0.5) / 255 - mean) / scale);
        const double below = level == 0 ? 0 : sigmoid(((level - 0.5) / 255 - mean) / scale);
        EXPECT_NEAR(p, above - below, 1e-12);
        sum += p;
      }
      EXPECT_NEAR(sum, 1, 1e-11);
    }
}

TEST(DiscretisedLogistic, GradientIsThatOfDifferences) {
  constexpr int64_t kCount = 60;
  Numbers heads = random_numbers(2 * kCount, 1);
  for (size_t i = 1; i < heads.size(); i += 2) heads[i] = heads[i] - 2;
  heads[1] = -8;  // below the least
  Numbers targets = levels(kCount, 2);
  targets[2] = 0, targets[3] = 1;
  Numbers gradient = heads;
  backward_logistic(targets.data(), 0.3, kCount, gradient.data());
  expect_gradient(heads, gradient, [&] { return 0.3 * logistic_loss(heads.data(), targets.data(), kCount); });
}

TEST(DiscretisedLogistic, IsFiniteFarFromTheTarget) {
  for (const double target : {0.0, 0.5, 1.0}) {
    const Numbers targets = {target};
    for (const double mean : {-50.0, 50.0}) {
      Numbers heads = {mean, -7};
      EXPECT_TRUE(std::isfinite(logistic_loss(heads.data(), targets.data(), 1)));
      backward_logistic(targets.data(), 1, 1, heads.data());
      EXPECT_TRUE(std::isfinite(heads[0]) && std::isfinite(heads[1]));
    }
  }
}

}  // namespace
}  // namespace doppel
