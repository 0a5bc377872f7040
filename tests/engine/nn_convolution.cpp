// Layers of images: the double reference against the definition and against differences, the transposed convolution
// against the transpose, and single precision (oneDNN, and products where an image has few channels) against double.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "engine/nn/convolution.h"
#include "tests/engine/nn_cases.h"

namespace doppel {
namespace {

// Of sums in single precision: absolute, relative to the largest of the reference.
constexpr double kFloatTolerance = 3e-6;

std::vector<float> floats(const Numbers& numbers) {
  return {numbers.begin(), numbers.end()};
}

// All is judged by the largest value: sums of n products err by about sqrt(n) steps of float of their largest part.
void expect_close(const std::vector<float>& values, const Numbers& reference, const char* what) {
  ASSERT_EQ(values.size(), reference.size());
  double largest = 1, error = 0;
  for (size_t i = 0; i < values.size(); ++i) {
    ASSERT_TRUE(std::isfinite(values[i])) << what << " " << i;
    largest = std::max(largest, std::abs(reference[i]));
    error = std::max(error, std::abs(static_cast<double>(values[i]) - reference[i]));
  }
  EXPECT_LE(error, kFloatTolerance * largest) << what;
}

// Odd sizes, strides that leave pixels over, no padding, kernels of one pixel, channels around SIMD's 16.
const std::vector<ConvShape> kShapes = {
    {1, 1, 1, 1, 1, 1, 0}, {1, 3, 5, 4, 3, 1, 1}, {2, 1, 4, 5, 3, 2, 1},  {3, 2, 6, 6, 4, 2, 1},
    {4, 5, 7, 5, 3, 2, 0}, {9, 3, 3, 3, 1, 1, 0}, {8, 17, 6, 5, 5, 1, 2}, {16, 15, 8, 8, 4, 2, 1},
};
constexpr int64_t kRows = 3;

template <class Layer>
Layer make_layer(const ConvShape& shape) {
  Layer layer(shape, 2, 3, 4);
  for (size_t i = 0; i < layer.bias.value.size(); ++i) layer.bias.value[i] = 0.1 * static_cast<double>(i) - 0.3;
  return layer;
}

TEST(Conv2d, ForwardIsTheDefinition) {
  for (const ConvShape& s : kShapes) {
    auto layer = make_layer<Conv2d<double>>(s);
    const Numbers x = random_numbers(kRows * s.input_size(), 6);
    Numbers y(kRows * s.output_size());
    layer.forward(x.data(), kRows, Rectified::kNo, y.data());
    size_t at = 0;
    for (int64_t row = 0; row < kRows; ++row)
      for (int64_t oy = 0; oy < s.output_height(); ++oy)
        for (int64_t ox = 0; ox < s.output_width(); ++ox)
          for (int64_t o = 0; o < s.outputs; ++o) {
            double sum = layer.bias.value[o];
            for (int64_t i = 0; i < s.inputs; ++i)
              for (int64_t ky = 0; ky < s.kernel; ++ky)
                for (int64_t kx = 0; kx < s.kernel; ++kx) {
                  const int64_t iy = oy * s.stride + ky - s.padding, ix = ox * s.stride + kx - s.padding;
                  if (iy < 0 || ix < 0 || iy >= s.height || ix >= s.width) continue;
                  sum += layer.weight.value[((o * s.inputs + i) * s.kernel + ky) * s.kernel + kx] *
                         x[((row * s.height + iy) * s.width + ix) * s.inputs + i];
                }
            ASSERT_NEAR(y[at++], sum, 1e-12);
          }
    Numbers rectified(y.size());
    layer.forward(x.data(), kRows, Rectified::kYes, rectified.data());
    for (size_t i = 0; i < y.size(); ++i) ASSERT_EQ(rectified[i], std::max(y[i], 0.0));
  }
}

TEST(Conv2d, GradientsAreThoseOfDifferences) {
  for (const ConvShape& s : kShapes) {
    if (s.weights() > 500) continue;
    auto layer = make_layer<Conv2d<double>>(s);
    Numbers x = random_numbers(kRows * s.input_size(), 6), x_gradient(x.size()), y(kRows * s.output_size());
    const Numbers weight = random_numbers(y.size(), 7);
    const auto loss = [&] {
      layer.forward(x.data(), kRows, Rectified::kNo, y.data());
      return inner(y, weight);
    };
    layer.backward(x.data(), weight.data(), kRows, x_gradient.data());
    expect_gradient(x, x_gradient, loss);
    expect_gradient(layer.weight.value, layer.weight.gradient, loss);
    expect_gradient(layer.bias.value, layer.bias.gradient, loss);
  }
}

TEST(ConvTranspose2d, ForwardIsTheTransposeOfAConvolution) {
  for (const ConvShape& s : kShapes) {
    ConvTranspose2d<double> layer(s, 2, 3, 4);
    Conv2d<double> convolution(s, 2, 3, 4);
    convolution.weight.value = layer.weight.value;
    const Numbers x = random_numbers(s.output_size(), 1), y = random_numbers(s.input_size(), 2);
    Numbers of_x(y.size()), of_y(x.size());
    layer.forward(x.data(), 1, Rectified::kNo, of_x.data());
    convolution.forward(y.data(), 1, Rectified::kNo, of_y.data());
    EXPECT_NEAR(inner(of_x, y), inner(x, of_y), 1e-11);
  }
}

TEST(ConvTranspose2d, GradientsAreThoseOfDifferences) {
  for (const ConvShape& s : kShapes) {
    if (s.weights() > 500) continue;
    auto layer = make_layer<ConvTranspose2d<double>>(s);
    Numbers x = random_numbers(kRows * s.output_size(), 6), x_gradient(x.size()), y(kRows * s.input_size());
    const Numbers weight = random_numbers(y.size(), 7);
    const auto loss = [&] {
      layer.forward(x.data(), kRows, Rectified::kNo, y.data());
      return inner(y, weight);
    };
    layer.backward(x.data(), weight.data(), kRows, x_gradient.data());
    expect_gradient(x, x_gradient, loss);
    expect_gradient(layer.weight.value, layer.weight.gradient, loss);
    expect_gradient(layer.bias.value, layer.bias.gradient, loss);
  }
}

// Two passes of each precision, of several numbers of rows, one after another: nothing of one run is left in the next.
template <template <class> class Layer>
void expect_floats_are_close(const ConvShape& s, int64_t in, int64_t out) {
  auto reference = make_layer<Layer<double>>(s);
  Layer<float> layer(s, 2, 3, 4);
  layer.weight.value = floats(reference.weight.value);
  layer.bias.value = floats(reference.bias.value);
  for (const int64_t rows : {3, 1, 0, 3}) {
    const Numbers x = random_numbers(rows * in, 6), y_gradient = random_numbers(rows * out, 7);
    for (const Rectified rectified : {Rectified::kNo, Rectified::kYes}) {
      Numbers y(rows * out);
      std::vector<float> found(y.size(), NAN);
      reference.forward(x.data(), rows, rectified, y.data());
      layer.forward(floats(x).data(), rows, rectified, found.data());
      expect_close(found, y, "outputs");
    }
    Numbers x_gradient(x.size());
    std::vector<float> found(x.size(), NAN);
    reference.backward(x.data(), y_gradient.data(), rows, x_gradient.data());
    layer.backward(floats(x).data(), floats(y_gradient).data(), rows, found.data());
    expect_close(found, x_gradient, "gradient of inputs");
    expect_close(layer.weight.gradient, reference.weight.gradient, "gradient of weights");
    expect_close(layer.bias.gradient, reference.bias.gradient, "gradient of biases");
    reference.backward(x.data(), y_gradient.data(), rows, nullptr);
    layer.backward(floats(x).data(), floats(y_gradient).data(), rows, nullptr);
    expect_close(layer.weight.gradient, reference.weight.gradient, "gradients add up");
  }
}

TEST(Conv2d, SinglePrecisionIsNearDouble) {
  for (const ConvShape& s : kShapes) expect_floats_are_close<Conv2d>(s, s.input_size(), s.output_size());
  expect_floats_are_close<Conv2d>({32, 64, 14, 14, 3, 1, 1}, 14 * 14 * 32, 14 * 14 * 64);
}

TEST(ConvTranspose2d, SinglePrecisionIsNearDouble) {
  for (const ConvShape& s : kShapes) expect_floats_are_close<ConvTranspose2d>(s, s.output_size(), s.input_size());
  expect_floats_are_close<ConvTranspose2d>({1, 32, 28, 28, 4, 2, 1}, 14 * 14 * 32, 28 * 28);
  expect_floats_are_close<ConvTranspose2d>({32, 64, 14, 14, 4, 2, 1}, 7 * 7 * 64, 14 * 14 * 32);
}

TEST(MaxPool, TakesTheLargestAndGivesItTheGradient) {
  constexpr int64_t kChannels = 2, kHeight = 5, kWidth = 4, kSize = 2;
  MaxPool<double> layer(kChannels, kHeight, kWidth, kSize);
  Numbers x = random_numbers(kRows * kHeight * kWidth * kChannels, 1), y(kRows * layer.output_size());
  ASSERT_EQ(layer.output_size(), 2 * 2 * kChannels);
  layer.forward(x.data(), kRows, y.data());
  size_t at = 0;
  for (int64_t row = 0; row < kRows; ++row)
    for (int64_t oy = 0; oy < 2; ++oy)
      for (int64_t ox = 0; ox < 2; ++ox)
        for (int64_t c = 0; c < kChannels; ++c) {
          double largest = -INFINITY;
          for (int64_t iy = 2 * oy; iy < 2 * oy + 2; ++iy)
            for (int64_t ix = 2 * ox; ix < 2 * ox + 2; ++ix)
              largest = std::max(largest, x[((row * kHeight + iy) * kWidth + ix) * kChannels + c]);
          EXPECT_EQ(y[at++], largest);
        }
  const Numbers weight = random_numbers(y.size(), 2);
  Numbers gradient(x.size());
  layer.backward(weight.data(), kRows, gradient.data());
  expect_gradient(x, gradient, [&] {
    layer.forward(x.data(), kRows, y.data());
    return inner(y, weight);
  });
}

TEST(MaxPool, SinglePrecisionIsDoublePrecision) {
  for (const int64_t channels : {1, 3, 16, 33})
    for (const int64_t size : {1, 2, 3}) {
      MaxPool<double> reference(channels, 7, 6, size);
      MaxPool<float> layer(channels, 7, 6, size);
      for (const int64_t rows : {2, 0, 1}) {
        Numbers x = random_numbers(rows * 7 * 6 * channels, 3), y(rows * reference.output_size());
        for (double& value : x) value = std::max(0.0, static_cast<double>(static_cast<float>(value)));  // with ties
        const Numbers y_gradient = random_numbers(y.size(), 4);
        reference.forward(x.data(), rows, y.data());
        std::vector<float> found(y.size(), NAN);
        layer.forward(floats(x).data(), rows, found.data());
        EXPECT_EQ(found, floats(y));
        Numbers gradient(x.size());
        std::vector<float> found_gradient(x.size(), NAN);
        reference.backward(y_gradient.data(), rows, gradient.data());
        layer.backward(floats(y_gradient).data(), rows, found_gradient.data());
        EXPECT_EQ(found_gradient, floats(gradient));
      }
    }
}

}  // namespace
}  // namespace doppel
