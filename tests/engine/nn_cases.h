// What tests of layers share.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <functional>
#include <random>
#include <vector>

namespace doppel {

using Numbers = std::vector<double>;

inline Numbers random_numbers(size_t size, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  Numbers numbers(size);
  for (double& number : numbers) number = normal(random);
  return numbers;
}

inline double inner(const Numbers& a, const Numbers& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

// The gradient of loss() by each of the values, by central differences: the error is about step^2 and, of a loss known
// to 1e-14 of itself, that over the step.
inline void expect_gradient(Numbers& values, const Numbers& gradient, const std::function<double()>& loss) {
  constexpr double kStep = 1e-5, kTolerance = 1e-8;
  ASSERT_EQ(values.size(), gradient.size());
  const double noise = 1e-14 * std::abs(loss()) / kStep;
  for (size_t i = 0; i < values.size(); ++i) {
    const double value = values[i];
    values[i] = value + kStep;
    const double above = loss();
    values[i] = value - kStep;
    const double below = loss();
    values[i] = value;
    const double slope = (above - below) / (2 * kStep);
    EXPECT_NEAR(gradient[i], slope, kTolerance * (1 + std::abs(slope)) + noise) << "value " << i;
  }
}

}  // namespace doppel
