// Typed columns in memory: what raw cells become once the schema is known.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/table/schema.h"
#include "engine/table/source.h"

namespace doppel {

// Which vector holds the values follows from the kind:
//   kInteger, kDecimal, kDatetime    quanta
//   kReal                            reals
//   kBoolean, kCategory              codes (positions in schema.levels; kUnseenCode for a level the schema does not list)
//   kKey, kText                      texts
//   kConstant, kEmpty                none (missing says which rows have the value)
// A missing row holds 0 or "".
struct Column {
  std::vector<uint8_t> missing;  // [rows] 1 where missing, or empty: none is
  std::vector<int64_t> quanta;
  std::vector<double> reals;
  std::vector<int32_t> codes;
  std::vector<std::string> texts;
  bool is_missing(int64_t row) const { return !missing.empty() && missing[row] != 0; }
};

inline constexpr int32_t kUnseenCode = -1;

struct Table {
  int64_t rows = 0;
  std::vector<Column> columns;
};

// Converts one chunk by the schema (columns matched by position; the caller has matched names). A cell that does not fit
// its kind throws InputError: "life.csv:41:7: 'abc' is not a number (column 'GDP')". `source` locates it.
void convert_chunk(const RawChunk& chunk, const TableSchema& schema, TableSource& source, Table& table);

// The same for one chunk after the other: what looking cells up needs is made once.
class TableConverter {
 public:
  using Locate = std::function<std::string(int64_t row, size_t column)>;  // TableSource::locate, for messages
  // Columns are matched by exact name, in any order. Throws InputError naming those that the schema does not know and,
  // unless it `may_lack` some, those that the source does not have. The schema must outlive the converter.
  TableConverter(const TableSource& source, const TableSchema& schema, Locate locate, bool may_lack = false);
  ~TableConverter();
  TableConverter(TableConverter&&) noexcept;
  bool has(size_t column) const;  // of the schema
  // Puts the chunk's rows in the place of the table's, or behind them. A column that the source lacks has no rows.
  void convert(const RawChunk& chunk, Table& table);
  void append(const RawChunk& chunk, Table& table);  // `missing` is there whether or not some are

 private:
  struct Target;
  std::vector<Target> targets_;
  std::vector<bool> has_;  // [columns of the schema]
  Locate locate_;
};

// Reads the whole source from its start. Checks that the source's fields are the schema's columns (by exact name, any
// order) and names what is missing otherwise.
Table read_table(TableSource& source, const TableSchema& schema);

}  // namespace doppel
