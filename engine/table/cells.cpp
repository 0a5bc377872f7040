#include "engine/table/cells.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>

#include "engine/table/schema.h"

namespace doppel {
namespace {

constexpr size_t kSafeDigits = 18;        // any number of so many digits fits int64
constexpr size_t kSignedWholeDigits = 6;  // "+123456" is a number, "+1234567" a telephone number
constexpr int64_t kExactDoubles = int64_t{1} << 53;

constexpr std::array<int64_t, 19> kPowersOfTen = [] {
  std::array<int64_t, 19> powers{1};
  for (size_t i = 1; i < powers.size(); ++i) powers[i] = powers[i - 1] * 10;
  return powers;
}();

// What a number's text consists of.
struct Parts {
  bool has_plus = false, is_negative = false, has_exponent = false, exponent_is_negative = false;
  std::string_view whole, fraction;
  bool is_number = false;
};

std::string_view take_digits(std::string_view& rest) {
  size_t length = 0;
  while (length < rest.size() && is_digit(rest[length])) ++length;
  const std::string_view digits = rest.substr(0, length);
  rest.remove_prefix(length);
  return digits;
}

bool take_sign(std::string_view& rest, bool& is_negative) {
  if (rest.empty() || (rest.front() != '-' && rest.front() != '+')) return false;
  is_negative = rest.front() == '-';
  rest.remove_prefix(1);
  return true;
}

Parts take_apart(std::string_view rest) {
  Parts parts;
  parts.has_plus = take_sign(rest, parts.is_negative) && !parts.is_negative;
  parts.whole = take_digits(rest);
  if (!rest.empty() && rest.front() == '.') {
    rest.remove_prefix(1);
    parts.fraction = take_digits(rest);
  }
  if (parts.whole.empty() && parts.fraction.empty()) return parts;
  if (parts.whole.size() > 1 && parts.whole.front() == '0') return parts;
  if (!rest.empty() && (rest.front() == 'e' || rest.front() == 'E')) {
    rest.remove_prefix(1);
    take_sign(rest, parts.exponent_is_negative);
    parts.has_exponent = true;
    if (take_digits(rest).empty()) return parts;
  }
  const bool is_telephone =
      parts.has_plus && parts.fraction.empty() && !parts.has_exponent && parts.whole.size() > kSignedWholeDigits;
  parts.is_number = rest.empty() && !is_telephone;
  return parts;
}

// False where the digits do not fit int64.
bool read_quanta(const Parts& parts, int64_t& quanta) {
  uint64_t magnitude = 0;
  if (parts.whole.size() + parts.fraction.size() <= kSafeDigits) {
    for (const char c : parts.whole) magnitude = magnitude * 10 + static_cast<uint64_t>(c - '0');
    for (const char c : parts.fraction) magnitude = magnitude * 10 + static_cast<uint64_t>(c - '0');
  } else {
    const uint64_t limit = static_cast<uint64_t>(INT64_MAX) + parts.is_negative;
    for (const std::string_view digits : {parts.whole, parts.fraction}) {
      for (const char c : digits) {
        const auto digit = static_cast<uint64_t>(c - '0');
        if (magnitude > (limit - digit) / 10) return false;
        magnitude = magnitude * 10 + digit;
      }
    }
  }
  quanta = static_cast<int64_t>(parts.is_negative ? 0 - magnitude : magnitude);
  return true;
}

// False where the number is beyond the doubles; one too small for them is 0.
bool read_real(std::string_view text, bool exponent_is_negative, double& value) {
  if (text.front() == '+') text.remove_prefix(1);
  const std::errc error = std::from_chars(text.data(), text.data() + text.size(), value).ec;
  if (error != std::errc::result_out_of_range) return error == std::errc();
  value = 0;
  return exponent_is_negative || text.find_first_of("123456789") > text.find('.');
}

}  // namespace

Number parse_number(std::string_view text) {
  Number number;
  const Parts parts = take_apart(text);
  if (!parts.is_number) return number;
  const bool has_quanta = !parts.has_exponent && !parts.has_plus && parts.fraction.size() <= kMaximumDecimals;
  if (has_quanta && read_quanta(parts, number.quanta)) {
    number.decimals = static_cast<int>(parts.fraction.size());
    number.form = number.decimals == 0 ? NumberForm::kInteger : NumberForm::kDecimal;
    return number;
  }
  if (!read_real(text, parts.exponent_is_negative, number.real)) return number;
  const bool is_wide = parts.fraction.empty() && !parts.has_exponent && parts.whole.size() >= kSafeDigits;
  number.form = is_wide ? NumberForm::kWide : NumberForm::kReal;
  return number;
}

int64_t power_of_ten(int exponent) {
  return kPowersOfTen[static_cast<size_t>(exponent)];
}

double real_of(int64_t quanta, int decimals) {
  return static_cast<double>(quanta) / static_cast<double>(power_of_ten(decimals));
}

double real_of(const Number& number, std::string_view text) {
  if (number.form == NumberForm::kReal || number.form == NumberForm::kWide) return number.real;
  if (number.quanta >= -kExactDoubles && number.quanta <= kExactDoubles) return real_of(number.quanta, number.decimals);
  double value = 0;
  read_real(text, false, value);
  return value;
}

bool scale_by_ten(int64_t value, int decimals, int64_t& scaled) {
  return !__builtin_mul_overflow(value, power_of_ten(decimals), &scaled);
}

bool rescale_quanta(int64_t quanta, int from, int to, int64_t& rescaled) {
  if (to >= from) return scale_by_ten(quanta, to - from, rescaled);
  const int64_t power = power_of_ten(from - to);
  const int64_t rest = quanta % power;
  rescaled = quanta / power;
  if (rest >= power - rest) ++rescaled;
  if (-rest >= power + rest) --rescaled;
  return true;
}

namespace {

// `lower` is a lower-case text.
bool equals_folded(std::string_view text, std::string_view lower) {
  return text.size() == lower.size() && std::equal(text.begin(), text.end(), lower.begin(), [](char a, char b) {
           return std::tolower(static_cast<unsigned char>(a)) == b;
         });
}

}  // namespace

bool is_infinity(std::string_view text) {
  if (!text.empty() && (text.front() == '-' || text.front() == '+')) text.remove_prefix(1);
  return equals_folded(text, "inf") || equals_folded(text, "infinity");
}

int truth_value(std::string_view text, int& pair) {
  static constexpr std::array<std::array<std::string_view, 2>, 4> kPairs{
      {{"false", "true"}, {"no", "yes"}, {"f", "t"}, {"n", "y"}}};
  if (text.size() > 5) return -1;
  for (pair = 0; pair < static_cast<int>(kPairs.size()); ++pair) {
    for (int value = 0; value < 2; ++value) {
      if (equals_folded(text, kPairs[static_cast<size_t>(pair)][static_cast<size_t>(value)])) return value;
    }
  }
  return -1;
}

std::string typed_text(int64_t value, SourceType type) {
  if (type == SourceType::kBool) return value != 0 ? "true" : "false";
  return std::to_string(value);
}

std::string typed_text(double value, SourceType type) {
  std::array<char, 32> text;
  char* const end = text.data() + text.size();
  const auto result = type == SourceType::kFloat32 ? std::to_chars(text.data(), end, static_cast<float>(value))
                                                   : std::to_chars(text.data(), end, value);
  return {text.data(), result.ptr};
}

MissingMarkers::MissingMarkers(std::vector<std::string> markers) : markers_(std::move(markers)) {
  for (std::string& marker : markers_) {
    marker = trimmed(marker);
    longest_ = std::max(longest_, marker.size());
    if (!marker.empty()) has_first_[static_cast<unsigned char>(marker.front())] = true;
  }
}

bool MissingMarkers::search(std::string_view text) const {
  return std::find(markers_.begin(), markers_.end(), text) != markers_.end();
}

}  // namespace doppel
