#include "host/encoders/csv_cells.h"

#include <algorithm>

#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr size_t kYearDigits = 4, kWidestYear = 20, kWidestMonth = 9;
constexpr std::string_view kFields = "YmdHMSf";

// "00" to "99".
constexpr auto kTwoDigits = [] {
  std::array<char, 200> digits{};
  for (size_t value = 0; value < 100; ++value) {
    digits[2 * value] = static_cast<char>('0' + value / 10);
    digits[2 * value + 1] = static_cast<char>('0' + value % 10);
  }
  return digits;
}();

void write_two(uint32_t value, char* to) {
  std::memcpy(to, &kTwoDigits[2 * value], 2);
}

void write_fraction(uint32_t value, int digits, char* to) {
  for (; digits-- > 0; value /= 10) to[digits] = static_cast<char>('0' + value % 10);
}

char* write_year(int64_t year, char* to) {
  if (year < 0 || year > 9999) return write_integer(year, to);
  write_two(static_cast<uint32_t>(year / 100), to);
  write_two(static_cast<uint32_t>(year % 100), to + 2);
  return to + kYearDigits;
}

struct Instant {
  int64_t days, second, fraction;  // since 1970; of the day; units of the second
};

// The divisor is a constant so that no division instruction is needed.
template <int64_t kUnitsPerSecond>
Instant instant_of(int64_t value) {
  const int64_t seconds = divide_down(value, kUnitsPerSecond), days = divide_down(seconds, kSecondsPerDay);
  return {days, seconds - days * kSecondsPerDay, value - seconds * kUnitsPerSecond};
}

Instant instant_of(int64_t value, TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kDay:
      break;
    case TimeUnit::kSecond:
      return instant_of<1>(value);
    case TimeUnit::kMillisecond:
      return instant_of<1'000>(value);
    case TimeUnit::kMicrosecond:
      return instant_of<1'000'000>(value);
    case TimeUnit::kNanosecond:
      return instant_of<1'000'000'000>(value);
  }
  return {value, 0, 0};
}

struct Date {
  int64_t year;
  uint32_t month, day;
};

// The proleptic Gregorian date of a day number; Howard Hinnant, "chrono-compatible low-level date algorithms".
Date date_of(int64_t days) {
  days += 719468;  // 0000-03-01
  const int64_t era = divide_down(days, 146097);
  const auto day_of_era = static_cast<uint32_t>(days - era * 146097);
  const uint32_t year_of_era = (day_of_era - day_of_era / 1460 + day_of_era / 36524 - day_of_era / 146096) / 365;
  const uint32_t day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
  const uint32_t shifted_month = (5 * day_of_year + 2) / 153;  // 0 is March
  const uint32_t month = shifted_month < 10 ? shifted_month + 3 : shifted_month - 9;
  return {era * 400 + year_of_era + (month <= 2), month, day_of_year - (153 * shifted_month + 2) / 5 + 1};
}

std::string default_format(const ColumnSchema& schema) {
  if (schema.unit == TimeUnit::kDay) return "%Y-%m-%d";
  std::string format = "%Y-%m-%d %H:%M:%S";
  if (schema.unit != TimeUnit::kSecond) format += ".%f";
  return format + (schema.timezone.empty() ? "" : "+00:00");
}

// The width of a field in the template.
size_t least_bytes(const DatetimeItem& item, int fraction_digits) {
  if (item.field == 'Y') return kYearDigits;
  if (item.field == 'f') return static_cast<size_t>(fraction_digits);
  return item.field == 0 ? 1 : 2;
}

size_t most_bytes(const DatetimeItem& item, int fraction_digits) {
  if (item.field == 'Y') return kWidestYear;
  return item.field == 'b' || item.field == 'B' ? kWidestMonth : least_bytes(item, fraction_digits);
}

}  // namespace

DatetimeWriter::DatetimeWriter(const ColumnSchema& schema) : unit_(schema.unit) {
  if (unit_ == TimeUnit::kMillisecond) fraction_digits_ = 3;
  if (unit_ == TimeUnit::kNanosecond) fraction_digits_ = 9;
  const std::string format = schema.datetime_format.empty() ? default_format(schema) : schema.datetime_format;
  try {
    items_ = datetime_items(format);
  } catch (const InputError& error) {
    throw InputError("column '" + schema.name + "': " + error.what());
  }
  for (const DatetimeItem& item : items_) {
    const size_t value = item.field == 0 ? std::string_view::npos : kFields.find(item.field);
    has_fixed_width_ = has_fixed_width_ && !item.is_unpadded && (item.field == 0 || value != std::string_view::npos);
    if (value != std::string_view::npos) fields_.push_back({static_cast<uint8_t>(value), text_.size()});
    text_.append(least_bytes(item, fraction_digits_), item.field == 0 ? item.literal : '0');
    max_bytes_ += most_bytes(item, fraction_digits_);
  }
}

char* DatetimeWriter::write(int64_t value, char* to) const {
  const Instant instant = instant_of(value, unit_);
  const Date date = date_of(instant.days);
  const auto second = static_cast<uint32_t>(instant.second);
  const std::array<uint32_t, 7> values = {
      static_cast<uint32_t>(date.year),       date.month, date.day, second / 3600, second / 60 % 60, second % 60,
      static_cast<uint32_t>(instant.fraction)};
  if (date.year < 0 || date.year > 9999 || !has_fixed_width_) [[unlikely]]
    return write_pieces(date.year, values, to);
  std::memcpy(to, text_.data(), text_.size());
  write_fields(values, to);
  return to + text_.size();
}

void DatetimeWriter::write_fields(const std::array<uint32_t, 7>& values, char* to) const {
  for (const Field& field : fields_) {
    char* const at = to + field.offset;
    const uint32_t value = values[field.value];
    if (field.value == 0) {
      write_two(value / 100, at);
      write_two(value % 100, at + 2);
    } else if (field.value < kFields.size() - 1) {
      write_two(value, at);
    } else {
      write_fraction(value, fraction_digits_, at);
    }
  }
}

char* DatetimeWriter::write_pieces(int64_t year, const std::array<uint32_t, 7>& values, char* to) const {
  for (const DatetimeItem& item : items_) {
    switch (item.field) {
      case 0:
        *to++ = item.literal;
        break;
      case 'Y':
        to = write_year(year, to);
        break;
      case 'y':
        write_two(static_cast<uint32_t>((year % 100 + 100) % 100), to);
        to += 2;
        break;
      case 'b':
      case 'B': {
        const std::string_view name = month_name(values[1]);
        to = std::copy_n(name.data(), item.field == 'b' ? kShortMonth : name.size(), to);
        break;
      }
      case 'f':
        write_fraction(values.back(), fraction_digits_, to);
        to += fraction_digits_;
        break;
      default: {
        const uint32_t value = values[kFields.find(item.field)];
        write_two(value, to);
        if (item.is_unpadded && value < 10) to[0] = to[1];
        to += item.is_unpadded && value < 10 ? 1 : 2;
      }
    }
  }
  return to;
}

}  // namespace doppel
