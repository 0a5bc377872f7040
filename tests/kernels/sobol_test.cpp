// Sobol' points and the order of rows (kernels/common/sobol.h).
#include "kernels/cpu/sobol.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

#include "tests/kernels/sampler_cases.h"

namespace doppel {
namespace {

uint32_t coordinate(uint32_t index, int32_t dimension) {
  const auto direction = sobol_directions(dimension + 1);
  uint32_t sum = 0;
  for (size_t bit = 0; bit < 32; ++bit)
    if (index >> bit & 1) sum ^= direction[static_cast<size_t>(dimension) * 32 + bit];
  return sum;
}

// scipy.stats.qmc.Sobol(64, scramble=False, bits=32).random(1024) * 2^32, whose row n is point n ^ (n >> 1).
TEST(Sobol, PointsAreScipys) {
  struct Known {
    uint32_t index;
    int32_t dimension;
    uint32_t coordinate;
  };
  for (const Known& known : {Known{1, 0, 2147483648u}, Known{3, 1, 1073741824u}, Known{2, 2, 3221225472u},
                             Known{7, 3, 1610612736u}, Known{86, 7, 2046820352u}, Known{532, 20, 1438646272u},
                             Known{653, 40, 3099590656u}, Known{769, 63, 180355072u}, Known{540, 1, 415236096u}})
    EXPECT_EQ(coordinate(known.index, known.dimension), known.coordinate) << known.dimension;
}

TEST(Sobol, PartsAreSumsOfDirections) {
  const std::vector<uint32_t> parts = sobol_parts(3);
  ASSERT_EQ(parts.size(), size_t{3} * kSobolParts * kSobolPartValues);
  for (uint32_t index : {0u, 1u, 0x12345678u, 0xFFFFFFFFu}) {
    uint32_t sum = 0;
    for (uint32_t part = 0; part < kSobolParts; ++part)
      sum ^= parts[(2 * kSobolParts + part) * kSobolPartValues + (index >> 4 * part & 15)];
    EXPECT_EQ(sum, coordinate(index, 2));
  }
}

TEST(Sobol, PlacesOfABlockAreAPermutation) {
  for (uint64_t block = 0; block < 20; ++block) {
    const auto order = philox_words(7, block, 0, Stream::kOrder);
    std::vector<uint32_t> places, all(kSobolBlockRows);
    std::iota(all.begin(), all.end(), 0);
    for (uint32_t place : all) places.push_back(sobol_place(order.data(), place));
    EXPECT_NE(places, all);
    std::sort(places.begin(), places.end());
    EXPECT_EQ(places, all);
  }
}

// 1,024 rows from a multiple of 1,024 on: one in each of 1,024 intervals of a word, and one in each of 32 x 32 squares
// of the first two.
TEST(Sobol, WordsOfABlockOfRowsAreSpreadEvenly) {
  constexpr uint64_t kFirst = 7 * 1024;
  for (int32_t dimension : {0, 1, 5, 31, 63}) {
    std::vector<int> count(1024);
    for (uint64_t row = kFirst; row < kFirst + 1024; ++row) ++count[reference::sobol_word(3, row, dimension) >> 22];
    EXPECT_EQ(count, std::vector<int>(1024, 1)) << dimension;
  }
  std::vector<int> count(1024);
  for (uint64_t row = kFirst; row < kFirst + 1024; ++row)
    ++count[reference::sobol_word(3, row, 0) >> 27 << 5 | reference::sobol_word(3, row, 1) >> 27];
  EXPECT_EQ(count, std::vector<int>(1024, 1));
}

// The mean of values of 0 and 1 is within 4.5 standard deviations of `expected`.
void expect_share(double count, double draws, double expected, const std::string& what) {
  EXPECT_NEAR(count / draws, expected, 4.5 * std::sqrt(expected * (1 - expected) / draws)) << what;
}

TEST(Sobol, AWordIsUniformOverSeedsAndIndependentOfItsNeighbours) {
  constexpr int kSeeds = 20'000;
  for (uint64_t row : {uint64_t{0}, uint64_t{1022}, uint64_t{0x123456789ABC}})
    for (int32_t dimension : {0, 6}) {
      std::vector<int> count(16);
      int alike = 0, alike_far = 0;
      for (uint64_t seed = 0; seed < kSeeds; ++seed) {
        const uint32_t word = reference::sobol_word(seed, row, dimension);
        ++count[word >> 28];
        // A pair of one block falls into one half in 511 of 1,023 cases: a deviation that 20,000 seeds do not show.
        alike += (word ^ reference::sobol_word(seed, row ^ 1, dimension)) >> 31 == 0;
        alike_far += (word ^ reference::sobol_word(seed, row + 4096, dimension)) >> 30 == 0;
      }
      for (const int sixteenth : count) expect_share(sixteenth, kSeeds, 1.0 / 16, "one of 16 intervals");
      expect_share(alike, kSeeds, 0.5, "neighbours in one half");
      expect_share(alike_far, kSeeds, 0.25, "rows of two blocks in one quarter");
    }
}

// Of the pairs (2 j, 2 j + 1) and of those 512 rows apart in one output, half fall into one half: whoever takes every
// second row, or the first half of each thousand, takes no part of the members.
TEST(Sobol, StridesTakeNoPartOfTheWords) {
  constexpr uint64_t kRows = 1 << 15;
  for (uint64_t apart : {1, 2, 3, 16, 512}) {
    double alike = 0, pairs = 0;
    for (uint64_t row = 0; row + apart < kRows; ++row) {
      if (row / 1024 != (row + apart) / 1024) continue;
      ++pairs;
      alike += (reference::sobol_word(11, row, 0) ^ reference::sobol_word(11, row + apart, 0)) >> 31 == 0;
    }
    expect_share(alike, pairs, 511.0 / 1023, std::to_string(apart) + " rows apart");
  }
  std::vector<int> count(64);
  for (uint64_t row = 0; row < kRows; row += 2) ++count[reference::sobol_word(12, row, 0) >> 26];
  for (const int share : count) expect_share(share, kRows / 2, 1.0 / 64, "every second row");
}

}  // namespace
}  // namespace doppel
