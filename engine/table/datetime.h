// Dates and times as texts: which format a column has, and the instants that its cells mean.
//
// The formats' letters are strftime's %Y (four digits), %m, %d, %H, %M, %S, and %f for the digits of the fraction of a
// second (1 to 9 of them; with the point before it, it may be absent). Offsets ("Z", "+02:00") are plain characters of
// the format and must be the same in the whole column: wall time is kept, nothing is converted.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "engine/table/schema.h"

namespace doppel {

// Days since 1970-01-01 in the proleptic Gregorian calendar.
int64_t days_of_date(int64_t year, int64_t month, int64_t day);
bool is_date(int64_t year, int64_t month, int64_t day);

// Units in a second; a day has none.
int64_t units_per_second(TimeUnit unit);
// False where the instant does not fit int64 in the other unit. To a coarser unit it is rounded down.
bool convert_unit(int64_t value, TimeUnit from, TimeUnit to, int64_t& converted);

// Reads texts of one format.
class DatetimeFormat {
 public:
  DatetimeFormat() = default;
  // Throws InputError for letters that are none of those above.
  DatetimeFormat(const std::string& format, TimeUnit unit);
  // The instant in units since 1970-01-01; nothing where the text is of another form, no date, or does not fit int64.
  // Month, day and hour may lack their leading zero.
  std::optional<int64_t> parse(std::string_view text) const;

 private:
  struct Item {
    char field = 0;  // Y m d H M S f, or 0: a plain character
    char literal = 0;
  };
  std::vector<Item> items_;
  TimeUnit unit_ = TimeUnit::kSecond;
};

// Finds the format of a column, cell by cell.
class DatetimeInference {
 public:
  // Takes one more text into account; false (from then on) where no format fits all of them.
  bool add(std::string_view text);
  bool fits() const { return fits_ && seen_; }

  std::string format() const;
  TimeUnit unit() const;
  // Both day first and month first fit: format() is month first after '/', day first otherwise.
  bool is_ambiguous() const { return layout_.date == Date::kDayAndMonth && day_first_ && month_first_; }

 private:
  enum class Date : uint8_t { kNone, kYearFirst, kYearMonth, kDayAndMonth };
  struct Layout {
    Date date = Date::kNone;
    char separator = 0;  // of the date
    char joint = 0;      // between date and time, 0: one of them only
    uint8_t time = 0;    // fields of the time: 0, 2 (hour, minute) or 3
    std::string_view suffix;
  };
  struct Reading {
    Layout layout;
    int year = 1970, first = 1, second = 1;  // of the date's two short fields, as they stand
    int hour = 0, minute = 0, seconds = 0;
    int fraction_digits = 0;
  };
  static bool read(std::string_view text, Reading& reading);
  static bool read_date(std::string_view& rest, Reading& reading);
  static bool read_time(std::string_view& rest, Reading& reading);
  bool is_day_first() const;

  bool fits_ = true, seen_ = false;
  Layout layout_;
  std::string suffix_;  // what layout_.suffix would point to
  bool day_first_ = true, month_first_ = true;
  int fraction_digits_ = 0;  // most seen
};

}  // namespace doppel
