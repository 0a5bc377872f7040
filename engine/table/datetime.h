// Dates and times as texts: which format a column has, and the instants that its cells mean.
//
// The formats' letters are strftime's: %Y (four digits), %y (two: 69 to 99 are 1969 to 1999, 00 to 68 are 2000 to
// 2068), %m, %d, %H, %M, %S, %b and %B (English names of months: "Jan", "January"), and %f for the digits of the
// fraction of a second (1 to 9 of them; with the point before it, it may be absent). %-m, %-d, %-H are written without
// a leading zero. Offsets ("Z", "+02:00") are plain characters of the format and must be the same in the whole column:
// wall time is kept, nothing is converted.
//
// What the inference decides from the whole column:
//   zeros         Month, day and hour each lack their leading zero if some cell lacks it and none has it. One that
//                 never is below 10 follows the date's others, then the hour. Where one is written in both ways, all
//                 are written with zeros; beside short years and names the column is none of dates then.
//   short years   Only where one order of day, month and year fits: day, month, year; month, day, year; year, month,
//                 day (after '.', only the first). Otherwise the column is none of dates.
//   names         All short or all long, in title case.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/table/schema.h"

namespace doppel {

inline constexpr int64_t kSecondsPerDay = 86'400;

// Division that rounds down.
constexpr int64_t divide_down(int64_t value, int64_t divisor) {
  return value / divisor - (value % divisor < 0);
}

// Days since 1970-01-01 in the proleptic Gregorian calendar.
int64_t days_of_date(int64_t year, int64_t month, int64_t day);
bool is_date(int64_t year, int64_t month, int64_t day);

// Units in a second; a day has none.
int64_t units_per_second(TimeUnit unit);
// False where the instant does not fit int64 in the other unit. To a coarser unit it is rounded down.
bool convert_unit(int64_t value, TimeUnit from, TimeUnit to, int64_t& converted);

// January for 1, ... December for 12; %b is its first three letters.
inline constexpr size_t kShortMonth = 3;
std::string_view month_name(int64_t month);

// A field of a format, or a character that stands for itself.
struct DatetimeItem {
  char field = 0;  // Y y m d b B H M S f, or 0: a plain character
  char literal = 0;
  bool is_unpadded = false;
};
// Throws InputError for letters that are none of those above.
std::vector<DatetimeItem> datetime_items(const std::string& format);

// Reads texts of one format.
class DatetimeFormat {
 public:
  DatetimeFormat() = default;
  DatetimeFormat(const std::string& format, TimeUnit unit);
  // The instant in units since 1970-01-01; nothing where the text is of another form, no date, or does not fit int64.
  // Month, day and hour may have or lack their leading zero.
  std::optional<int64_t> parse(std::string_view text) const;

 private:
  std::vector<DatetimeItem> items_;
  TimeUnit unit_ = TimeUnit::kSecond;
};

// Finds the format of a column, cell by cell.
class DatetimeInference {
 public:
  // Takes one more text into account; false (from then on) where no format fits all of them.
  bool add(std::string_view text);
  bool fits() const { return fits_ && seen_ && !is_undecided() && (is_plain() || is_exact()); }
  // The order of day, month and a year of two digits is open: format() says nothing.
  bool is_undecided() const { return layout_.date == Date::kShortYear && day_first_ + month_first_ + year_first_ != 1; }
  // More texts that format() reads may change format(), unit() or fits().
  bool is_open() const;

  std::string format() const;
  TimeUnit unit() const;
  // Both day first and month first fit: format() is month first after '/', day first otherwise.
  bool is_ambiguous() const { return layout_.date == Date::kDayAndMonth && day_first_ && month_first_; }

 private:
  enum class Date : uint8_t {
    kNone,
    kYearFirst,    // 2015-03-12
    kYearMonth,    // 2015-03
    kDayAndMonth,  // 12.03.2015, 03/12/2015
    kShortYear,    // 12.03.15, 03/12/15, 15-03-12
    kDayName,      // 12-Mar-15, 12 March 2015
    kNameDay,      // Mar 12, 2015
    kNameYear,     // March 2015
    kYearName      // 2015-Mar-12
  };
  struct Layout {
    Date date = Date::kNone;
    char separator = 0;           // of the date
    bool has_comma = false;       // before the year
    bool has_short_year = false;  // beside a name
    char joint = 0;               // between date and time, 0: one of them only
    uint8_t time = 0;             // fields of the time: 0, 2 (hour, minute) or 3
    bool operator==(const Layout&) const = default;
  };
  struct ShortField {
    int value = 1;
    size_t digits = 0;  // 0: a name, or not there
  };
  // Where the year has a place of its own and no order is open, `first` is the month and `second` the day; else the
  // short fields are as they stand.
  struct Reading {
    Layout layout;
    int year = 1970;
    ShortField first, second, third, hour;
    bool is_short_name = true, is_long_name = true;
    int minute = 0, seconds = 0;
    int fraction_digits = 0;
    std::string_view suffix;
  };
  enum Place : size_t { kFirst, kSecond, kThird, kHour, kPlaces };
  struct Zeros {
    bool is_used = false, has_some = false, lacks_some = false;
    bool is_known() const { return has_some || lacks_some; }
  };
  static bool read(std::string_view text, Reading& reading);
  static bool read_date(std::string_view& rest, Reading& reading);
  static bool read_numbers(std::string_view& rest, Reading& reading);
  static bool read_day_and_name(std::string_view& rest, Reading& reading);
  static bool read_from_name(std::string_view& rest, Reading& reading);
  static bool read_from_year(std::string_view& rest, Reading& reading);
  static bool read_name(std::string_view& rest, Reading& reading);
  static bool read_time(std::string_view& rest, Reading& reading);
  bool fit_date(const Reading& reading);
  void count_zeros(const Reading& reading);
  bool is_day_first() const;
  // No names, no short years: a date even where not every cell would be written as it was read.
  bool is_plain() const { return layout_.date < Date::kShortYear; }
  bool is_exact() const;
  bool is_mixed() const;
  bool may_have_zero(size_t place) const;
  bool is_unpadded(size_t place) const;
  std::string date_format() const;
  std::string field(char letter, size_t place) const;

  bool fits_ = true, seen_ = false;
  Layout layout_;
  std::string suffix_;
  bool day_first_ = true, month_first_ = true, year_first_ = true;
  bool short_names_ = true, long_names_ = true;
  std::array<Zeros, kPlaces> zeros_;
  int fraction_digits_ = 0, least_fraction_digits_ = 9;  // most and fewest seen
};

}  // namespace doppel
