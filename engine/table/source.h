// A table being read: a stream of chunks of raw columns, which host/readers implement for each file format and the engine
// consumes without knowing files.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine/table/schema.h"

namespace doppel {

struct RawField {
  std::string name;
  SourceType type = SourceType::kText;
  TimeUnit unit = TimeUnit::kSecond;  // kTimestamp
  std::string timezone;               // kTimestamp
};

// One column of one chunk. What is set depends on the field's type:
//   kText, kString            text_offsets [rows + 1] and text_bytes
//   kBool, integers, dates    integers [rows] (dates: days; timestamps: the field's unit since 1970)
//   kFloat32, kFloat64        reals [rows]
// The pointers live as long as the chunk.
struct RawColumn {
  const int64_t* text_offsets = nullptr;
  const char* text_bytes = nullptr;
  const int64_t* integers = nullptr;
  const double* reals = nullptr;
  const uint8_t* present = nullptr;  // [rows] 1 or 0; null: all present. Text formats: always null (the engine knows the markers)

  std::string_view text(int64_t row) const {
    return {text_bytes + text_offsets[row], static_cast<size_t>(text_offsets[row + 1] - text_offsets[row])};
  }
};

struct RawChunk {
  int64_t first_row = 0;
  int64_t rows = 0;
  std::vector<RawColumn> columns;
  std::shared_ptr<const void> owner;  // keeps what the pointers point to
};

class TableSource {
 public:
  virtual ~TableSource() = default;
  virtual const std::string& name() const = 0;  // for messages: the path
  virtual const std::vector<RawField>& fields() const = 0;
  // The next chunk, or false at the end. Chunk boundaries are the same in every pass. Throws InputError.
  virtual bool next(RawChunk& chunk) = 0;
  virtual void rewind() = 0;
  // "life.csv:41:7" for row 39 (from 0) of column 6, "life.parquet: row 40" where there are no lines.
  virtual std::string locate(int64_t row, size_t column) = 0;
  // Bytes of the source read so far and in all, for progress.
  virtual int64_t bytes_read() const = 0;
  virtual int64_t bytes_total() const = 0;
};

}  // namespace doppel
