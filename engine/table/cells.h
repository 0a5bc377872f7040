// Single cells of a text: blanks around them, numbers, truth values, missing markers. Shared by inference (profile.cpp)
// and conversion (table.cpp), so that both read a cell alike.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "engine/table/schema.h"

namespace doppel {

inline bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Without spaces and tabs at both ends.
inline std::string_view trimmed(std::string_view text) {
  const auto is_blank = [](char c) { return c == ' ' || c == '\t'; };
  while (!text.empty() && is_blank(text.front())) text.remove_prefix(1);
  while (!text.empty() && is_blank(text.back())) text.remove_suffix(1);
  return text;
}

enum class NumberForm : uint8_t {
  kNone,     // no number
  kInteger,  // "-12"
  kDecimal,  // "1.50": at most kMaximumDecimals digits after the point, and the digits fit int64
  kReal,     // "1e-300", "0.1234567890123", "+1.5"
  kWide,     // a whole number beyond int64
};

struct Number {
  NumberForm form = NumberForm::kNone;
  int decimals = 0;    // kDecimal: digits after the point, trailing zeros included
  int64_t quanta = 0;  // kInteger, kDecimal: the value times 10^decimals
  double real = 0;     // kReal, kWide: the nearest double
};

// A number as data files write it: sign, digits, point, digits, exponent. Not numbers, but codes and the like: leading
// zeros ("007", "00.5"), thousands separators ("1,234" may be a decimal comma), hexadecimal, "+" before more than six
// whole digits (a telephone number), numbers beyond the doubles. `text` has no blanks around it.
Number parse_number(std::string_view text);

// The nearest double to the number that `text` means, which parse_number has taken for `number`.
double real_of(const Number& number, std::string_view text);
// quanta / 10^decimals, correctly rounded where |quanta| <= 2^53.
double real_of(int64_t quanta, int decimals);

int64_t power_of_ten(int exponent);  // 0 to 18

// value * 10^decimals; false where that does not fit int64.
bool scale_by_ten(int64_t value, int decimals, int64_t& scaled);

// From one number of decimals to another: exactly to more, rounding halves away from zero to fewer. False where that
// does not fit int64.
bool rescale_quanta(int64_t quanta, int from, int to, int64_t& rescaled);

// "inf", "-Infinity" and so on: programs write them for overflow. They count as missing in columns of numbers.
bool is_infinity(std::string_view text);

// 1: true, yes, t, y; 0: false, no, f, n; in any letter case; -1: neither. `pair` is set to which of the four it is.
int truth_value(std::string_view text, int& pair);

// Values of typed columns as texts: "true" or "false" of a bool, the shortest digits that mean the same float or
// double.
std::string typed_text(int64_t value, SourceType type);
std::string typed_text(double value, SourceType type);

// Texts that stand for a missing cell, compared without the blanks around a cell. The empty text always is one.
class MissingMarkers {
 public:
  explicit MissingMarkers(std::vector<std::string> markers);
  bool contains(std::string_view text) const {
    return text.empty() ||
           (text.size() <= longest_ && has_first_[static_cast<unsigned char>(text.front())] && search(text));
  }

 private:
  bool search(std::string_view text) const;

  std::vector<std::string> markers_;
  size_t longest_ = 0;
  bool has_first_[256] = {};
};

}  // namespace doppel
