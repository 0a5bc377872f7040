#include "engine/density.h"

#include <algorithm>
#include <utility>

namespace doppel {

SampledValue value_of(const ColumnSchema& schema, const Column& column, int64_t row) {
  SampledValue value;
  const auto at = static_cast<size_t>(row);
  value.is_missing = schema.kind == ColumnKind::kEmpty || column.is_missing(row);
  if (value.is_missing) return value;
  if (is_discrete(schema.kind))
    value.integer = column.codes[at];
  else if (schema.kind == ColumnKind::kReal)
    value.real = column.reals[at];
  else if (is_numeric(schema.kind))
    value.integer = column.quanta[at];
  return value;
}

GivenTable read_given(TableSource& source, const TableSchema& schema) {
  GivenTable given;
  TableSchema known;
  const auto& fields = source.fields();
  for (const ColumnSchema& column : schema.columns) {
    const bool is_there =
        std::any_of(fields.begin(), fields.end(), [&](const RawField& field) { return field.name == column.name; });
    given.knowledge.push_back(is_there ? Knowledge::kGiven : Knowledge::kNone);
    if (is_there) known.columns.push_back(column);
  }
  Table read = read_table(source, known);
  given.table.rows = read.rows;
  given.table.columns.resize(schema.columns.size());
  for (size_t c = 0, from = 0; c < schema.columns.size(); ++c)
    if (given.knowledge[c] == Knowledge::kGiven) given.table.columns[c] = std::move(read.columns[from++]);
  return given;
}

}  // namespace doppel
