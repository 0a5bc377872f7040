// Small tables in memory, written column by column.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "engine/table/table.h"

namespace doppel {

// One column of a table under construction; std::nullopt is a missing cell.
class TableMaker {
 public:
  template <typename Value>
  TableMaker& add(ColumnKind kind, const std::vector<std::optional<Value>>& cells,
                  std::vector<std::string> levels = {}) {
    Column column;
    for (const auto& cell : cells) {
      column.missing.push_back(!cell);
      const auto value = cell.value_or(Value{});
      if (kind == ColumnKind::kReal)
        column.reals.push_back(static_cast<double>(value));
      else if (kind == ColumnKind::kCategory || kind == ColumnKind::kBoolean)
        column.codes.push_back(static_cast<int32_t>(value));
      else if (kind != ColumnKind::kConstant && kind != ColumnKind::kEmpty)
        column.quanta.push_back(static_cast<int64_t>(value));
    }
    ColumnSchema column_schema;
    column_schema.name = "column " + std::to_string(schema.columns.size());
    column_schema.kind = kind;
    column_schema.levels = std::move(levels);
    schema.columns.push_back(std::move(column_schema));
    table.rows = static_cast<int64_t>(cells.size());
    table.columns.push_back(std::move(column));
    return *this;
  }
  TableMaker& integers(const std::vector<std::optional<int64_t>>& cells) { return add(ColumnKind::kInteger, cells); }
  TableMaker& reals(const std::vector<std::optional<double>>& cells) { return add(ColumnKind::kReal, cells); }
  TableMaker& categories(const std::vector<std::optional<int>>& codes, std::vector<std::string> levels) {
    return add(ColumnKind::kCategory, codes, std::move(levels));
  }

  TableSchema schema;
  Table table;
};

}  // namespace doppel
