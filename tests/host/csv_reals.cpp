// format_float32s against std::to_chars, byte by byte, on every instruction set that the machine has. All 2^32 floats
// were compared once; here are those on the boundaries of the algorithm and a sample of every exponent.
#include "host/encoders/csv_reals.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <bit>
#include <charconv>
#include <cmath>
#include <cstdlib>
#include <random>
#include <string>
#include <string_view>
#include <vector>

namespace doppel {
namespace {

constexpr size_t kSlotBytes = kFloat32Bytes + 1;

// A value, its neighbours and their negatives.
void add_around(float value, std::vector<float>& values) {
  const auto bits = std::bit_cast<uint32_t>(value);
  for (uint32_t step = 0; step < 7; ++step) {
    values.push_back(std::bit_cast<float>(bits + step - 3));
    values.push_back(-values.back());
  }
}

std::vector<float> every_exponent() {
  std::mt19937 random(1);
  std::vector<float> values;
  for (uint32_t exponent = 0; exponent < 256; ++exponent) {
    add_around(std::bit_cast<float>(exponent << 23), values);
    const bool is_fast = exponent >= 112 && exponent <= 151;
    for (int draw = 0; draw < (is_fast ? 1 << 15 : 1 << 11); ++draw)
      values.push_back(std::bit_cast<float>(exponent << 23 | (static_cast<uint32_t>(random()) & 0x807fffffu)));
  }
  return values;
}

std::vector<float> short_decimals() {
  std::vector<float> values;
  for (int power = -46; power <= 38; ++power)
    for (const int digits : {1, 2, 3, 4, 5, 6, 7, 8, 9, 12, 25, 99, 101, 125, 12345, 999999, 9999999})
      add_around(std::strtof((std::to_string(digits) + "e" + std::to_string(power)).c_str(), nullptr), values);
  return values;
}

// Whole numbers, with many zeros too, and fractions with a power of two below: among them those halfway between
// decimals.
std::vector<float> whole_numbers_and_halves() {
  std::mt19937 random(2);
  std::vector<float> values;
  for (uint32_t value = 0; value < 1 << 17; ++value) values.push_back(static_cast<float>(value));
  for (uint32_t value = 0; value < 1 << 25; value += 12'500) add_around(static_cast<float>(value), values);
  for (int power = 1; power <= 24; ++power)
    for (int draw = 0; draw < 1 << 14; ++draw)
      values.push_back(std::ldexp(static_cast<float>(random() >> (8 + random() % 16)), -power));
  return values;
}

std::string to_chars_of(float value, char separator) {
  char text[64];
  return std::string(text, std::to_chars(text, text + sizeof text, value).ptr) + separator;
}

// Nothing but the lines of the values that differ, a few of them.
std::string differences(const std::vector<float>& values, const std::vector<std::string>& expected) {
  std::vector<char> text(values.size() * kSlotBytes);
  std::vector<uint8_t> lengths(values.size());
  if (!format_float32s(values.data(), static_cast<int64_t>(values.size()), ';',
                       {text.data(), kSlotBytes, lengths.data(), 1}))
    return "refused";
  std::string lines;
  for (size_t row = 0; row < values.size() && lines.size() < 1000; ++row) {
    const std::string_view cell(text.data() + row * kSlotBytes, lengths[row]);
    if (cell != expected[row]) lines += std::string(cell) + " instead of " + expected[row] + "\n";
  }
  return lines;
}

class ManyFloat32s : public testing::TestWithParam<std::vector<float> (*)()> {};

TEST_P(ManyFloat32s, AreAsToCharsWritesThemOnEveryInstructionSet) {
  const std::vector<float> values = GetParam()();
  std::vector<std::string> expected;
  for (const float value : values) expected.push_back(to_chars_of(value, ';'));
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::SetSupportedTargetsForTest(target);
    hwy::GetChosenTarget().Update(hwy::SupportedTargets());
    EXPECT_EQ(differences(values, expected), target == HWY_SCALAR ? "refused" : "") << hwy::TargetName(target);
  }
  hwy::SetSupportedTargetsForTest(0);
  hwy::GetChosenTarget().Update(hwy::SupportedTargets());
}

INSTANTIATE_TEST_SUITE_P(Values, ManyFloat32s,
                         testing::Values(every_exponent, short_decimals, whole_numbers_and_halves));

TEST(Float32s, AnyNumberOfRowsInSlotsOfAnyWidth) {
  for (const size_t row_bytes : {kSlotBytes, size_t{41}}) {
    for (size_t rows = 0; rows <= 19; ++rows) {
      std::vector<float> values;
      for (size_t row = 0; row < rows; ++row) values.push_back(row % 5 == 3 ? -1.17549435e-38f : 1.0f / (0.5f - row));
      std::string text(rows * row_bytes + 8, '#');
      std::vector<uint8_t> lengths(2 * rows + 1, 77);
      ASSERT_TRUE(format_float32s(values.data(), static_cast<int64_t>(rows), '\n',
                                  {text.data(), row_bytes, lengths.data(), 2}));
      for (size_t row = 0; row < rows; ++row) {
        EXPECT_EQ(text.substr(row * row_bytes, lengths[2 * row]), to_chars_of(values[row], '\n'));
        EXPECT_EQ(lengths[2 * row + 1], 77);
        EXPECT_EQ(text.substr(row * row_bytes + kSlotBytes, row_bytes - kSlotBytes),
                  std::string(row_bytes - kSlotBytes, '#'));
      }
      EXPECT_EQ(text.substr(rows * row_bytes), "########");
    }
  }
}

}  // namespace
}  // namespace doppel
