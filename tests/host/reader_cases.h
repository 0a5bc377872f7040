// Reading whole files in tests of the readers.
#pragma once

#include <gtest/gtest.h>

#include <cmath>
#include <optional>
#include <string>
#include <vector>

#include "host/readers/reader.h"
#include "kernels/common/error.h"
#include "tests/host/test_folder.h"

namespace doppel {

using Cells = std::vector<std::vector<std::string>>;  // [rows][columns]

inline constexpr const char* kMissing = "(missing)";

// A cell as text: reals with %.17g.
inline std::string cell_text(const RawColumn& column, int64_t row) {
  if (column.present != nullptr && column.present[row] == 0) return kMissing;
  if (column.text_offsets != nullptr) return std::string(column.text(row));
  if (column.integers != nullptr) return std::to_string(column.integers[row]);
  char text[32];
  std::snprintf(text, sizeof text, "%.17g", column.reals[row]);
  return text;
}

// What is left of the source. Checks that chunks follow each other and fill each field in its type's way.
inline Cells read_cells(TableSource& source, std::vector<int64_t>* chunk_rows = nullptr) {
  Cells cells;
  for (RawChunk chunk; source.next(chunk);) {
    EXPECT_EQ(chunk.first_row, static_cast<int64_t>(cells.size()));
    EXPECT_GT(chunk.rows, 0);
    EXPECT_EQ(chunk.columns.size(), source.fields().size());
    if (chunk_rows != nullptr) chunk_rows->push_back(chunk.rows);
    for (int64_t row = 0; row < chunk.rows; ++row) {
      std::vector<std::string>& line = cells.emplace_back();
      for (const RawColumn& column : chunk.columns) line.push_back(cell_text(column, row));
    }
  }
  return cells;
}

inline std::vector<std::string> field_names(const TableSource& source) {
  std::vector<std::string> names;
  for (const RawField& field : source.fields()) names.push_back(field.name);
  return names;
}

// The message of the InputError that opening and reading the whole file throws; "" if none is thrown.
inline std::string input_error(const std::string& path, const ReadOptions& options = {}) {
  try {
    const auto source = open_table(path, options);
    for (RawChunk chunk; source->next(chunk);) {
    }
  } catch (const InputError& error) {
    return error.what();
  }
  return "";
}

}  // namespace doppel
