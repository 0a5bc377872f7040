// What generators produce and encoders consume: a block of rows, column by column.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "engine/image/images.h"
#include "engine/table/schema.h"
#include "kernels/table.h"

namespace doppel {

// Texts made from (seed, row) alone: keys and free text, which no kernel samples.
class TextSource {
 public:
  virtual ~TextSource() = default;
  virtual void append(uint64_t seed, uint64_t row, std::string& out) const = 0;  // thread-safe
  // No text is longer, whatever the seed and row: the width of a fixed-width format's field.
  virtual size_t max_bytes() const = 0;
};

// One column of the output. How to read a batch's values:
//   kInteger              kInt32 or kInt64
//   kDecimal              kInt32 or kInt64 quanta: the value is quanta / 10^schema.decimals (one correctly rounded division)
//   kReal                 kFloat32 or kFloat64
//   kBoolean, kCategory   kInt32 codes, positions in schema.levels
//   kDatetime             kInt32 or kInt64, schema.unit since 1970-01-01
//   kConstant             kInt32 codes, all 0
//   kKey, kText           no values: `texts` makes them; validity still says which rows are missing. A kKey or kText of an
//                         integer source type holds decimal digits
//   kEmpty                no values, all missing
struct OutputColumn {
  ColumnSchema schema;
  Storage storage = Storage::kInt32;
  std::shared_ptr<const TextSource> texts;  // kKey, kText only
  bool has_values() const { return doppel::has_values(schema.kind); }
};

// Rows are what their columns hold and, where they are images, an image each beside them: its label is an ordinary
// category.
struct OutputSchema {
  std::vector<OutputColumn> columns;
  ImageShape image;  // of size 0: rows of a table
  bool has_images() const { return image.size() > 0; }
};

// Texts of a batch's rows that were read: the text of row r ends at ends[r] and begins where that of the row before
// ends.
struct ReadTexts {
  std::string bytes;
  std::vector<size_t> ends;
  void clear() { bytes.clear(), ends.clear(); }
};

// A reusable block of memory for up to `capacity` rows of a schema: one allocation, 64-byte aligned columns and images.
class Batch {
 public:
  Batch(const OutputSchema& schema, int64_t capacity,
        const std::function<HostMemory(size_t)>& allocate = allocate_host_memory);
  static size_t bytes(const OutputSchema& schema, int64_t capacity);  // what the constructor allocates

  int64_t capacity() const { return capacity_; }
  size_t columns() const { return buffers_.size(); }
  const ColumnBuffer& buffer(size_t column) const { return buffers_[column]; }
  // [capacity, height, width, channels] levels, one image after another as in Images; null where rows are no images.
  uint8_t* images() const { return images_; }
  // True where the row has a value.
  bool is_present(size_t column, int64_t row) const {
    const uint8_t* bits = buffers_[column].validity;
    return bits == nullptr || (bits[row >> 3] >> (row & 7) & 1) != 0;
  }

  // Appends the text of a row to `out`: of a column that has `texts`, `column` of the schema.
  void append_text(const OutputColumn& schema, size_t column, int64_t row, std::string& out) const {
    if (column >= texts_read.size() || texts_read[column].ends.empty())
      return schema.texts->append(seed, first_row + static_cast<uint64_t>(row), out);
    const ReadTexts& read = texts_read[column];
    const auto at = static_cast<size_t>(row);
    const size_t begin = at == 0 ? 0 : read.ends[at - 1];
    out.append(read.bytes, begin, read.ends[at] - begin);
  }

  std::vector<ReadTexts> texts_read;  // [columns], or fewer: in the place of what the other columns' `texts` make
  uint64_t seed = 0;       // of the job
  uint64_t first_row = 0;  // global number of row 0 of this batch
  int64_t rows = 0;        // <= capacity

 private:
  int64_t capacity_ = 0;
  std::vector<ColumnBuffer> buffers_;
  uint8_t* images_ = nullptr;
  HostMemory memory_;
};

}  // namespace doppel
