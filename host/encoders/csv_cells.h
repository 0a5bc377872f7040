// Digits and dates as text, at the speed that CSV needs: branches only where the data rarely take them.
#pragma once

#include <array>
#include <bit>
#include <charconv>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

#include "engine/table/datetime.h"
#include "engine/table/schema.h"

namespace doppel {

// The cells below write up to kCellSlack bytes past the text they return.
inline constexpr size_t kCellSlack = 16;
inline constexpr size_t kIntegerBytes = 20;  // -9223372036854775808
inline constexpr size_t kDecimalBytes = 21;  // the same with a dot
inline constexpr size_t kRealBytes = 24;     // -2.2250738585072014e-308

inline constexpr uint64_t kZeroDigits = 0x3030303030303030ull;

// The eight decimal digits of value < 10^8, a byte each, the first in the lowest byte. Four quotients at once in the
// lanes of one word; the method is Paul Khuong's ("How to print integers really fast", 2017).
inline uint64_t eight_digits(uint32_t value) {
  const uint64_t high = value / 10000, low = value % 10000;
  const uint64_t pairs = high | low << 32;
  const uint64_t hundreds = (pairs * 10486 >> 20) & 0x0000007f0000007full;
  const uint64_t two_digits = (pairs - 100 * hundreds) << 16 | hundreds;
  const uint64_t tens = (two_digits * 103 >> 10) & 0x000f000f000f000full;
  return (two_digits - 10 * tens) << 8 | tens;
}

inline void store_eight(char* to, uint64_t bytes) {
  std::memcpy(to, &bytes, sizeof bytes);
}

// Each writes the text of `value` to `to` and returns its end.
inline char* write_integer(int64_t value, char* to) {
  const uint64_t magnitude = value < 0 ? 0 - static_cast<uint64_t>(value) : static_cast<uint64_t>(value);
  *to = '-';
  to += value < 0;
  if (magnitude < 100'000'000) [[likely]] {
    const uint64_t digits = eight_digits(static_cast<uint32_t>(magnitude));
    const int leading =
        std::countr_zero(digits | uint64_t{1} << 56) & ~7;  // bits of leading zeros; the last digit stays
    store_eight(to, (digits | kZeroDigits) >> leading);
    return to + 8 - leading / 8;
  }
  return std::to_chars(to, to + kIntegerBytes, magnitude).ptr;
}

// quanta * 10^-decimals, 1 <= decimals <= kMaximumDecimals, with all decimals or without trailing zeros (and dot).
template <bool kKeepsZeros>
inline char* write_decimal(int64_t quanta, int decimals, char* to) {
  const uint64_t magnitude = quanta < 0 ? 0 - static_cast<uint64_t>(quanta) : static_cast<uint64_t>(quanta);
  *to = '-';
  to += quanta < 0;
  if (magnitude < 100'000'000 && decimals < 8) [[likely]] {
    const uint64_t digits = eight_digits(static_cast<uint32_t>(magnitude));
    // The digit before the dot stays, whatever it is.
    const int leading = std::countr_zero(digits | uint64_t{1} << (8 * (7 - decimals))) & ~7;
    const int whole = 64 - leading - 8 * decimals;  // bits of digits before the dot, 8 ... 56
    const uint64_t text = (digits | kZeroDigits) >> leading;
    const uint64_t before_dot = (uint64_t{1} << whole) - 1;
    store_eight(to, (text & before_dot) | uint64_t{'.'} << whole | (text & ~before_dot) << 8);
    to[8] = static_cast<char>(text >> 56);
    if constexpr (kKeepsZeros) return to + (72 - leading) / 8;
    const uint64_t fraction = digits >> leading >> whole;
    const int significant = (71 - std::countl_zero(fraction)) / 8;  // bytes up to the last digit that is not zero
    return to + whole / 8 + (significant != 0) + significant;
  }
  char text[kIntegerBytes + kMaximumDecimals];
  std::memset(text, '0', kMaximumDecimals);
  char* const printed = text + kMaximumDecimals;
  const char* const end = std::to_chars(printed, printed + kIntegerBytes, magnitude).ptr;
  const char* begin = end - printed > decimals ? printed : end - decimals - 1;  // "5" of 2 decimals: "005"
  const auto whole = static_cast<size_t>(end - begin - decimals);
  std::memcpy(to, begin, whole);
  to += whole;
  int kept = decimals;
  if constexpr (!kKeepsZeros)
    while (kept > 0 && end[kept - decimals - 1] == '0') --kept;
  if (kept == 0) return to;
  *to = '.';
  std::memcpy(to + 1, end - decimals, static_cast<size_t>(kept));
  return to + 1 + kept;
}

// The shortest text that reads back as the same float or double.
template <class Real>
inline char* write_real(Real value, char* to) {
  return std::to_chars(to, to + kRealBytes, value).ptr;
}

// A datetime format made ready (datetime.h says its letters). %f has as many digits as the unit (3, 6, 9; for seconds
// and days 6 zeros).
//
// Where all fields have one width, a cell is a copy of a template whose fields are filled in. Fields without leading
// zeros, names of months, years of two digits and years beyond four digits are written piece by piece.
class DatetimeWriter {
 public:
  // An empty format means ISO 8601 with a space: "%Y-%m-%d %H:%M:%S", as far as the unit goes, "+00:00" if there is a
  // zone.
  explicit DatetimeWriter(const ColumnSchema& schema);
  size_t max_bytes() const { return max_bytes_; }
  char* write(int64_t value, char* to) const;

 private:
  // Where a field of fixed width begins in the text; `value` says which of the seven it is.
  struct Field {
    uint8_t value = 0;  // position in "YmdHMSf"
    size_t offset = 0;
  };
  char* write_pieces(int64_t year, const std::array<uint32_t, 7>& values, char* to) const;
  void write_fields(const std::array<uint32_t, 7>& values, char* to) const;

  std::string text_;  // the literals, with zeros for the fields; years from 0 to 9999 have four digits
  std::vector<Field> fields_;
  std::vector<DatetimeItem> items_;
  bool has_fixed_width_ = true;
  TimeUnit unit_;
  int fraction_digits_ = 6;
  size_t max_bytes_ = 0;
};

}  // namespace doppel
