// Constraints between columns: what holds in every row of a table and is to hold in every row made like it.
//
//   constraint = column ("<" | "<=" | ">" | ">=") column     two numbers, or two dates
//              | "fixed" "{" column "," column { "," column } "}"
//
// An inequality holds where one of the two has no value. Fixed columns (categories, truth values, whole and decimal
// numbers, dates) have only the combinations that the table has; no value is one of the values. Columns are found as
// TableSchema::find does; tokens.h says when names stand in quotes.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <span>
#include <string>
#include <vector>

#include "engine/batch.h"
#include "engine/model_file.h"
#include "engine/table/schema.h"
#include "engine/table/source.h"
#include "engine/table/table.h"

namespace doppel {

struct Constraint {
  enum class Kind : uint8_t { kInequality, kFixed } kind = Kind::kInequality;
  std::vector<size_t> columns;   // kInequality: the first is not above the second
  bool is_strict = false;        // kInequality: the first is below the second
  std::vector<int64_t> allowed;  // kFixed: [combinations, columns] codes or quanta, or kNoValue; ascending
};
using Constraints = std::vector<Constraint>;

inline constexpr int64_t kNoValue = INT64_MIN;

// Throws UsageError "--constraint: character 7: ...". Combinations are not known yet.
Constraint parse_constraint(const std::string& text, const TableSchema& schema);

// As it is written: "start<=end", "fixed {city, country}".
std::string to_text(const Constraint& constraint, const TableSchema& schema);

// Parses, reads the source from its start, learns what combinations there are, and throws InputError where rows break
// an inequality: how many, and where the first one is. Nothing is read where there are no texts.
Constraints learn_constraints(std::span<const std::string> texts, TableSource& source, const TableSchema& schema);

// In a model file: metadata "constraints", and a tensor of combinations for each that is fixed. A file without them has
// none. load throws InputError.
void save_constraints(const Constraints& constraints, const TableSchema& schema, ModelFile& file);
Constraints load_constraints(const ModelFile& file, const TableSchema& schema);

// A column of rows, of a batch or of a table.
struct ColumnCells {
  Storage storage = Storage::kInt32;
  const void* values = nullptr;
  const uint8_t* validity = nullptr;  // bits, 1: has a value; null: all have
  const uint8_t* missing = nullptr;   // bytes, 1: has none; null: all have
};
// The columns of an output as those of a table.
TableSchema table_schema_of(const OutputSchema& output);
std::vector<ColumnCells> cells_of(const OutputSchema& schema, const Batch& batch);
std::vector<ColumnCells> cells_of(const TableSchema& schema, const Table& table);

// Which rows break constraints. Numbers of different decimals or units are compared exactly, but for real numbers: then
// both as doubles.
class ConstraintChecker {
 public:
  // For rows of `schema`, whose columns are matched by name with `known`, the schema of the constraints. A constraint
  // on a column that is not there is left out.
  ConstraintChecker(const Constraints& constraints, const TableSchema& known, const TableSchema& schema);
  ~ConstraintChecker();
  ConstraintChecker(ConstraintChecker&&) noexcept;
  ConstraintChecker& operator=(ConstraintChecker&&) noexcept;
  // broken [(rows + 63) / 64] gets bit r % 64 of word r / 64 set where row r breaks one, and all others cleared. The
  // cells are of all columns of the schema.
  void find_broken(std::span<const ColumnCells> cells, int64_t rows, std::span<uint64_t> broken) const;
  bool breaks(std::span<const ColumnCells> cells, int64_t row) const;

 private:
  struct Rule;
  std::vector<Rule> rules_;
};

}  // namespace doppel
