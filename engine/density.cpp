#include "engine/density.h"

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

}  // namespace doppel
