#include "engine/table/datetime.h"

#include <algorithm>
#include <array>

#include "engine/table/cells.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int kFractionDigits = 9;

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

// POSIX's century of a year of two digits.
int full_year(int year) {
  return year + (year < 69 ? 2000 : 1900);
}

constexpr std::array<std::string_view, 12> kMonths = {"January",   "February", "March",    "April",
                                                      "May",       "June",     "July",     "August",
                                                      "September", "October",  "November", "December"};

// Takes the name of a month off the front, of three letters or whole.
bool take_month(std::string_view& rest, bool is_whole, int& month) {
  for (size_t index = 0; index < kMonths.size(); ++index) {
    const std::string_view name = is_whole ? kMonths[index] : kMonths[index].substr(0, kShortMonth);
    if (!rest.starts_with(name)) continue;
    rest.remove_prefix(name.size());
    month = static_cast<int>(index) + 1;
    return true;
  }
  return false;
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

std::string_view month_name(int64_t month) {
  return kMonths[static_cast<size_t>(month - 1)];
}

std::vector<DatetimeItem> datetime_items(const std::string& format) {
  std::vector<DatetimeItem> items;
  for (size_t at = 0; at < format.size(); ++at) {
    if (format[at] != '%' || at + 1 == format.size()) {
      items.push_back({0, format[at]});
      continue;
    }
    const bool is_unpadded = format[at + 1] == '-';
    at += is_unpadded ? 2 : 1;
    const char letter = at < format.size() ? format[at] : '-';
    if (letter == '%' && !is_unpadded) {
      items.push_back({0, '%'});
    } else if (std::string_view(is_unpadded ? "mdH" : "YymdbBHMSf").find(letter) != std::string_view::npos) {
      items.push_back({letter, 0, is_unpadded});
    } else {
      throw InputError("datetime format '" + format + "': %" + (is_unpadded ? "-" : "") + letter +
                       " is none of %Y %y %m %-m %b %B %d %-d %H %-H %M %S %f");
    }
  }
  return items;
}

DatetimeFormat::DatetimeFormat(const std::string& format, TimeUnit unit)
    : items_(datetime_items(format)), unit_(unit) {}

namespace {

struct Fields {
  int year = 1970, month = 1, day = 1, hour = 0, minute = 0, second = 0;
  int fraction = 0;  // nanoseconds
};

bool take_fraction(std::string_view& rest, int& fraction) {
  size_t digits = 0;
  if (!take_number(rest, 1, kFractionDigits, fraction, &digits)) return false;
  for (; digits < kFractionDigits; ++digits) fraction *= 10;
  return true;
}

bool take_field(char field, std::string_view& rest, Fields& fields) {
  switch (field) {
    case 'Y':
      return take_number(rest, 4, 4, fields.year);
    case 'y':
      if (!take_number(rest, 2, 2, fields.year)) return false;
      fields.year = full_year(fields.year);
      return true;
    case 'm':
      return take_number(rest, 1, 2, fields.month);
    case 'b':
    case 'B':
      return take_month(rest, field == 'B', fields.month);
    case 'd':
      return take_number(rest, 1, 2, fields.day);
    case 'H':
      return take_number(rest, 1, 2, fields.hour);
    case 'M':
      return take_number(rest, 2, 2, fields.minute);
    case 'S':
      return take_number(rest, 2, 2, fields.second);
    default:
      return take_fraction(rest, fields.fraction);
  }
}

}  // namespace

std::optional<int64_t> DatetimeFormat::parse(std::string_view rest) const {
  Fields fields;
  for (size_t at = 0; at < items_.size(); ++at) {
    const DatetimeItem& item = items_[at];
    if (item.field != 0 ? take_field(item.field, rest, fields) : take_char(rest, item.literal)) continue;
    const bool lacks_fraction = item.literal == '.' && at + 1 < items_.size() && items_[at + 1].field == 'f';
    if (!lacks_fraction) return std::nullopt;
    ++at;
  }
  const auto& [year, month, day, hour, minute, second, fraction] = fields;
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

namespace {

// A name may also stand between blanks.
bool is_separator(char c, bool is_beside_name) {
  return c == '-' || c == '/' || c == '.' || (c == ' ' && is_beside_name);
}

}  // namespace

bool DatetimeInference::read_name(std::string_view& rest, Reading& reading) {
  std::string_view whole = rest;
  if (!take_month(rest, false, reading.first.value)) return false;
  reading.is_long_name = take_month(whole, true, reading.first.value);
  reading.is_short_name = !reading.is_long_name || whole.size() == rest.size();  // "May" is both
  if (reading.is_long_name) rest = whole;
  return true;
}

// "Mar 12, 2015", "Mar-12-2015", "March 2015"; the name is taken.
bool DatetimeInference::read_from_name(std::string_view& rest, Reading& reading) {
  Layout& layout = reading.layout;
  if (rest.empty() || !is_separator(rest.front(), true)) return false;
  layout.separator = rest.front();
  rest.remove_prefix(1);
  size_t digits = 0;
  int value = 0;
  if (!take_number(rest, 1, 4, value, &digits)) return false;
  if (digits == 4) {
    layout.date = Date::kNameYear;
    reading.year = value;
    return true;
  }
  layout.date = Date::kNameDay;
  reading.second = {value, digits};
  layout.has_comma = layout.separator == ' ' && take_char(rest, ',');
  return digits <= 2 && take_char(rest, layout.separator) && take_number(rest, 4, 4, reading.year);
}

// The rest of "12-Mar-15", "12 March 2015"; the day and the separator are taken.
bool DatetimeInference::read_day_and_name(std::string_view& rest, Reading& reading) {
  Layout& layout = reading.layout;
  layout.date = Date::kDayName;
  size_t digits = 0;
  if (!read_name(rest, reading) || !take_char(rest, layout.separator) ||
      !take_number(rest, 2, 4, reading.year, &digits))
    return false;
  layout.has_short_year = digits == 2;
  if (layout.has_short_year) reading.year = full_year(reading.year);
  return digits != 3;
}

// The rest of "2015-03-12", "2015-03", "2015-Mar-12"; the year and the separator are taken.
bool DatetimeInference::read_from_year(std::string_view& rest, Reading& reading) {
  Layout& layout = reading.layout;
  const bool is_name = read_name(rest, reading);
  if (!is_name && !take_number(rest, 1, 2, reading.first.value, &reading.first.digits)) return false;
  layout.date = is_name ? Date::kYearName : Date::kYearMonth;
  if (!take_char(rest, layout.separator)) return !is_name;
  if (!is_name) layout.date = Date::kYearFirst;
  return take_number(rest, 1, 2, reading.second.value, &reading.second.digits);
}

// The rest of "12.03.2015", "12.03.15"; the first field and the separator are taken.
bool DatetimeInference::read_numbers(std::string_view& rest, Reading& reading) {
  size_t digits = 0;
  int value = 0;
  if (!take_number(rest, 1, 2, reading.second.value, &reading.second.digits) ||
      !take_char(rest, reading.layout.separator) || !take_number(rest, 1, 4, value, &digits))
    return false;
  reading.layout.date = digits == 4 ? Date::kDayAndMonth : Date::kShortYear;
  if (digits == 4)
    reading.year = value;
  else
    reading.third = {value, digits};
  return digits != 3;
}

bool DatetimeInference::read_date(std::string_view& rest, Reading& reading) {
  if (!is_digit(rest.front())) return read_name(rest, reading) && read_from_name(rest, reading);
  const std::string_view begin = rest;
  ShortField leading;
  if (!take_number(rest, 1, 4, leading.value, &leading.digits) || rest.empty()) return false;
  const char separator = rest.front();
  const bool is_before_name = rest.size() > 1 && rest[1] >= 'A';
  if (!is_separator(separator, is_before_name)) {
    rest = begin;
    return separator == ':' && leading.digits <= 2;  // a time alone
  }
  rest.remove_prefix(1);
  reading.layout.separator = separator;
  if (leading.digits == 4) {
    reading.year = leading.value;
    return read_from_year(rest, reading);
  }
  (is_before_name ? reading.second : reading.first) = leading;
  return leading.digits <= 2 && (is_before_name ? read_day_and_name(rest, reading) : read_numbers(rest, reading));
}

bool DatetimeInference::read_time(std::string_view& rest, Reading& reading) {
  if (!take_number(rest, 1, 2, reading.hour.value, &reading.hour.digits) || !take_char(rest, ':') ||
      !take_number(rest, 2, 2, reading.minute))
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
  if (rest.size() < 4 || rest.size() > 40 || !read_date(rest, reading)) return false;
  const bool has_date = reading.layout.date != Date::kNone;
  if (has_date && rest.empty()) return true;
  if (has_date) {
    if (rest.front() != ' ' && rest.front() != 'T') return false;
    reading.layout.joint = rest.front();
    rest.remove_prefix(1);
  }
  if (!read_time(rest, reading)) return false;
  reading.suffix = rest;
  return is_offset(rest) && reading.hour.value < 24 && reading.minute < 60 && reading.seconds < 60;
}

// Keeps the orders in which every date so far is one.
bool DatetimeInference::fit_date(const Reading& reading) {
  const int first = reading.first.value, second = reading.second.value, third = reading.third.value;
  if (reading.layout.date == Date::kDayAndMonth) {
    day_first_ = day_first_ && is_date(reading.year, second, first);
    month_first_ = month_first_ && is_date(reading.year, first, second);
    return day_first_ || month_first_;
  }
  if (reading.layout.date != Date::kShortYear) return is_date(reading.year, first, second);
  const bool is_year_last = reading.third.digits == 2, has_dots = reading.layout.separator == '.';
  day_first_ = day_first_ && is_year_last && is_date(full_year(third), second, first);
  month_first_ = month_first_ && !has_dots && is_year_last && is_date(full_year(third), first, second);
  year_first_ = year_first_ && !has_dots && reading.first.digits == 2 && is_date(full_year(first), second, third);
  return day_first_ || month_first_ || year_first_;
}

void DatetimeInference::count_zeros(const Reading& reading) {
  const std::array<ShortField, kPlaces> fields = {reading.first, reading.second, reading.third, reading.hour};
  for (size_t place = 0; place < kPlaces; ++place) {
    Zeros& zeros = zeros_[place];
    zeros.is_used = zeros.is_used || fields[place].digits > 0;
    zeros.has_some = zeros.has_some || (fields[place].digits == 2 && fields[place].value < 10);
    zeros.lacks_some = zeros.lacks_some || fields[place].digits == 1;
  }
}

bool DatetimeInference::add(std::string_view text) {
  if (!fits_) return false;
  Reading reading;
  fits_ = read(text, reading);
  if (!fits_) return false;
  if (!seen_) {
    suffix_ = reading.suffix;
    layout_ = reading.layout;
    seen_ = true;
  }
  short_names_ = short_names_ && reading.is_short_name;
  long_names_ = long_names_ && reading.is_long_name;
  fits_ = reading.layout == layout_ && reading.suffix == suffix_ && (short_names_ || long_names_) &&
          (layout_.date == Date::kNone || fit_date(reading));
  count_zeros(reading);
  fraction_digits_ = std::max(fraction_digits_, reading.fraction_digits);
  least_fraction_digits_ = std::min(least_fraction_digits_, reading.fraction_digits);
  return fits_;
}

bool DatetimeInference::is_day_first() const {
  return day_first_ && (!month_first_ || layout_.separator != '/');
}

bool DatetimeInference::may_have_zero(size_t place) const {
  const bool is_year = layout_.date == Date::kShortYear && place == (year_first_ ? kFirst : kThird);
  return zeros_[place].is_used && !is_year;
}

bool DatetimeInference::is_mixed() const {
  for (size_t place = 0; place < kPlaces; ++place) {
    if (may_have_zero(place) && zeros_[place].has_some && zeros_[place].lacks_some) return true;
  }
  return false;
}

// The writer has 3, 6 or 9 digits of a fraction.
bool DatetimeInference::is_exact() const {
  return !is_mixed() && least_fraction_digits_ == fraction_digits_ && fraction_digits_ % 3 == 0;
}

bool DatetimeInference::is_unpadded(size_t place) const {
  if (is_mixed()) return false;
  if (zeros_[place].is_known()) return !zeros_[place].has_some;
  for (size_t other = 0; other < kPlaces; ++other) {
    if (may_have_zero(other) && zeros_[other].is_known()) return !zeros_[other].has_some;
  }
  return false;
}

bool DatetimeInference::is_open() const {
  for (size_t place = 0; place < kPlaces; ++place) {
    if (may_have_zero(place) && !zeros_[place].has_some) return true;
  }
  return is_ambiguous() || fraction_digits_ > 0 || !is_plain();
}

std::string DatetimeInference::field(char letter, size_t place) const {
  return std::string(is_unpadded(place) ? "%-" : "%") + letter;
}

std::string DatetimeInference::date_format() const {
  const std::string separator(1, layout_.separator);
  const std::string name = short_names_ ? "%b" : "%B", day = field('d', kSecond);
  switch (layout_.date) {
    case Date::kNone:
      return "";
    case Date::kYearFirst:
      return "%Y" + separator + field('m', kFirst) + separator + day;
    case Date::kYearMonth:
      return "%Y" + separator + field('m', kFirst);
    case Date::kShortYear:
      if (is_undecided()) return "";
      if (year_first_) return "%y" + separator + field('m', kSecond) + separator + field('d', kThird);
      [[fallthrough]];
    case Date::kDayAndMonth:
      return (is_day_first() ? field('d', kFirst) + separator + field('m', kSecond)
                             : field('m', kFirst) + separator + day) +
             separator + (layout_.date == Date::kShortYear ? "%y" : "%Y");
    case Date::kDayName:
      return day + separator + name + separator + (layout_.has_short_year ? "%y" : "%Y");
    case Date::kNameDay:
      return name + separator + day + (layout_.has_comma ? "," : "") + separator + "%Y";
    case Date::kNameYear:
      return name + separator + "%Y";
    case Date::kYearName:
      return "%Y" + separator + name + separator + day;
  }
  return "";
}

std::string DatetimeInference::format() const {
  std::string format = date_format();
  if (layout_.joint != 0) format += layout_.joint;
  if (layout_.time >= 2) format += field('H', kHour) + ":%M";
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
