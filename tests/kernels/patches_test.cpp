// Sums of patches, against their definition.
#include "kernels/cpu/patches.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <random>

#include "tests/kernels/network_cases.h"

namespace doppel {
namespace {

constexpr int64_t kImages = 3;

class PatchSumsOf : public testing::TestWithParam<ConvShape> {
 protected:
  const ConvShape shape = GetParam();
  const PatchSums sums{shape};
  std::mt19937_64 random{1};
  const std::vector<float> patches = random_normals(kImages * sums.image_floats(), 1, random);
  const std::vector<float> bias = random_normals(shape.inputs, 1, random);
};
// Of 1, 3 and 37 channels: less than a vector, and whole ones with a rest.
INSTANTIATE_TEST_SUITE_P(Shapes, PatchSumsOf,
                         testing::Values(ConvShape{1, 4, 28, 28, 4, 2, 1}, ConvShape{3, 2, 9, 7, 3, 1, 1},
                                         ConvShape{37, 2, 9, 7, 3, 2, 1}, ConvShape{32, 2, 6, 5, 4, 2, 1},
                                         ConvShape{16, 2, 6, 6, 2, 3, 0}));  // some pixels are in no patch

TEST_P(PatchSumsOf, EveryPixelTakesWhatThePatchesHaveForIt) {
  const int64_t taps = shape.kernel * shape.kernel;
  std::vector<double> expected;
  for (int64_t i = 0; i < kImages * shape.height * shape.width; ++i)
    expected.insert(expected.end(), bias.begin(), bias.end());
  for (int64_t image = 0; image < kImages; ++image)
    for_each_tap(shape, [&](int64_t output, int64_t input, int64_t tap) {
      for (int64_t c = 0; c < shape.inputs; ++c)
        expected[static_cast<size_t>(image * shape.input_size() + input * shape.inputs + c)] += static_cast<double>(
            patches[static_cast<size_t>(image * sums.image_floats() + (output * taps + tap) * shape.inputs + c)]);
    });
  std::vector<float> y(expected.size());
  sums.sum(patches.data(), kImages, bias.data(), false, y.data());
  for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], expected[i], 1e-5) << i;  // sums of up to 17 of about 1
  sums.sum(patches.data(), kImages, bias.data(), true, y.data());
  for (size_t i = 0; i < y.size(); ++i) ASSERT_NEAR(y[i], std::max(expected[i], 0.0), 1e-5) << i;
}

TEST_P(PatchSumsOf, InBfloat16AreTheNearest) {
  std::vector<float> y(static_cast<size_t>(kImages * shape.input_size()));
  std::vector<uint16_t> rounded(y.size());
  sums.sum(patches.data(), kImages, nullptr, false, y.data());
  sums.sum(patches.data(), kImages, nullptr, false, rounded.data());
  for (size_t i = 0; i < y.size(); ++i) {
    const auto value = std::bit_cast<float>(static_cast<uint32_t>(rounded[i]) << 16);
    ASSERT_LE(std::abs(value - y[i]), std::abs(y[i]) / 256) << i;  // half of the last of 8 digits
  }
}

TEST(WeightsOfPatches, HaveTheChannelsOfATapTogether) {
  EXPECT_EQ(weights_of_patches({2, 2, 4, 4, 2, 2, 0},
                               std::vector<float>{0, 1, 2, 3, 10, 11, 12, 13, 20, 21, 22, 23, 30, 31, 32, 33}.data()),
            (std::vector<float>{0, 10, 1, 11, 2, 12, 3, 13, 20, 30, 21, 31, 22, 32, 23, 33}));
}

}  // namespace
}  // namespace doppel
