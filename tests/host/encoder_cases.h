// A table with a column of every kind, for the tests of the encoders: each value follows from its global row.
#pragma once

#include <cstring>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "host/encoders/encoder.h"

namespace doppel {

// "n<row>", every seventh one long, with a comma, quotes and a line break.
class RowTexts : public TextSource {
 public:
  void append(uint64_t seed, uint64_t row, std::string& out) const override {
    out.append("n").append(std::to_string(row + seed));
    if (row % 7 == 3) out += ", \"quoted\"\nand a second line of \xc3\xbc\x62\x65r 32 bytes";
  }
  size_t max_bytes() const override { return 80; }
};

class RowNumbers : public TextSource {
 public:
  void append(uint64_t, uint64_t row, std::string& out) const override { out += std::to_string(1000 + row); }
  size_t max_bytes() const override { return 20; }
};

inline OutputColumn column_of(const std::string& name, ColumnKind kind, Storage storage = Storage::kInt32,
                              SourceType source = SourceType::kText) {
  OutputColumn column;
  column.schema.name = name;
  column.schema.kind = kind;
  column.schema.source = source;
  column.storage = storage;
  return column;
}

class EncoderCase {
 public:
  OutputSchema schema;

  OutputColumn& add(OutputColumn column, std::function<int64_t(uint64_t)> integer,
                    std::function<double(uint64_t)> real = {}) {
    schema.columns.push_back(std::move(column));
    integers_.push_back(std::move(integer));
    reals_.push_back(std::move(real));
    return schema.columns.back();
  }
  int64_t integer(size_t column, uint64_t row) const { return integers_[column](row); }
  double real(size_t column, uint64_t row) const { return reals_[column](row); }
  // Missing every fifth row, shifted by the column.
  bool is_missing(size_t column, uint64_t row) const {
    return schema.columns[column].schema.kind == ColumnKind::kEmpty ||
           (schema.columns[column].schema.has_missing && (row + column) % 5 == 0);
  }

  void fill(Batch& batch, uint64_t first_row, int64_t rows, uint64_t seed = 1) const {
    batch.seed = seed, batch.first_row = first_row, batch.rows = rows;
    for (size_t index = 0; index < schema.columns.size(); ++index) {
      const ColumnBuffer& buffer = batch.buffer(index);
      if (buffer.validity != nullptr) std::memset(buffer.validity, 0, static_cast<size_t>(rows + 7) / 8);
      for (int64_t row = 0; row < rows; ++row) {
        const uint64_t global = first_row + static_cast<uint64_t>(row);
        const bool missing = is_missing(index, global);
        if (buffer.validity != nullptr && !missing) buffer.validity[row / 8] |= static_cast<uint8_t>(1 << row % 8);
        if (!schema.columns[index].has_values()) continue;
        const bool is_real = buffer.values != nullptr && (schema.columns[index].storage == Storage::kFloat32 ||
                                                          schema.columns[index].storage == Storage::kFloat64);
        const int64_t integer = missing || is_real ? 0 : integers_[index](global);
        const double real = missing || !is_real ? 0 : reals_[index](global);
        switch (schema.columns[index].storage) {
          case Storage::kInt32:
            static_cast<int32_t*>(buffer.values)[row] = static_cast<int32_t>(integer);
            break;
          case Storage::kInt64:
            static_cast<int64_t*>(buffer.values)[row] = integer;
            break;
          case Storage::kFloat32:
            static_cast<float*>(buffer.values)[row] = static_cast<float>(real);
            break;
          case Storage::kFloat64:
            static_cast<double*>(buffer.values)[row] = real;
            break;
        }
      }
    }
  }

 private:
  std::vector<std::function<int64_t(uint64_t)>> integers_;
  std::vector<std::function<double(uint64_t)>> reals_;
};

// Every kind, several storages and source types, with and without missing values.
inline EncoderCase every_kind() {
  EncoderCase table;
  const auto wave = [](uint64_t row) { return static_cast<int64_t>(row * 2654435761u % 2001) - 1000; };
  table.add(column_of("integer", ColumnKind::kInteger), wave);
  auto& gaps = table.add(column_of("integer with gaps", ColumnKind::kInteger, Storage::kInt64),
                         [](uint64_t row) { return static_cast<int64_t>(row) * 123456789012 - 5; });
  gaps.schema.has_missing = true, gaps.schema.missing_text = "NA";
  table.add(column_of("int16", ColumnKind::kInteger, Storage::kInt32, SourceType::kInt16), wave);
  auto& price =
      table.add(column_of("price, \"net\"", ColumnKind::kDecimal), [=](uint64_t row) { return wave(row) * 1001; });
  price.schema.decimals = 2, price.schema.keeps_trailing_zeros = true;
  auto& weight = table.add(column_of(" weight ", ColumnKind::kDecimal, Storage::kInt64),
                           [=](uint64_t row) { return wave(row) * 50; });
  weight.schema.decimals = 3, weight.schema.has_missing = true;
  table.add(column_of("real", ColumnKind::kReal, Storage::kFloat64), {},
            [=](uint64_t row) { return static_cast<double>(wave(row)) / 7; });
  auto& real32 = table.add(column_of("real32", ColumnKind::kReal, Storage::kFloat32, SourceType::kFloat32), {},
                           [=](uint64_t row) { return static_cast<double>(static_cast<float>(wave(row)) / 3.0f); });
  real32.schema.has_missing = true;
  auto& flag = table.add(column_of("flag", ColumnKind::kBoolean),
                         [](uint64_t row) { return static_cast<int64_t>(row % 3 == 0); });
  flag.schema.levels = {"False", "True"}, flag.schema.has_missing = true, flag.schema.missing_text = std::string("?");
  auto& answer = table.add(column_of("answer", ColumnKind::kBoolean, Storage::kInt32, SourceType::kBool),
                           [](uint64_t row) { return static_cast<int64_t>(row % 2); });
  answer.schema.levels = {"true", "false"};
  auto& city = table.add(column_of("Ort \xc3\xa4", ColumnKind::kCategory),
                         [](uint64_t row) { return static_cast<int64_t>(row % 4); });
  city.schema.levels = {"K\xc3\xb6ln", "Paris, France", "the \"Big\" one", "a"};
  city.schema.has_missing = true;
  auto& essay =
      table.add(column_of("essay", ColumnKind::kCategory), [](uint64_t row) { return static_cast<int64_t>(row % 2); });
  essay.schema.levels = {std::string(size_t{100}, 'x'), std::string("short")};
  auto& day = table.add(column_of("day", ColumnKind::kDatetime), [=](uint64_t row) { return wave(row) * 30; });
  day.schema.unit = TimeUnit::kDay, day.schema.datetime_format = "%d/%m/%Y", day.schema.has_missing = true;
  auto& time = table.add(column_of("time", ColumnKind::kDatetime, Storage::kInt64, SourceType::kTimestamp),
                         [=](uint64_t row) { return wave(row) * 987654321; });
  time.schema.unit = TimeUnit::kMillisecond, time.schema.timezone = "UTC";
  auto& key = table.add(column_of("key", ColumnKind::kKey, Storage::kInt32, SourceType::kInt64), {});
  key.texts = std::make_shared<RowNumbers>();
  auto& note = table.add(column_of("note", ColumnKind::kText), {});
  note.texts = std::make_shared<RowTexts>(), note.schema.has_missing = true;
  auto& constant = table.add(column_of("constant", ColumnKind::kConstant), [](uint64_t) { return int64_t{0}; });
  constant.schema.levels.emplace_back("007"), constant.schema.has_missing = true;
  table.add(column_of("empty", ColumnKind::kEmpty), {}).schema.has_missing = true;
  return table;
}

inline std::string text_of(const ByteBuffer& buffer) {
  return {reinterpret_cast<const char*>(buffer.data()), buffer.size()};
}

// A file of rows [first_row, first_row + rows) in batches of `batch_rows`, encoded in the order of the batches.
inline std::string encode_file(const EncoderCase& table, const std::string& format, uint64_t first_row, int64_t rows,
                               int64_t batch_rows, const EncoderOptions& options = {}) {
  const auto encoder = find_format(format).make(table.schema, options);
  ByteBuffer out;
  encoder->head(rows, out);
  Batch batch(table.schema, batch_rows);
  std::vector<EncodedBatch> encoded;
  for (int64_t done = 0; done < rows; done += batch_rows) {
    table.fill(batch, first_row + static_cast<uint64_t>(done), std::min(batch_rows, rows - done));
    encoded.push_back(encoder->encode(batch, out));
  }
  encoder->tail(encoded, out);
  return text_of(out);
}

}  // namespace doppel
