// Layers of networks: gradients against central differences in double, forward passes against the naive sums, and Adam
// against its published steps.
#include <gtest/gtest.h>

#include <cmath>

#include "engine/nn/adam.h"
#include "engine/nn/dropout.h"
#include "engine/nn/layers.h"
#include "tests/engine/nn_cases.h"

namespace doppel {
namespace {

TEST(Dense, ForwardIsTheAffineMap) {
  const Dense<double> layer(3, 2, 2, 1, 2);
  const Numbers x = {1, -2, 0.5, 0, 4, -1};
  Numbers y(4);
  layer.forward(x.data(), 2, y.data());
  for (size_t row = 0; row < 2; ++row)
    for (size_t o = 0; o < 2; ++o) {
      double sum = layer.bias.value[o];
      for (size_t i = 0; i < 3; ++i) sum += layer.weight.value[o * 3 + i] * x[row * 3 + i];
      EXPECT_NEAR(y[row * 2 + o], sum, 1e-14);
    }
}

TEST(Dense, GradientsAreThoseOfDifferences) {
  for (const int64_t rows : {1, 5})
    for (const int64_t inputs : {1, 7}) {
      constexpr int64_t kOutputs = 4;
      Dense<double> layer(inputs, kOutputs, 2, 3, 4);
      layer.bias.value = random_numbers(kOutputs, 5);
      Numbers x = random_numbers(rows * inputs, 6), x_gradient(x.size()), y(rows * kOutputs);
      const Numbers weight = random_numbers(y.size(), 7);
      const auto loss = [&] {
        layer.forward(x.data(), rows, y.data());
        return inner(y, weight);
      };
      layer.backward(x.data(), weight.data(), rows, x_gradient.data());
      expect_gradient(x, x_gradient, loss);
      expect_gradient(layer.weight.value, layer.weight.gradient, loss);
      expect_gradient(layer.bias.value, layer.bias.gradient, loss);
    }
}

TEST(Dense, GradientsOfParametersAddUp) {
  Dense<double> layer(2, 3, 2, 1, 1);
  const Numbers x = random_numbers(8, 1), y_gradient = random_numbers(12, 2);
  Numbers x_gradient(8);
  layer.backward(x.data(), y_gradient.data(), 4, x_gradient.data());
  const Numbers once = layer.weight.gradient, bias_once = layer.bias.gradient;
  layer.backward(x.data(), y_gradient.data(), 4, x_gradient.data());
  for (size_t i = 0; i < once.size(); ++i) EXPECT_NEAR(layer.weight.gradient[i], 2 * once[i], 1e-13);
  for (size_t i = 0; i < bias_once.size(); ++i) EXPECT_NEAR(layer.bias.gradient[i], 2 * bias_once[i], 1e-13);
}

TEST(Dense, WeightsStartWithTheVarianceAskedFor) {
  const Dense<float> layer(200, 300, 2, 9, 10);
  double sum = 0, squares = 0;
  for (const float weight : layer.weight.value) sum += weight, squares += weight * weight;
  const auto n = static_cast<double>(layer.weight.value.size());
  EXPECT_NEAR(sum / n, 0, 5 * std::sqrt(0.01 / n));
  EXPECT_NEAR(squares / n, 0.01, 5 * 0.01 * std::sqrt(2 / n));
}

TEST(EmbeddingSum, IsADenseLayerOfIndicators) {
  EmbeddingSum<double> layer({3, 1, 4}, 5, 2, 3, 4);
  layer.bias.value = random_numbers(5, 1);
  const std::vector<int32_t> codes = {2, 0, 3, -1, 0, 0, 1, -1, -1};
  Numbers y(15);
  layer.forward(codes.data(), 3, y.data());
  const int first[] = {0, 3, 4};
  for (size_t row = 0; row < 3; ++row)
    for (size_t o = 0; o < 5; ++o) {
      double sum = layer.bias.value[o];
      for (size_t f = 0; f < 3; ++f)
        if (const int32_t code = codes[row * 3 + f]; code >= 0) sum += layer.weight.value[(first[f] + code) * 5 + o];
      EXPECT_NEAR(y[row * 5 + o], sum, 1e-14);
    }
}

TEST(EmbeddingSum, GradientsAreThoseOfDifferences) {
  EmbeddingSum<double> layer({3, 2}, 4, 2, 3, 4);
  const std::vector<int32_t> codes = {2, 1, 2, -1, 0, 0, -1, -1};
  Numbers y(16);
  const Numbers weight = random_numbers(y.size(), 7);
  layer.backward(codes.data(), weight.data(), 4);
  const auto loss = [&] {
    layer.forward(codes.data(), 4, y.data());
    return inner(y, weight);
  };
  expect_gradient(layer.weight.value, layer.weight.gradient, loss);
  expect_gradient(layer.bias.value, layer.bias.gradient, loss);
}

TEST(Embedding, IsADenseLayerOfIndicators) {
  constexpr int64_t kOutputs = 3;
  Embedding<double> layer(4, 4, kOutputs, 2, 3, 4);
  const std::vector<int32_t> codes = {2, -1, 0, 2};
  const Numbers before = random_numbers(codes.size() * kOutputs, 1);
  Numbers y = before;
  layer.add(codes.data(), 4, y.data());
  for (size_t i = 0; i < y.size(); ++i) {
    const int32_t code = codes[i / kOutputs];
    EXPECT_EQ(y[i], before[i] + (code < 0 ? 0 : layer.weight.value[code * kOutputs + i % kOutputs]));
  }
  const Numbers weight = random_numbers(y.size(), 2);
  layer.backward(codes.data(), weight.data(), 4);
  expect_gradient(layer.weight.value, layer.weight.gradient, [&] {
    y = before;
    layer.add(codes.data(), 4, y.data());
    return inner(y, weight);
  });
}

TEST(Dropout, DropsTheShareAndKeepsTheMean) {
  constexpr int64_t kCount = 100'003;
  Dropout<double> layer(0.25);
  Numbers x(kCount, 1.5);
  layer.forward(7, 8, kCount, x.data());
  int64_t dropped = 0;
  for (const double value : x) {
    ASSERT_TRUE(value == 0 || value == 2);
    dropped += value == 0;
  }
  EXPECT_NEAR(static_cast<double>(dropped), 0.25 * kCount, 4 * std::sqrt(0.25 * 0.75 * kCount));
  Numbers gradient(kCount, 3);
  layer.backward(kCount, gradient.data());
  for (size_t i = 0; i < x.size(); ++i) ASSERT_EQ(gradient[i], 2 * x[i]) << "what was dropped has no gradient";
  Numbers other(kCount, 1.5);
  layer.forward(7, 9, kCount, other.data());
  EXPECT_NE(other, x) << "each use drops others";
}

TEST(Dropout, OfNothingKeepsAll) {
  Dropout<double> layer(0);
  Numbers x = {1, 2, 3};
  layer.forward(1, 2, 3, x.data());
  layer.backward(3, x.data());
  EXPECT_EQ(x, (Numbers{1, 2, 3}));
}

TEST(Relu, PassesGradientsWhereItPassesValues) {
  Numbers y = {-1, 0, 2, -0.0, 3};
  forward_relu(std::span(y));
  EXPECT_EQ(y, (Numbers{0, 0, 2, 0, 3}));
  Numbers gradient = {1, 2, 3, 4, 5};
  backward_relu(std::span<const double>(y), std::span(gradient));
  EXPECT_EQ(gradient, (Numbers{0, 0, 3, 0, 5}));
}

TEST(GaussianLatent, GradientsAreThoseOfDifferences) {
  constexpr int64_t kRows = 3, kLatent = 4;
  for (const double kl_weight : {0.0, 0.7}) {
    Numbers heads = random_numbers(kRows * 2 * kLatent, 1), gradient(heads.size()), z(kRows * kLatent);
    const Numbers noise = random_numbers(z.size(), 2), weight = random_numbers(z.size(), 3);
    backward_gaussian(heads.data(), noise.data(), weight.data(), kl_weight, kRows, kLatent, gradient.data());
    expect_gradient(heads, gradient, [&] {
      forward_gaussian(heads.data(), noise.data(), kRows, kLatent, z.data());
      return inner(z, weight) + kl_weight * kl_divergence(heads.data(), kRows, kLatent);
    });
  }
}

TEST(GaussianLatent, DivergenceIsTheIntegral) {
  // Mean 0.5, variance 0.36: the integral of p log(p / q) by the midpoint rule.
  const Numbers heads = {0.5, std::log(0.36)};
  double integral = 0;
  constexpr double kWidth = 1e-3;
  for (double x = -8; x < 8; x += kWidth) {
    const double u = (x - 0.5) / 0.6;
    const double log_ratio = -0.5 * u * u - std::log(0.6) + 0.5 * x * x;
    integral += kWidth * std::exp(-0.5 * u * u) / (0.6 * std::sqrt(2 * M_PI)) * log_ratio;
  }
  EXPECT_NEAR(kl_divergence(heads.data(), 1, 1), integral, 1e-6);
}

TEST(SoftmaxGroups, ProbabilitiesAreThoseOfTheDefinition) {
  const SoftmaxGroups<double> layer({3, 1, 2});
  const Numbers logits = {1000, 999, 0, 5, -700, -700.5};
  Numbers p = logits;
  layer.forward(p.data(), 1);
  EXPECT_NEAR(p[0], 1 / (1 + std::exp(-1.0)), 1e-12);
  EXPECT_NEAR(p[1], 1 / (1 + std::exp(1.0)), 1e-12);
  EXPECT_NEAR(p[2], 0, 1e-12);
  EXPECT_NEAR(p[3], 1, 1e-12);
  EXPECT_NEAR(p[4], 1 / (1 + std::exp(-0.5)), 1e-12);
  const std::vector<int32_t> targets = {1, -1, 0};
  EXPECT_NEAR(layer.loss(p.data(), targets.data(), 1), -std::log(p[1]) - std::log(p[4]), 1e-12);
}

TEST(SoftmaxGroups, GradientsAreThoseOfDifferences) {
  const SoftmaxGroups<double> layer({3, 1, 4});
  const std::vector<int32_t> targets = {2, 0, 3, 0, -1, -1};
  Numbers logits = random_numbers(16, 1);
  Numbers gradient = logits;
  layer.forward(gradient.data(), 2);
  layer.backward(targets.data(), 0.3, 2, gradient.data());
  expect_gradient(logits, gradient, [&] {
    Numbers p = logits;
    layer.forward(p.data(), 2);
    return 0.3 * layer.loss(p.data(), targets.data(), 2);
  });
}

TEST(Adam, TakesThePublishedSteps) {
  Parameter<double> a(3), b(1);
  a.value = {1, -2, 3};
  Adam<double> adam({&a, &b});
  Numbers values = {1, -2, 3, 0}, first(4), second(4);
  for (int step = 1; step <= 50; ++step) {
    const Numbers gradient = random_numbers(4, step);
    a.gradient.assign(gradient.begin(), gradient.begin() + 3);
    b.gradient = {gradient[3]};
    const double rate = 0.01 / step;
    adam.step(rate);
    for (size_t i = 0; i < 4; ++i) {
      first[i] = 0.9 * first[i] + 0.1 * gradient[i];
      second[i] = 0.999 * second[i] + 0.001 * gradient[i] * gradient[i];
      const double m = first[i] / (1 - std::pow(0.9, step)), v = second[i] / (1 - std::pow(0.999, step));
      values[i] -= rate * m / (std::sqrt(v) + 1e-8);
    }
    for (size_t i = 0; i < 3; ++i) EXPECT_NEAR(a.value[i], values[i], 1e-12);
    EXPECT_NEAR(b.value[0], values[3], 1e-12);
    EXPECT_EQ(a.gradient, Numbers(3)) << "gradients begin anew";
  }
}

TEST(Adam, SinglePrecisionIsNearDouble) {
  for (const size_t size : {1, 7, 16, 33}) {  // around whole vectors
    Parameter<double> reference(size);
    Parameter<float> parameter(size);
    Adam<double> adam_of_reference({&reference});
    Adam<float> adam({&parameter});
    for (int step = 1; step <= 20; ++step) {
      reference.gradient = random_numbers(size, step);
      parameter.gradient.assign(reference.gradient.begin(), reference.gradient.end());
      adam_of_reference.step(0.01);
      adam.step(0.01);
    }
    for (size_t i = 0; i < size; ++i) {
      EXPECT_NEAR(parameter.value[i], reference.value[i], 2e-6);
      EXPECT_EQ(parameter.gradient[i], 0);
    }
  }
}

}  // namespace
}  // namespace doppel
