#include "engine/table/datetime.h"

#include <array>

#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int64_t kSecondsPerDay = 86400;
constexpr int kFractionDigits = 9;

bool is_digit(char c) {
  return c >= '0' && c <= '9';
}

// Takes `least` to `most` digits off the front.
bool take_number(std::string_view& rest, size_t least, size_t most, int& value, size_t* digits = nullptr) {
  size_t length = 0;
  value = 0;
  while (length < most && length < rest.size() && is_digit(rest[length])) value = value * 10 + (rest[length++] - '0');
  if (length < least) return false;
  rest.remove_prefix(length);
  if (digits != nullptr) *digits = length;
  return true;
}

bool take_char(std::string_view& rest, char c) {
  if (rest.empty() || rest.front() != c) return false;
  rest.remove_prefix(1);
  return true;
}

// "", "Z", "+hh:mm", "-hhmm", "+hh"
bool is_offset(std::string_view text) {
  if (text.empty() || text == "Z" || text == " UTC") return true;
  if (text.front() != '+' && text.front() != '-') return false;
  text.remove_prefix(1);
  int hours = 0, minutes = 0;
  if (!take_number(text, 2, 2, hours)) return false;
  if (text.empty()) return true;
  take_char(text, ':');
  return take_number(text, 2, 2, minutes) && text.empty() && hours <= 14 && minutes < 60;
}

int64_t divide_down(int64_t value, int64_t divisor) {
  return value / divisor - (value % divisor < 0);
}

}  // namespace

// Howard Hinnant, "chrono-compatible low-level date algorithms": days_from_civil.
int64_t days_of_date(int64_t year, int64_t month, int64_t day) {
  year -= month <= 2;
  const int64_t era = divide_down(year, 400);
  const int64_t year_of_era = year - era * 400;
  const int64_t day_of_year = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
  const int64_t day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
  return era * 146097 + day_of_era - 719468;
}

bool is_date(int64_t year, int64_t month, int64_t day) {
  constexpr std::array<int, 12> kDays = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
  if (month < 1 || month > 12 || day < 1) return false;
  const bool is_leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
  return day <= kDays[static_cast<size_t>(month - 1)] + (month == 2 && is_leap);
}

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

bool convert_unit(int64_t value, TimeUnit from, TimeUnit to, int64_t& converted) {
  const int64_t from_per_day = from == TimeUnit::kDay ? 1 : kSecondsPerDay * units_per_second(from);
  const int64_t to_per_day = to == TimeUnit::kDay ? 1 : kSecondsPerDay * units_per_second(to);
  if (to_per_day >= from_per_day) return !__builtin_mul_overflow(value, to_per_day / from_per_day, &converted);
  converted = divide_down(value, from_per_day / to_per_day);
  return true;
}

DatetimeFormat::DatetimeFormat(const std::string& format, TimeUnit unit) : unit_(unit) {
  for (size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%' || at + 1 == format.size()) {
      items_.push_back({0, format[at]});
      continue;
    }
    const char letter = format[++at];
    if (letter == '%') {
      items_.push_back({0, '%'});
    } else if (std::string_view("YmdHMSf").find(letter) != std::string_view::npos) {
      items_.push_back({letter, 0});
    } else {
      throw InputError("datetime format '" + format + "': %" + letter + " is none of %Y %m %d %H %M %S %f");
    }
  }
}

std::optional<int64_t> DatetimeFormat::parse(std::string_view rest) const {
  int year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0, fraction = 0;
  for (size_t at = 0; at < items_.size(); ++at) {
    const Item& item = items_[at];
    bool read = true;
    switch (item.field) {
      case 'Y':
        read = take_number(rest, 4, 4, year);
        break;
      case 'm':
        read = take_number(rest, 1, 2, month);
        break;
      case 'd':
        read = take_number(rest, 1, 2, day);
        break;
      case 'H':
        read = take_number(rest, 1, 2, hour);
        break;
      case 'M':
        read = take_number(rest, 2, 2, minute);
        break;
      case 'S':
        read = take_number(rest, 2, 2, second);
        break;
      case 'f': {
        size_t digits = 0;
        read = take_number(rest, 1, kFractionDigits, fraction, &digits);
        for (; digits < kFractionDigits; ++digits) fraction *= 10;
        break;
      }
      default:
        read = take_char(rest, item.literal);
        if (!read && item.literal == '.' && at + 1 < items_.size() && items_[at + 1].field == 'f') {
          ++at;  // no fraction
          read = true;
        }
    }
    if (!read) return std::nullopt;
  }
  if (!rest.empty() || hour > 23 || minute > 59 || second > 59 || !is_date(year, month, day)) return std::nullopt;
  const int64_t days = days_of_date(year, month, day);
  if (unit_ == TimeUnit::kDay) return days;
  const int64_t seconds = days * kSecondsPerDay + hour * 3600 + minute * 60 + second;
  const int64_t per_second = units_per_second(unit_);
  int64_t value = 0;
  if (__builtin_mul_overflow(seconds, per_second, &value)) return std::nullopt;
  if (__builtin_add_overflow(value, fraction / (1'000'000'000 / per_second), &value)) return std::nullopt;
  return value;
}

bool DatetimeInference::read_date(std::string_view& rest, Reading& reading) {
  size_t digits = 0;
  int leading = 0;
  std::string_view begin = rest;
  if (!take_number(rest, 1, 4, leading, &digits) || rest.empty()) return false;
  const char separator = rest.front();
  if (separator != '-' && separator != '/' && separator != '.') {
    rest = begin;
    return separator == ':' && digits <= 2;  // a time alone
  }
  rest.remove_prefix(1);
  reading.layout.separator = separator;
  if (digits == 4) {
    reading.year = leading;
    if (!take_number(rest, 1, 2, reading.first)) return false;
    reading.layout.date = Date::kYearMonth;
    if (!take_char(rest, separator)) return true;
    reading.layout.date = Date::kYearFirst;
    return take_number(rest, 1, 2, reading.second);
  }
  reading.layout.date = Date::kDayAndMonth;
  reading.first = leading;
  return digits <= 2 && take_number(rest, 1, 2, reading.second) && take_char(rest, separator) &&
         take_number(rest, 4, 4, reading.year);
}

bool DatetimeInference::read_time(std::string_view& rest, Reading& reading) {
  if (!take_number(rest, 1, 2, reading.hour) || !take_char(rest, ':') || !take_number(rest, 2, 2, reading.minute))
    return false;
  reading.layout.time = 2;
  if (!take_char(rest, ':')) return true;
  reading.layout.time = 3;
  if (!take_number(rest, 2, 2, reading.seconds)) return false;
  if (!take_char(rest, '.')) return true;
  int fraction = 0;
  size_t digits = 0;
  if (!take_number(rest, 1, kFractionDigits, fraction, &digits)) return false;
  reading.fraction_digits = static_cast<int>(digits);
  return true;
}

bool DatetimeInference::read(std::string_view rest, Reading& reading) {
  if (rest.size() < 4 || rest.size() > 40 || !is_digit(rest.front()) || !read_date(rest, reading)) return false;
  const bool has_date = reading.layout.date != Date::kNone;
  if (has_date && rest.empty()) return true;
  if (has_date) {
    if (rest.front() != ' ' && rest.front() != 'T') return false;
    reading.layout.joint = rest.front();
    rest.remove_prefix(1);
  }
  if (!read_time(rest, reading)) return false;
  reading.layout.suffix = rest;
  return is_offset(rest) && reading.hour < 24 && reading.minute < 60 && reading.seconds < 60;
}

bool DatetimeInference::add(std::string_view text) {
  if (!fits_) return false;
  Reading reading;
  fits_ = read(text, reading);
  if (!fits_) return false;
  if (!seen_) {
    suffix_ = reading.layout.suffix;
    layout_ = reading.layout;
    layout_.suffix = {};  // points into the cell
    seen_ = true;
  }
  const Layout& layout = reading.layout;
  fits_ = layout.date == layout_.date && layout.separator == layout_.separator && layout.joint == layout_.joint &&
          layout.time == layout_.time && layout.suffix == suffix_;
  if (layout.date == Date::kDayAndMonth) {
    day_first_ = day_first_ && is_date(reading.year, reading.second, reading.first);
    month_first_ = month_first_ && is_date(reading.year, reading.first, reading.second);
    fits_ = fits_ && (day_first_ || month_first_);
  } else {
    fits_ = fits_ && is_date(reading.year, reading.first, reading.second);
  }
  if (reading.fraction_digits > fraction_digits_) fraction_digits_ = reading.fraction_digits;
  return fits_;
}

bool DatetimeInference::is_day_first() const {
  return day_first_ && (!month_first_ || layout_.separator != '/');
}

std::string DatetimeInference::format() const {
  const std::string separator(1, layout_.separator);
  std::string format;
  switch (layout_.date) {
    case Date::kNone:
      break;
    case Date::kYearFirst:
      format = "%Y" + separator + "%m" + separator + "%d";
      break;
    case Date::kYearMonth:
      format = "%Y" + separator + "%m";
      break;
    case Date::kDayAndMonth:
      format = (is_day_first() ? "%d" + separator + "%m" : "%m" + separator + "%d") + separator + "%Y";
  }
  if (layout_.joint != 0) format += layout_.joint;
  if (layout_.time >= 2) format += "%H:%M";
  if (layout_.time == 3) format += ":%S";
  if (fraction_digits_ > 0) format += ".%f";
  return format + suffix_;
}

TimeUnit DatetimeInference::unit() const {
  if (layout_.time == 0) return TimeUnit::kDay;
  if (fraction_digits_ == 0) return TimeUnit::kSecond;
  return fraction_digits_ <= 3   ? TimeUnit::kMillisecond
         : fraction_digits_ <= 6 ? TimeUnit::kMicrosecond
                                 : TimeUnit::kNanosecond;
}

}  // namespace doppel
