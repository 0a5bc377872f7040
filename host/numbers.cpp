#include "host/numbers.h"

#include <array>
#include <cctype>
#include <limits>
#include <optional>
#include <string_view>

#include "engine/table/cells.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

// mantissa / 10^decimals
struct Decimal {
  int64_t mantissa = 0;
  int decimals = 0;
};

// value * factor, or nothing where that is beyond int64.
std::optional<int64_t> times(int64_t value, int64_t factor) {
  int64_t product;
  if (__builtin_mul_overflow(value, factor, &product)) return std::nullopt;
  return product;
}

std::optional<int64_t> power(int64_t base, int64_t exponent) {
  if (base <= 1) return exponent == 0 ? 1 : base;  // any other base is beyond int64 within 63 steps
  std::optional<int64_t> value = 1;
  for (int64_t i = 0; i < exponent && value; ++i) value = times(*value, base);
  return value;
}

// Takes "1_000.25" from the front of `text`; nothing where there is no number or it is too long.
std::optional<Decimal> take_decimal(std::string_view& text) {
  Decimal number;
  bool has_digits = false, has_point = false;
  while (!text.empty()) {
    const char c = text.front();
    if (c == '_') {
      if (!has_digits || text.size() < 2 || !is_digit(text[1])) return std::nullopt;
    } else if (c == '.') {
      if (has_point) return std::nullopt;
      has_point = true;
    } else if (is_digit(c)) {
      const std::optional<int64_t> shifted = times(number.mantissa, 10);
      if (!shifted || __builtin_add_overflow(*shifted, c - '0', &number.mantissa)) return std::nullopt;
      number.decimals += has_point;
      has_digits = true;
    } else {
      break;
    }
    text.remove_prefix(1);
  }
  return has_digits ? std::optional(number) : std::nullopt;
}

// number * factor where that is whole, or rounded down if `rounds`.
std::optional<int64_t> scale(Decimal number, int64_t factor, bool rounds) {
  for (; number.decimals > 0 && number.mantissa % 10 == 0; --number.decimals) number.mantissa /= 10;
  const std::optional<int64_t> divisor = power(10, number.decimals);
  if (!divisor) return std::nullopt;
  const __int128 product = static_cast<__int128>(number.mantissa) * factor;
  if (!rounds && product % *divisor != 0) return std::nullopt;
  const __int128 value = product / *divisor;
  if (value > std::numeric_limits<int64_t>::max()) return std::nullopt;
  return static_cast<int64_t>(value);
}

struct Unit {
  std::string_view name;  // in lower case
  int64_t factor;
};
constexpr std::array<Unit, 5> kCountUnits = {
    {{"", 1}, {"k", 1'000}, {"m", 1'000'000}, {"g", 1'000'000'000}, {"t", 1'000'000'000'000}}};
constexpr std::array<Unit, 14> kByteUnits = {{{"", 1},
                                              {"b", 1},
                                              {"k", 1LL << 10},
                                              {"kb", 1'000},
                                              {"kib", 1LL << 10},
                                              {"m", 1LL << 20},
                                              {"mb", 1'000'000},
                                              {"mib", 1LL << 20},
                                              {"g", 1LL << 30},
                                              {"gb", 1'000'000'000},
                                              {"gib", 1LL << 30},
                                              {"t", 1LL << 40},
                                              {"tb", 1'000'000'000'000},
                                              {"tib", 1LL << 40}}};

template <class Units>
std::optional<int64_t> unit_factor(const Units& units, std::string_view text) {
  std::string name;
  for (const char c : text) name += static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  for (const Unit& unit : units) {
    if (unit.name == name) return unit.factor;
  }
  return std::nullopt;
}

// What follows a number: "^30", "e9" or a unit. Nothing where it is none of them.
template <class Units>
std::optional<int64_t> parse(std::string_view text, const Units& units, bool rounds) {
  const std::optional<Decimal> number = take_decimal(text);
  if (!number) return std::nullopt;
  const bool is_power = text.starts_with('^'), is_scientific = text.starts_with('e') || text.starts_with('E');
  if (!is_power && !is_scientific) {
    const std::optional<int64_t> factor = unit_factor(units, text);
    return factor ? scale(*number, *factor, rounds) : std::nullopt;
  }
  text.remove_prefix(1);
  if (is_scientific && text.starts_with('+')) text.remove_prefix(1);
  const std::optional<Decimal> exponent = take_decimal(text);
  if (!exponent || exponent->decimals > 0 || !text.empty()) return std::nullopt;
  if (is_power) return number->decimals == 0 ? power(number->mantissa, exponent->mantissa) : std::nullopt;
  const std::optional<int64_t> factor = power(10, exponent->mantissa);
  return factor ? scale(*number, *factor, rounds) : std::nullopt;
}

}  // namespace

int64_t parse_count(const std::string& text) {
  const std::optional<int64_t> count = parse(text, kCountUnits, false);
  if (!count) throw UsageError("'" + text + "' is not a whole number below 2^63, such as 1000, 10k, 2.5M, 1e9 or 2^30");
  return *count;
}

int64_t parse_bytes(const std::string& text) {
  const std::optional<int64_t> bytes = parse(text, kByteUnits, true);
  if (!bytes) throw UsageError("'" + text + "' is not a number of bytes, such as 512M, 2GiB (powers of 1024) or 1.5GB");
  return *bytes;
}

}  // namespace doppel
