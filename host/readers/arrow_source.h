// What the readers of binary formats share: Arrow record batches, one after the other, as chunks of raw columns.
#pragma once

#include <arrow/record_batch.h>
#include <arrow/type.h>

#include <memory>
#include <string>
#include <vector>

#include "engine/table/source.h"
#include "host/readers/arrow_values.h"

namespace doppel {

// A format implements open_batches and read_batch. Large batches are handed on in pieces of about `chunk_bytes`, so
// that what is converted stays small; the batch itself is in memory whole.
class ArrowSource : public TableSource {
 public:
  const std::string& name() const override { return path_; }
  const std::vector<RawField>& fields() const override { return fields_; }
  bool next(RawChunk& chunk) override;
  void rewind() override { start(); }
  std::string locate(int64_t row, size_t column) override;
  int64_t bytes_total() const override { return bytes_total_; }

 protected:
  ArrowSource(std::string path, int64_t chunk_bytes) : path_(std::move(path)), chunk_bytes_(chunk_bytes) {}

  // Opens the file, or starts again. Throws InputError where it has no columns, columns that a table cannot hold, or
  // two of one name. To be called by the constructor of the class derived.
  void start();
  // Makes read_batch begin at the file's start; returns its schema.
  virtual std::shared_ptr<arrow::Schema> open_batches() = 0;
  // The next batch, or null at the end.
  virtual std::shared_ptr<arrow::RecordBatch> read_batch() = 0;

  const std::string& path() const { return path_; }
  int64_t chunk_bytes() const { return chunk_bytes_; }

  int64_t bytes_total_ = 0;

 private:
  bool load_batch();
  void set_fields(const arrow::Schema& schema);

  std::string path_;
  int64_t chunk_bytes_;
  std::vector<RawField> fields_;
  std::shared_ptr<arrow::RecordBatch> batch_;
  int64_t batch_row_ = 0;   // of the batch, the next to hand on
  int64_t piece_rows_ = 0;  // handed on at once
  int64_t first_row_ = 0;   // of the next chunk
  std::shared_ptr<std::vector<ArrowColumnMemory>> memory_;
};

}  // namespace doppel
