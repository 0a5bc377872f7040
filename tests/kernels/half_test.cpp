#include "kernels/common/half.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

namespace doppel {
namespace {

constexpr uint16_t kInfinity = 0x7C00;

// From the definition: sign, 5 bits of exponent, 10 of fraction.
double value_of_half(uint16_t half) {
  const int exponent = half >> 10 & 31, fraction = half & 1023;
  const double magnitude = exponent == 0 ? std::ldexp(fraction, -24) : std::ldexp(1024 + fraction, exponent - 25);
  return half & 0x8000 ? -magnitude : magnitude;
}

TEST(Half, EveryNumberIsReadAndWrittenExactly) {
  for (uint32_t bits = 0; bits < 0x10000; ++bits) {
    const auto half = static_cast<uint16_t>(bits);
    if ((half & kInfinity) == kInfinity) continue;  // infinities and NaNs
    ASSERT_EQ(float_of_half(half), value_of_half(half)) << bits;
    ASSERT_EQ(half_of_float(float_of_half(half)), half);
  }
}

TEST(Half, HalfwayGoesToTheEvenNeighbour) {
  for (uint16_t half = 0; half + 1 < kInfinity; ++half) {
    const double low = value_of_half(half), high = value_of_half(half + 1), middle = (low + high) / 2;
    const auto even = static_cast<uint16_t>(half % 2 == 0 ? half : half + 1);
    ASSERT_EQ(half_of_float(static_cast<float>(middle)), even);
    ASSERT_EQ(half_of_float(std::nextafter(static_cast<float>(middle), 0.0f)), half);
    ASSERT_EQ(half_of_float(std::nextafter(static_cast<float>(middle), 1e9f)), half + 1);
    ASSERT_EQ(half_of_float(static_cast<float>(-middle)), even | 0x8000);
  }
}

TEST(Half, LargeNumbersAreInfinite) {
  EXPECT_EQ(half_of_float(65519.996f), kInfinity - 1);
  EXPECT_EQ(half_of_float(65520), kInfinity);
  EXPECT_EQ(half_of_float(-1e30f), kInfinity | 0x8000);
}

}  // namespace
}  // namespace doppel
