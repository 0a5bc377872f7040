// Normals: their functions against double precision, their distribution at 4 to 5 sigma, and that rows, draws, seeds
// and streams are independent.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <numbers>

#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/cpu/sample_table.h"
#include "kernels/random.h"

namespace doppel {
namespace {

using L = PlainLanes;

float uniform(uint32_t word) {
  return portable::uniform_of_word<L>(static_cast<int32_t>(word));
}

// Steps of float between a value and the exact one, at the exact one's size.
double ulps(float got, double exact) {
  const int exponent = std::max(std::ilogb(exact), -126);
  return std::abs(static_cast<double>(got) - exact) / std::ldexp(1.0, exponent - 23);
}

TEST(UniformOfWord, IsInTheHalfOpenUnitIntervalAndMonotone) {
  EXPECT_EQ(uniform(0), 0x1p-32f);
  EXPECT_EQ(uniform(1), 0x1p-32f);
  EXPECT_EQ(uniform(0xFFFFFFFF), 1.0f);
  float last = 0;
  for (uint64_t word = 0; word <= 0xFFFFFFFF; word += 65537) {
    const float u = uniform(static_cast<uint32_t>(word));
    ASSERT_GE(u, last);
    ASSERT_GT(u, 0.0f);
    ASSERT_LE(u, 1.0f);
    ASSERT_LE(ulps(u, (2.0 * static_cast<double>(word / 2) + 1) * 0x1p-32), 1.0) << word;
    last = u;
  }
}

TEST(MinusTwoLog, IsWithinThreeUlpsOfTheLogarithm) {
  double worst = 0;
  const auto check = [&](float u) {
    const float got = portable::minus_two_log<L>(u);
    if (u == 1.0f) {
      ASSERT_EQ(got, 0.0f);
    } else {
      ASSERT_GT(got, 0.0f) << u;
      worst = std::max(worst, ulps(got, -2 * std::log(static_cast<double>(u))));
    }
  };
  // From 1/2 to 1, where the logarithm is small, every third float; every one next to 1; the other octaves, which are
  // reduced to this one, thinly.
  for (uint32_t bits = 0x3F000000; bits <= 0x3F7F0000; bits += 3) check(std::bit_cast<float>(bits));
  for (uint32_t bits = 0x3F7F0000; bits <= 0x3F800000; ++bits) check(std::bit_cast<float>(bits));
  for (uint32_t bits = 0x2F000000; bits < 0x3F000000; bits += 61) check(std::bit_cast<float>(bits));
  RecordProperty("worst_ulps", std::to_string(worst));
  EXPECT_LE(worst, 3.0);
}

TEST(CosSinOfWord, IsCloseToTheFunctionsEverywhere) {
  double worst = 0;
  const auto check = [&](uint32_t word) {
    float cosine, sine;
    portable::cos_sin_of_word<L>(static_cast<int32_t>(word), cosine, sine);
    const double angle = 2 * std::numbers::pi * static_cast<double>(word) * 0x1p-32;
    worst = std::max({worst, std::abs(cosine - std::cos(angle)), std::abs(sine - std::sin(angle))});
  };
  for (uint64_t word = 0; word <= 0xFFFFFFFF; word += 2003) check(static_cast<uint32_t>(word));
  for (uint64_t eighth = 0; eighth < 8; ++eighth)  // where quadrants meet
    for (uint64_t near = 0; near < 2000; ++near) check(static_cast<uint32_t>(eighth * 0x20000000 + near - 1000));
  EXPECT_LE(worst, 1.1e-7);  // of values up to 1: half a step of float is 3e-8
}

TEST(BoxMuller, ExtremeWordsGiveFiniteNormals) {
  for (uint32_t radius : {0u, 1u, 2u, 0x7FFFFFFFu, 0x80000000u, 0xFFFFFFFEu, 0xFFFFFFFFu}) {
    for (uint32_t angle : {0u, 1u, 0x1FFFFFFFu, 0x20000000u, 0x40000000u, 0x80000000u, 0xC0000000u, 0xFFFFFFFFu}) {
      float first, second;
      portable::box_muller<L>(static_cast<int32_t>(radius), static_cast<int32_t>(angle), first, second);
      const double length = std::hypot(first, second);
      EXPECT_NEAR(length, std::sqrt(-2 * std::log(static_cast<double>(uniform(radius)))), 2e-6);
      EXPECT_LE(length, 6.67);
    }
  }
}

std::vector<float> normals(const InstructionSet& instructions, uint64_t seed, uint64_t first_row, int64_t rows,
                           int32_t blocks) {
  std::vector<float> values(static_cast<size_t>(4 * blocks * rows));
  instructions.normals(seed, first_row, rows, blocks, values.data());
  return values;
}
std::vector<float> normals(uint64_t seed, uint64_t first_row, int64_t rows, int32_t blocks) {
  return normals(instruction_sets().front(), seed, first_row, rows, blocks);
}

TEST(Normals, SameBitsOnEveryInstructionSet) {
  for (uint64_t first_row : {uint64_t{0}, (uint64_t{1} << 32) - 1024, ~uint64_t{0} - 5000}) {
    const std::vector<float> wanted = normals(kScalarInstructions, 99, first_row, 4096, 7);
    for (const InstructionSet& instructions : instruction_sets()) {
      const std::vector<float> got = normals(instructions, 99, first_row, 4096, 7);
      EXPECT_EQ(std::memcmp(got.data(), wanted.data(), got.size() * sizeof(float)), 0) << instructions.name;
    }
  }
}

TEST(Normals, OfOneRowAreThoseOfManyRows) {
  constexpr int64_t kFirst = 2;
  const uint64_t row = (uint64_t{5} << 32) - 3;  // the third last before the high word changes
  for (const int64_t blocks : {1, 4, 17, 33}) {
    const std::vector<float> wanted = normals(kScalarInstructions, 7, row, 64, static_cast<int32_t>(kFirst + blocks));
    for (const InstructionSet& instructions : instruction_sets()) {
      std::vector<float> got(static_cast<size_t>(padded_normals(blocks)) + 1, -77.0f);
      instructions.normals_of_row(7, row, kFirst, blocks, got.data());
      for (int64_t i = 0; i < 4 * blocks; ++i)
        ASSERT_EQ(got[static_cast<size_t>(i)], wanted[static_cast<size_t>((4 * kFirst + i) * 64)])
            << instructions.name << ": " << i << " of " << blocks << " blocks";
      EXPECT_EQ(got.back(), -77.0f) << instructions.name << " wrote past the end";
    }
  }
}

TEST(Normals, MomentsAreANormals) {
  constexpr int64_t kRows = 1 << 16;
  const std::vector<float> values = normals(2024, 0, kRows, 16);  // 4.2 million
  const auto count = static_cast<double>(values.size());
  std::array<double, 7> power{};
  for (float value : values) {
    double x = 1;
    for (int p = 1; p <= 6; ++p) power[static_cast<size_t>(p)] += (x *= value);
  }
  // E x^p = 0, 1, 0, 3, 0, 15; the variance of the mean of x^p is (E x^2p - (E x^p)^2) / count.
  const std::array<double, 7> mean = {1, 0, 1, 0, 3, 0, 15}, variance = {0, 1, 2, 15, 96, 945, 10170};
  for (size_t p = 1; p <= 6; ++p)
    EXPECT_NEAR(power[p] / count, mean[p], 4 * std::sqrt(variance[p] / count)) << "moment " << p;
}

TEST(Normals, DistributionFunctionFitsFarIntoTheTails) {
  std::vector<float> values = normals(77, 1000, 1 << 15, 16);
  std::sort(values.begin(), values.end());
  const auto count = static_cast<double>(values.size());
  const auto probability = [](double x) { return 0.5 * std::erfc(-x * std::numbers::sqrt2 / 2); };
  double distance = 0;  // Kolmogorov's
  for (size_t i = 0; i < values.size(); ++i) {
    const double p = probability(values[i]);
    distance = std::max(
        {distance, std::abs(p - static_cast<double>(i) / count), std::abs(p - static_cast<double>(i + 1) / count)});
  }
  EXPECT_LT(distance * std::sqrt(count), 2.2);  // exceeded with probability 1.3e-4
  for (double x : {2.0, 3.0, 3.5, 4.0, 4.5, 5.0}) {
    const double expected = count * probability(-x), allowed = 5 * std::sqrt(expected) + 2;
    const auto below = std::lower_bound(values.begin(), values.end(), static_cast<float>(-x)) - values.begin();
    const auto above = values.end() - std::upper_bound(values.begin(), values.end(), static_cast<float>(x));
    EXPECT_NEAR(static_cast<double>(below), expected, allowed) << x;
    EXPECT_NEAR(static_cast<double>(above), expected, allowed) << x;
  }
}

double correlation(const float* a, const float* b, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i) sum += static_cast<double>(a[i]) * b[i];
  return sum / static_cast<double>(count);
}

TEST(Normals, RowsDrawsAndSeedsAreIndependent) {
  constexpr int64_t kRows = 1 << 16;
  const double allowed = 4.5 / std::sqrt(static_cast<double>(kRows));
  const std::vector<float> values = normals(5, 0, kRows, 5);
  for (int64_t i = 0; i < 20; ++i) {
    const float* draw = values.data() + i * kRows;
    for (int64_t j = 0; j < i; ++j)
      EXPECT_NEAR(correlation(draw, values.data() + j * kRows, kRows), 0, allowed) << i << ' ' << j;
    for (int64_t lag : {1, 2, 8, 16, 256})
      EXPECT_NEAR(correlation(draw, draw + lag, kRows - lag), 0, 1.01 * allowed) << i << ' ' << lag;
  }
  // Squares, too: dependence without correlation, as the two normals of one pair would have from a bad radius.
  for (int64_t i = 1; i < 20; ++i) {
    const float *a = values.data() + (i - 1) * kRows, *b = values.data() + i * kRows;
    double sum = 0;
    for (int64_t row = 0; row < kRows; ++row) sum += (a[row] * a[row] - 1.0) * (b[row] * b[row] - 1.0);
    EXPECT_NEAR(sum / kRows, 0, 2 * allowed) << i;
  }
  for (uint64_t other_seed : {uint64_t{4}, uint64_t{6}, uint64_t{5} | uint64_t{1} << 32}) {
    const std::vector<float> other = normals(other_seed, 0, kRows, 5);
    for (int64_t i = 0; i < 20; ++i)
      EXPECT_NEAR(correlation(values.data() + i * kRows, other.data() + i * kRows, kRows), 0, allowed) << other_seed;
  }
}

TEST(Normals, EachIsAFunctionOfSeedRowAndDraw) {
  const std::vector<float> far = normals(3, uint64_t{7} << 33, 128, 4),
                           few = normals(3, (uint64_t{7} << 33) + 64, 64, 2);
  for (int64_t draw = 0; draw < 8; ++draw)
    for (int64_t row = 0; row < 64; ++row) ASSERT_EQ(few[draw * 64 + row], far[draw * 128 + 64 + row]);
}

TEST(Philox, StreamsOfOneSeedDiffer) {
  for (uint32_t row = 0; row < 1000; ++row) {
    const auto rows = philox({row, 0, 0, uint32_t(Stream::kRows)}, {1, 0});
    const auto text = philox({row, 0, 0, uint32_t(Stream::kText)}, {1, 0});
    for (size_t word = 0; word < 4; ++word) ASSERT_NE(rows[word], text[word]);
  }
}

TEST(Philox, BitsAreBalancedAndAvalanche) {
  constexpr int kBlocks = 1 << 14;
  std::array<int, 128> ones{}, flips{};
  for (uint32_t i = 0; i < kBlocks; ++i) {
    const auto block = philox({i, 0, 0, 0}, {0, 0}), next = philox({i ^ 1u << (i % 32), 0, 0, 0}, {0, 0});
    for (size_t bit = 0; bit < 128; ++bit) {
      ones[bit] += block[bit / 32] >> (bit % 32) & 1;
      flips[bit] += (block[bit / 32] ^ next[bit / 32]) >> (bit % 32) & 1;
    }
  }
  for (size_t bit = 0; bit < 128; ++bit) {  // 5 sigma of a fair coin
    EXPECT_NEAR(ones[bit], kBlocks / 2, 2.5 * std::sqrt(double{kBlocks})) << bit;
    EXPECT_NEAR(flips[bit], kBlocks / 2, 2.5 * std::sqrt(double{kBlocks})) << bit;
  }
}

}  // namespace
}  // namespace doppel
