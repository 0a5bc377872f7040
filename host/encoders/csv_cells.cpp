#include "host/encoders/csv_cells.h"

#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int64_t kSecondsPerDay = 86400;
constexpr size_t kYearBytes = 20;

int64_t units_per_second(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kMillisecond:
      return 1'000;
    case TimeUnit::kMicrosecond:
      return 1'000'000;
    case TimeUnit::kNanosecond:
      return 1'000'000'000;
    default:
      return 1;
  }
}

int64_t divide_down(int64_t value, int64_t divisor) {
  return value / divisor - (value % divisor < 0);
}

char* write_two(uint32_t value, char* to) {
  to[0] = static_cast<char>('0' + value / 10);
  to[1] = static_cast<char>('0' + value % 10);
  return to + 2;
}

char* write_year(int64_t year, char* to) {
  if (year < 0 || year > 9999) return write_integer(year, to);
  write_two(static_cast<uint32_t>(year / 100), to);
  return write_two(static_cast<uint32_t>(year % 100), to + 2);
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

}  // namespace

DatetimeWriter::DatetimeWriter(const ColumnSchema& schema)
    : units_per_second_(units_per_second(schema.unit)), is_days_(schema.unit == TimeUnit::kDay) {
  if (schema.unit == TimeUnit::kMillisecond) fraction_digits_ = 3;
  if (schema.unit == TimeUnit::kNanosecond) fraction_digits_ = 9;
  const std::string format = schema.datetime_format.empty() ? default_format(schema) : schema.datetime_format;
  for (size_t at = 0; at < format.size(); ++at) {
    const char field = format[at] == '%' && at + 1 < format.size() ? format[++at] : '\0';
    if (field == '\0' || field == '%') {
      if (pieces_.empty() || pieces_.back().field != 0) pieces_.emplace_back();
      pieces_.back().literal += field == '%' ? '%' : format[at];
      ++max_bytes_;
    } else if (std::string_view("YmdHMSf").find(field) != std::string_view::npos) {
      pieces_.push_back({field, ""});
      max_bytes_ += field == 'Y' ? kYearBytes : field == 'f' ? static_cast<size_t>(fraction_digits_) : 2;
    } else {
      throw Error("column '" + schema.name + "': cannot write the datetime format '" + format + "': %" + field +
                  " is none of %Y %m %d %H %M %S %f");
    }
  }
}

char* DatetimeWriter::write(int64_t value, char* to) const {
  const int64_t seconds = is_days_ ? 0 : divide_down(value, units_per_second_);
  const auto fraction = static_cast<uint32_t>(is_days_ ? 0 : value - seconds * units_per_second_);
  const int64_t days = is_days_ ? value : divide_down(seconds, kSecondsPerDay);
  const auto second = static_cast<uint32_t>(is_days_ ? 0 : seconds - days * kSecondsPerDay);
  const Date date = date_of(days);
  for (const Piece& piece : pieces_) {
    switch (piece.field) {
      case 'Y':
        to = write_year(date.year, to);
        break;
      case 'm':
        to = write_two(date.month, to);
        break;
      case 'd':
        to = write_two(date.day, to);
        break;
      case 'H':
        to = write_two(second / 3600, to);
        break;
      case 'M':
        to = write_two(second / 60 % 60, to);
        break;
      case 'S':
        to = write_two(second % 60, to);
        break;
      case 'f': {
        uint32_t rest = fraction;
        for (int digit = fraction_digits_; digit-- > 0; rest /= 10) to[digit] = static_cast<char>('0' + rest % 10);
        to += fraction_digits_;
        break;
      }
      default:
        std::memcpy(to, piece.literal.data(), piece.literal.size());
        to += piece.literal.size();
    }
  }
  return to;
}

}  // namespace doppel
