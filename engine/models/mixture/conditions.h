// Conditions on a table's columns, as `generate --where` takes them:
//
//   conditions = condition { "and" condition }
//   condition  = column ("=" | "!=" | "<" | "<=" | ">" | ">=") value
//              | column "in" "{" value { "," value } "}"
//              | column "between" value "and" value           both ends included
//              | column "is" ("missing" | "present")
//
// There is no `or`: a set says it for one column. Columns are found as TableSchema::find does. A name or value with
// blanks, or with one of = ! < > { } , in it, or equal to a word of the language, stands in quotes (' or ") or
// backticks; a quote within is doubled. Words of the language in any letter case.
//
// Values are in the column's own form: numbers, dates and times in its format or as 2024-03-31, 2024-03-31 18:00:00,
// levels exactly or, if only one is, equal but for surrounding blanks and letter case. Levels have no order: they take
// =, != and in. A cell without a value meets no condition but `is missing`.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/table/schema.h"

namespace doppel {

template <class Number>
struct ValueRange {
  Number least, greatest;  // both included
  bool operator==(const ValueRange&) const = default;
};

// What a column may be, after all conditions on it.
struct ColumnCondition {
  size_t column = 0;
  bool allows_missing = false;
  bool allows_text = false;                 // kKey, kText: any text, or none
  std::vector<bool> levels;                 // kBoolean, kCategory, kConstant: [levels]
  std::vector<ValueRange<int64_t>> quanta;  // kInteger, kDecimal, kDatetime: ascending, disjoint
  std::vector<ValueRange<double>> reals;    // kReal: likewise, the ends are numbers that the column can hold

  bool allows(int64_t value) const;  // a code or quanta
  bool allows(double value) const;
  bool allows_nothing() const;
};

// Ascending by column, one for each column that is named; all must be met.
using Conditions = std::vector<ColumnCondition>;

// Throws UsageError "--where: character 12: ..." for what is not of the language, columns and levels that are not there
// (naming the near ones), values of another form than the column's, keys and texts (which can only be missing or
// present), and conditions that contradict each other.
Conditions parse_conditions(const std::string& text, const TableSchema& schema);

}  // namespace doppel
