// What a table's columns are: the kind inferred (or told by --schema), and how values are written back in the original's
// form.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

namespace doppel {

enum class ColumnKind : uint8_t {
  kInteger,   // whole numbers; gaps do not make them floats
  kDecimal,   // numbers with at most kMaximumDecimals decimals: held as integers of 10^-decimals ("quanta")
  kReal,      // numbers with more digits than that (float32 / float64 columns of binary formats, 1e-300, 0.1234567890123)
  kBoolean,   // two spellings, e.g. true/false, yes/no, 0/1 typed as bool by a binary format
  kCategory,  // a closed set of texts
  kDatetime,  // a date or time with one format
  kKey,       // unique per row: pattern kept, values made anew
  kText,      // free text of high cardinality: pattern-alike values, never copied
  kConstant,  // one value in every row that has one
  kEmpty,     // no value in any row
};

inline constexpr int kMaximumDecimals = 9;

enum class TimeUnit : uint8_t { kDay, kSecond, kMillisecond, kMicrosecond, kNanosecond };

// The column's type in the file it came from, so that binary formats write it back as it was. kText: a text format (CSV).
enum class SourceType : uint8_t { kText, kBool, kInt8, kInt16, kInt32, kInt64, kUint8, kUint16, kUint32, kUint64,
                                  kFloat32, kFloat64, kDate32, kTimestamp, kString };

struct ColumnSchema {
  std::string name;  // the header's bytes, exactly: stray spaces included
  ColumnKind kind = ColumnKind::kCategory;
  SourceType source = SourceType::kText;
  bool has_missing = false;
  std::string missing_text;         // how the original writes a missing cell (the most frequent marker): "", "NA", "?"
  // kDecimal: quanta are 10^-decimals. kInteger of a text source: zeros written after the point of whole numbers ("65.0")
  int decimals = 0;
  bool keeps_trailing_zeros = false;  // kDecimal in text: "1.50" stays "1.50" (else "1.5"); kInteger with decimals: true
  std::string datetime_format;      // kDatetime in text: strftime-like (datetime.h says the letters), e.g. "%d/%m/%Y"
  TimeUnit unit = TimeUnit::kSecond;  // kDatetime: quanta are this unit since 1970-01-01 (UTC or wall time, unconverted)
  std::string timezone;             // kDatetime from a binary format with a zone
  std::vector<std::string> levels;  // kCategory, kBoolean: texts; position = code. kConstant: the one text
};

struct TableSchema {
  std::vector<ColumnSchema> columns;
  // The index of the column called `name`, exactly or, if none is, the only one equal but for surrounding spaces and
  // letter case. Throws UsageError naming the near matches.
  size_t find(const std::string& name) const;
};

bool is_numeric(ColumnKind kind);   // kInteger, kDecimal, kReal, kDatetime: values on a line
bool is_discrete(ColumnKind kind);  // kBoolean, kCategory: levels
bool has_values(ColumnKind kind);   // not kKey, kText, kEmpty: a batch holds values of it

const char* to_string(ColumnKind kind);
ColumnKind column_kind_from_string(const std::string& text);  // throws InputError

nlohmann::json to_json(const TableSchema& schema);
TableSchema table_schema_from_json(const nlohmann::json& json);  // throws InputError naming the field

}  // namespace doppel
