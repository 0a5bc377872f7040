// Parquet, decoded a batch of rows at a time: memory holds a batch and the pages that it comes from, whatever the size
// of row groups.
#include <arrow/io/file.h>
#include <parquet/arrow/reader.h>
#include <parquet/exception.h>
#include <parquet/file_reader.h>
#include <parquet/metadata.h>

#include <algorithm>

#include "host/readers/arrow_source.h"
#include "host/readers/arrow_status.h"
#include "host/readers/formats.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int64_t kMaximumBatchRows = 1 << 16;
constexpr int64_t kMinimumBufferBytes = 16 << 10, kMaximumBufferBytes = 1 << 20;

class ParquetSource : public ArrowSource {
 public:
  ParquetSource(const std::string& path, const ReadOptions& options) : ArrowSource(path, options.chunk_bytes) {
    guard([&] { open_file(); });
    start();
  }
  int64_t bytes_read() const override {
    const double share = static_cast<double>(rows_read_) / static_cast<double>(std::max<int64_t>(rows_, 1));
    return static_cast<int64_t>(std::min(share, 1.0) * static_cast<double>(bytes_total_));
  }

 private:
  // Damage shows as an exception of the Parquet library, of its Thrift, or of an allocation of a size that makes no
  // sense.
  template <class Function>
  auto guard(const Function& function) -> decltype(function()) {
    try {
      return function();
    } catch (const Error&) {
      throw;
    } catch (const std::exception& error) {
      require(path(), arrow::Status::Invalid(error.what()));
      throw;
    }
  }

  void open_file() {
    file_ = require(path(), arrow::io::ReadableFile::Open(path()));
    bytes_total_ = require(path(), file_->GetSize());
    const auto metadata = parquet::ReadMetaData(file_);
    rows_ = metadata->num_rows();
    const int64_t columns = std::max<int64_t>(metadata->num_columns(), 1);
    parquet::ReaderProperties properties = parquet::default_reader_properties();
    properties.enable_buffered_stream();
    properties.set_buffer_size(std::clamp(chunk_bytes() / columns, kMinimumBufferBytes, kMaximumBufferBytes));
    properties.set_page_checksum_verification(true);
    parquet::ArrowReaderProperties arrow_properties;
    arrow_properties.set_use_threads(false);
    arrow_properties.set_pre_buffer(false);
    arrow_properties.set_batch_size(std::clamp(chunk_bytes() / (8 * columns), int64_t{1}, kMaximumBatchRows));
    arrow_properties.set_coerce_int96_timestamp_unit(arrow::TimeUnit::MICRO);  // nanoseconds end in the year 2262
    parquet::arrow::FileReaderBuilder builder;
    require(path(), builder.Open(file_, properties, metadata));
    builder.properties(arrow_properties);
    require(path(), builder.Build(&reader_));
  }

  std::shared_ptr<arrow::Schema> open_batches() override {
    return guard([&] {
      rows_read_ = 0;
      std::shared_ptr<arrow::Schema> schema;
      require(path(), reader_->GetSchema(&schema));
      batches_ = require(path(), reader_->GetRecordBatchReader());
      return schema;
    });
  }

  std::shared_ptr<arrow::RecordBatch> read_batch() override {
    return guard([&] {
      std::shared_ptr<arrow::RecordBatch> batch;
      require(path(), batches_->ReadNext(&batch));
      if (batch) rows_read_ += batch->num_rows();
      if (!batch && rows_read_ != rows_) {
        require(path(), arrow::Status::Invalid(rows_read_, " of ", rows_, " rows are there"));
      }
      return batch;
    });
  }

  std::shared_ptr<arrow::io::ReadableFile> file_;
  std::unique_ptr<parquet::arrow::FileReader> reader_;
  std::unique_ptr<arrow::RecordBatchReader> batches_;
  int64_t rows_ = 0, rows_read_ = 0;
};

}  // namespace

std::unique_ptr<TableSource> open_parquet(const std::string& path, const ReadOptions& options) {
  return std::make_unique<ParquetSource>(path, options);
}

}  // namespace doppel
