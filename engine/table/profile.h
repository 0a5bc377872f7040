// The first pass over a table: infers the schema and learns each column's distribution, in bounded memory.
#pragma once

#include <cstdint>
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
  int64_t duplicate_rows =
      0;  // rows equal to an earlier one (by 64-bit hash; exact up to 2^26 rows, then not counted: -1)
};

struct ProfileOptions {
  std::optional<TableSchema> overrides;  // --schema: columns named there take the kind and format given there
  std::vector<std::string> missing_markers = {"", "NA", "N/A", "NaN", "nan", "null", "NULL", "None", "?", "-"};
};

// One pass for types and distributions together where that can be (a provisional type is demoted as cells are seen), at
// most two. Throws InputError (no columns, no rows, not UTF-8, ...).
TableProfile profile_table(TableSource& source, const ProfileOptions& options);

}  // namespace doppel
