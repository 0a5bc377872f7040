// Arrow IPC: files (Feather version 2) and streams. A record batch is in memory whole, and only one at a time.
#include <arrow/io/file.h>
#include <arrow/ipc/reader.h>

#include <algorithm>

#include "host/readers/arrow_source.h"
#include "host/readers/arrow_status.h"
#include "host/readers/formats.h"

namespace doppel {
namespace {

arrow::ipc::IpcReadOptions ipc_options() {
  arrow::ipc::IpcReadOptions options = arrow::ipc::IpcReadOptions::Defaults();
  options.use_threads = false;
  return options;
}

class ArrowFileSource : public ArrowSource {
 public:
  ArrowFileSource(const std::string& path, const ReadOptions& options) : ArrowSource(path, options.chunk_bytes) {
    start();
  }
  int64_t bytes_read() const override { return bytes_total_ * next_ / std::max(reader_->num_record_batches(), 1); }

 private:
  std::shared_ptr<arrow::Schema> open_batches() override {
    next_ = 0;
    if (!reader_) {
      const auto file = require(path(), arrow::io::ReadableFile::Open(path()));
      bytes_total_ = require(path(), file->GetSize());
      reader_ = require(path(), arrow::ipc::RecordBatchFileReader::Open(file, ipc_options()));
    }
    return reader_->schema();
  }
  std::shared_ptr<arrow::RecordBatch> read_batch() override {
    if (next_ == reader_->num_record_batches()) return nullptr;
    return require(path(), reader_->ReadRecordBatch(next_++));
  }

  std::shared_ptr<arrow::ipc::RecordBatchFileReader> reader_;
  int next_ = 0;
};

class ArrowStreamSource : public ArrowSource {
 public:
  ArrowStreamSource(const std::string& path, const ReadOptions& options) : ArrowSource(path, options.chunk_bytes) {
    start();
  }
  int64_t bytes_read() const override { return file_->Tell().ValueOr(0); }

 private:
  std::shared_ptr<arrow::Schema> open_batches() override {
    file_ = require(path(), arrow::io::ReadableFile::Open(path()));
    bytes_total_ = require(path(), file_->GetSize());
    reader_ = require(path(), arrow::ipc::RecordBatchStreamReader::Open(file_, ipc_options()));
    return reader_->schema();
  }
  std::shared_ptr<arrow::RecordBatch> read_batch() override {
    std::shared_ptr<arrow::RecordBatch> batch;
    require(path(), reader_->ReadNext(&batch));
    return batch;
  }

  std::shared_ptr<arrow::io::ReadableFile> file_;
  std::shared_ptr<arrow::ipc::RecordBatchStreamReader> reader_;
};

}  // namespace

std::unique_ptr<TableSource> open_arrow_file(const std::string& path, const ReadOptions& options) {
  return std::make_unique<ArrowFileSource>(path, options);
}

std::unique_ptr<TableSource> open_arrow_stream(const std::string& path, const ReadOptions& options) {
  return std::make_unique<ArrowStreamSource>(path, options);
}

}  // namespace doppel
