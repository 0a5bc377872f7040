// Batches as Arrow record batches, without a copy where the memory is already Arrow's; for arrow.cpp and parquet.cpp.
#pragma once

#include <arrow/api.h>
#include <arrow/io/interfaces.h>

#include <memory>
#include <string>
#include <vector>

#include "host/encoders/binary_column.h"
#include "host/encoders/encoder.h"

namespace doppel {

// Throws Error if an Arrow call failed.
void check(const arrow::Status& status);
template <class Value>
Value check(arrow::Result<Value>&& result) {
  check(result.status());
  return std::move(result).ValueUnsafe();
}

// Categories are dictionaries of strings with 32-bit codes, missing values nulls; columns that are never missing are
// not nullable. `provenance`, if any, is the schema's metadata under the key "doppel".
//
// Images are the last field, "image": fixed-size binary, [height, width, channels] as the field's metadata says. That
// is what a batch holds, and NumPy reads it without a copy; PNG bytes, as some data sets keep them, would cost more
// than making the images.
class ArrowColumns {
 public:
  ArrowColumns(const OutputSchema& schema, const std::string& provenance);

  const std::shared_ptr<arrow::Schema>& schema() const { return schema_; }
  size_t size() const { return columns_.size(); }  // without the images
  bool has_images() const { return image_type_ != nullptr; }
  const BinaryColumn& column(size_t index) const { return columns_[index].binary; }
  // The levels of a dictionary column.
  const std::shared_ptr<arrow::Array>& dictionary(size_t index) const { return columns_[index].dictionary; }

  // The batch's column as an array of the schema's type. It points into the batch and into memory that the next call
  // for the same column overwrites.
  std::shared_ptr<arrow::Array> array(const Batch& batch, size_t index);
  std::shared_ptr<arrow::Array> images(const Batch& batch) const;
  std::shared_ptr<arrow::RecordBatch> record_batch(const Batch& batch);

 private:
  struct Column {
    BinaryColumn binary;
    std::shared_ptr<arrow::DataType> type;
    std::shared_ptr<arrow::Array> dictionary;
    std::shared_ptr<arrow::ResizableBuffer> values, validity;  // made when first needed
    std::string text;                                          // of texts
  };
  std::shared_ptr<arrow::Buffer> values(const Batch& batch, size_t index);
  std::shared_ptr<arrow::Buffer> truth_bits(const Batch& batch, size_t index);
  std::shared_ptr<arrow::Buffer> text_offsets(const Batch& batch, size_t index);

  std::vector<Column> columns_;
  std::shared_ptr<arrow::DataType> image_type_;
  std::shared_ptr<arrow::Schema> schema_;
  std::vector<std::byte> truths_;
  std::string scratch_;
};

// Arrow's writers into a ByteBuffer. Positions count from the first byte written, kept or not.
class ByteBufferStream : public arrow::io::OutputStream {
 public:
  // The first `dropped` bytes are not kept.
  explicit ByteBufferStream(ByteBuffer& out, int64_t dropped = 0) : out_(out), dropped_(dropped) {}
  void drop_all() { dropped_ = INT64_MAX; }  // nothing written from now on is kept
  void keep_all() { dropped_ = 0; }
  int64_t position() const { return position_; }

  arrow::Status Write(const void* data, int64_t bytes) override;
  arrow::Result<int64_t> Tell() const override { return position_; }
  arrow::Status Close() override { return arrow::Status::OK(); }
  bool closed() const override { return false; }

 private:
  ByteBuffer& out_;
  int64_t dropped_;
  int64_t position_ = 0;
};

inline constexpr const char* kImageField = "image";

// About how many bytes a row takes, for the rows of a batch.
int64_t arrow_row_bytes(const OutputSchema& schema);

// Reads "name" or "name:level" ("default" is `otherwise`). Throws UsageError unless `name` is one of `known`.
struct Compression {
  std::string name;
  int level = 0;
  bool has_level = false;
};
Compression parse_compression(const std::string& format, const std::string& text, const std::string& otherwise,
                              const std::vector<std::string>& known);

}  // namespace doppel
