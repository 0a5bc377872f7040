// The first pass over a table: infers the schema and learns each column's distribution, in bounded memory.
//
// How kinds are told. Every cell of the column counts, never a sample, and nothing follows from names. Of text columns,
// in this order (cells.h, datetime.h say what a number and a date look like):
//   no value            kEmpty; one value, whatever the blanks around it: kConstant
//   all numbers         kInteger where all are whole ("65.0" too), kDecimal up to 9 digits after the point, else kReal
//                       (exponents, more digits, quanta beyond int64). Whole numbers beyond int64 are codes, not
//                       numbers. Infinities count as missing. A number column is never a category: 0 and 1 stay
//                       integers
//   ascending by one    from row to row, without gaps: kKey, if from 0 or 1 over 20 rows or more, or over 1,000 rows or
//   more.
//                       Other numbers stay numbers, though all be distinct
//   all dates           kDatetime of one format; where day and month fit either way round, month first after '/', day
//                       first otherwise, and the cleaning report's note says so. Years of two digits only where one
//                       order fits
//   two truth values    kBoolean: true/false, yes/no, t/f, y/n in one spelling each
//   all distinct        kKey, over 10 rows or more
//   few levels          kCategory: up to 20 levels, or up to a quarter of the rows that have a value, 10,000 at most
//   the rest            kText
// A missing marker (ProfileOptions) is missing among numbers, dates, truth values, keys and texts. Among levels it is
// missing unless it looks like one of them: it has the form that 90 % of the levels have (capital letters of the same
// number, as Namibia's NA among countries' codes; single signs, as "-" beside "+") and is not more frequent than the
// most frequent level; or it is the word "None" and as frequent as the levels are on average. Taken for a level by
// mistake, it is still written as it was and as often. The empty cell is always missing. Blanks around a value do not
// count; a level is written in its most frequent spelling, blanks included. Typed columns keep their type's kind, but
// for kEmpty, kConstant (not of dates and times, whose text would be a bare number) and whole numbers ascending by one;
// floats that are whole or short decimals without exception are kInteger or kDecimal (float: up to 4 decimals and 6
// digits; double: up to 9 and 15).
//
// Memory: at most kExactDistinct distinct values of a column are kept (fewer where a table has more than 96 columns, so
// that all of them stay below ProfileOptions::distinct_bytes), and 8 bytes a row for counting duplicates. Columns with
// more distinct texts are taken cell by cell for what the first ones were; where a later cell shows otherwise ("n/k"
// among numbers after a million rows), that column is read again: two passes at most.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/table/schema.h"
#include "engine/table/source.h"

namespace doppel {

// What cleaning found in one column; printed by `fit`, kept in the model.
struct CleaningReport {
  int64_t missing = 0;   // empty cells and missing markers
  int64_t trimmed = 0;   // cells with stray spaces around the value
  int64_t outliers = 0;  // numbers beyond 3 interquartile ranges from the quartiles (kept; reported)
  int64_t distinct = 0;  // exact up to the profiler's limit, then a lower bound
  bool distinct_is_exact = true;
  std::vector<std::string> missing_markers;  // as found, most frequent first: "", "NA", ...
  std::string note;  // a choice that could have been another ("day and month could be either way round: ..."), or empty
};
nlohmann::ordered_json to_json(const CleaningReport& report);

// The empirical distribution of a numeric column: distinct values (quanta or reals) with their counts, exact while
// there are at most `kExactDistinct` of them; otherwise the weighted items of a deterministic quantile sketch.
inline constexpr int64_t kExactDistinct = 1 << 16;

struct Distribution {
  bool exact = true;
  std::vector<int64_t> quanta;  // ascending; integers, decimals, datetimes
  std::vector<double> reals;    // ascending; reals
  std::vector<int64_t> counts;  // weight of each value: sums to the rows present
};

struct ColumnProfile {
  CleaningReport cleaning;
  int64_t present = 0;
  Distribution distribution;          // numeric kinds
  std::vector<int64_t> level_counts;  // kCategory, kBoolean: count of each level of the schema
  std::vector<std::pair<std::string, int64_t>>
      text_patterns;  // kKey, kText: character-class pattern and its count, most
                      // frequent first, at most 1,000 (patterns.h says the language)
  // kKey of whole numbers: ascending without gaps from first_key
  bool key_is_sequence = false;
  int64_t first_key = 0;
};

struct TableProfile {
  TableSchema schema;
  std::vector<ColumnProfile> columns;
  int64_t rows = 0;
  int64_t duplicate_rows = 0;  // rows equal to an earlier one (by 64-bit hash; exact up to 2^25 rows; -1: not counted)
};

struct ProfileOptions {
  std::optional<TableSchema> overrides;  // --schema: columns named there take the kind and format given there
  bool counts_duplicates = true;
  int64_t distinct_bytes = int64_t{384} << 20;  // of all columns' distinct values, at most
  std::vector<std::string> missing_markers = {"",    "NA",  "N/A",  "n/a",  "#N/A", "<NA>", "NaN",
                                              "nan", "NaT", "null", "NULL", "None", "?",    "-"};
};

// One pass for types and distributions together where that can be (a provisional type is demoted as cells are seen), at
// most two. Throws InputError (no columns, no rows, not UTF-8, ...).
TableProfile profile_table(TableSource& source, const ProfileOptions& options);

}  // namespace doppel
