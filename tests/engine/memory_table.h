// A table in memory as a TableSource: for tests of the engine, which knows no files.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "engine/table/source.h"

namespace doppel {

// Cells of one column; which vector is filled follows from the field's type.
struct MemoryColumn {
  RawField field;
  std::vector<std::string> texts;
  std::vector<int64_t> integers;
  std::vector<double> reals;
  std::vector<uint8_t> present;  // empty: all
};

class MemoryTable : public TableSource {
 public:
  explicit MemoryTable(std::vector<MemoryColumn> columns, int64_t chunk_rows = 1 << 20)
      : columns_(std::move(columns)), chunk_rows_(chunk_rows) {
    for (const MemoryColumn& column : columns_) {
      fields_.push_back(column.field);
      rows_ = static_cast<int64_t>(std::max({column.texts.size(), column.integers.size(), column.reals.size()}));
    }
  }
  // A text column of each vector, called a, b, ...
  static MemoryTable of_texts(const std::vector<std::vector<std::string>>& columns, int64_t chunk_rows = 1 << 20) {
    std::vector<MemoryColumn> all;
    for (const auto& texts : columns) {
      MemoryColumn& column = all.emplace_back();
      column.field.name = std::string(1, static_cast<char>('a' + all.size() - 1));
      column.texts = texts;
    }
    return MemoryTable(std::move(all), chunk_rows);
  }

  const std::string& name() const override { return name_; }
  const std::vector<RawField>& fields() const override { return fields_; }

  bool next(RawChunk& chunk) override {
    chunk = {};
    if (next_row_ >= rows_) return false;
    auto memory = std::make_shared<std::vector<Texts>>(columns_.size());
    chunk.first_row = next_row_;
    chunk.rows = std::min(chunk_rows_, rows_ - next_row_);
    for (size_t index = 0; index < columns_.size(); ++index) {
      const MemoryColumn& column = columns_[index];
      RawColumn& raw = chunk.columns.emplace_back();
      const auto first = static_cast<size_t>(next_row_);
      if (!column.present.empty()) raw.present = column.present.data() + first;
      if (!column.integers.empty()) raw.integers = column.integers.data() + first;
      if (!column.reals.empty()) raw.reals = column.reals.data() + first;
      if (column.texts.empty()) continue;
      Texts& texts = (*memory)[index];
      texts.offsets.push_back(0);
      for (size_t row = first; row < first + static_cast<size_t>(chunk.rows); ++row) {
        texts.bytes += column.texts[row];
        texts.offsets.push_back(static_cast<int64_t>(texts.bytes.size()));
      }
      raw.text_offsets = texts.offsets.data();
      raw.text_bytes = texts.bytes.data();
    }
    next_row_ += chunk.rows;
    chunk.owner = memory;
    return true;
  }
  void rewind() override {
    next_row_ = 0;
    ++passes_;
  }
  // "t.csv:2:1" for row 0 of column 0.
  std::string locate(int64_t row, size_t column) override {
    return name_ + ":" + std::to_string(row + 2) + ":" + std::to_string(column + 1);
  }
  int64_t bytes_read() const override { return next_row_; }
  int64_t bytes_total() const override { return rows_; }
  int passes() const { return passes_; }

 private:
  struct Texts {
    std::vector<int64_t> offsets;
    std::string bytes;
  };
  std::string name_ = "t.csv";
  std::vector<MemoryColumn> columns_;
  std::vector<RawField> fields_;
  int64_t chunk_rows_, rows_ = 0, next_row_ = 0;
  int passes_ = 0;
};

}  // namespace doppel
