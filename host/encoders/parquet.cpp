// Parquet: a batch is one row group. Arrow's writer makes each a file of its own in memory; only the row group's bytes
// are kept, and what the footer needs to know of its columns. The tail shifts the offsets to where the row groups came
// to lie and writes one footer with Parquet's own metadata builders.
//
// Encodings do the compacting, so the default compression is none. One core, 20 columns, million rows a second and
// bytes a row: 4-decimal numbers 13 at 160, with snappy 2.5 at 127, with lz4 2.3 at 123; continuous floats 23 at 80,
// with snappy 14 at 80; integers as deltas 6.0 at 51 (plain 17 at 160); 100 different decimals as a dictionary 4.8 at
// 18 (bench/encoders.cpp).
#include <arrow/util/compression.h>
#include <parquet/arrow/writer.h>
#include <parquet/file_writer.h>
#include <parquet/metadata.h>
#include <parquet/properties.h>
#include <parquet/statistics.h>

#include <algorithm>
#include <cstring>
#include <map>
#include <optional>

#include "host/encoders/arrow_columns.h"
#include "host/encoders/formats.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

const std::vector<std::string> kCompressions = {"none", "snappy", "lz4", "zstd", "gzip"};
constexpr int64_t kMagicBytes = 4;  // "PAR1"

arrow::Compression::type codec_of(const std::string& name) {
  if (name == "snappy") return arrow::Compression::SNAPPY;
  if (name == "lz4") return arrow::Compression::LZ4;
  if (name == "zstd") return arrow::Compression::ZSTD;
  if (name == "gzip") return arrow::Compression::GZIP;
  return arrow::Compression::UNCOMPRESSED;
}

// What the footer says of one column of a row group. Offsets count from the row group's first byte.
struct ColumnChunk {
  int64_t values = 0, data_offset = 0, dictionary_offset = 0, compressed_bytes = 0, uncompressed_bytes = 0;
  bool has_dictionary = false;
  std::map<parquet::Encoding::type, int32_t> dictionary_pages, data_pages;
  std::optional<parquet::EncodedStatistics> statistics;
};

struct RowGroup {
  std::vector<ColumnChunk> columns;
  int64_t uncompressed_bytes = 0;
};

ColumnChunk describe(const parquet::ColumnChunkMetaData& chunk) {
  ColumnChunk column;
  column.values = chunk.num_values();
  column.data_offset = chunk.data_page_offset() - kMagicBytes;
  column.has_dictionary = chunk.has_dictionary_page();
  if (column.has_dictionary) column.dictionary_offset = chunk.dictionary_page_offset() - kMagicBytes;
  column.compressed_bytes = chunk.total_compressed_size();
  column.uncompressed_bytes = chunk.total_uncompressed_size();
  for (const parquet::PageEncodingStats& pages : chunk.encoding_stats())
    (pages.page_type == parquet::PageType::DICTIONARY_PAGE ? column.dictionary_pages
                                                           : column.data_pages)[pages.encoding] = pages.count;
  if (const auto statistics = chunk.encoded_statistics()) column.statistics = *statistics;
  return column;
}

// How a column of one batch is encoded. Arrow's default, a dictionary until it overflows, is ten times slower than
// plain on values that hardly repeat, and larger.
enum class ColumnEncoding { kPlain, kDictionary, kDelta };

constexpr int64_t kSampledValues = 1024;
constexpr int64_t kFewValues = 256;  // of the sampled ones: at most that many different ones make a dictionary worth it

template <class Value>
bool has_few_values(const void* values, int64_t rows) {
  const int64_t count = std::min(rows, kSampledValues);
  std::vector<Value> sample(static_cast<size_t>(count));
  for (int64_t at = 0; at < count; ++at)
    std::memcpy(&sample[static_cast<size_t>(at)], static_cast<const Value*>(values) + at * rows / count, sizeof(Value));
  std::sort(sample.begin(), sample.end());
  return std::unique(sample.begin(), sample.end()) - sample.begin() <= std::min(kFewValues, count / 4);
}

// By the batch's own rows: as much a function of the row range as the values are.
ColumnEncoding encoding_of(const BinaryColumn& column, const Batch& batch, size_t index) {
  if (column.type() == BinaryType::kDictionary) return ColumnEncoding::kDictionary;
  if (column.type() == BinaryType::kBool || !column.column().has_values()) return ColumnEncoding::kPlain;
  const void* values = batch.buffer(index).values;
  if (bytes_per_value(column.column().storage) == 4 ? has_few_values<uint32_t>(values, batch.rows)
                                                    : has_few_values<uint64_t>(values, batch.rows))
    return ColumnEncoding::kDictionary;
  const bool is_real = column.type() == BinaryType::kFloat32 || column.type() == BinaryType::kFloat64;
  return is_real ? ColumnEncoding::kPlain : ColumnEncoding::kDelta;
}

class ParquetEncoder : public Encoder {
 public:
  ParquetEncoder(const OutputSchema& schema, const EncoderOptions& options)
      : columns_(schema, options.provenance),
        compression_(parse_compression("parquet", options.compression, "none", kCompressions)),
        arrow_properties_(parquet::ArrowWriterProperties::Builder().store_schema()->set_use_threads(false)->build()) {}

  void head(int64_t, ByteBuffer& out) override { out.append("PAR1", kMagicBytes); }

  EncodedBatch encode(const Batch& batch, ByteBuffer& out) override {
    const size_t before = out.size();
    const auto stream = std::make_shared<ByteBufferStream>(out, kMagicBytes);
    const auto writer = open(stream, properties(&batch));
    check(writer->NewRowGroup());
    for (size_t index = 0; index < columns_.size(); ++index)
      check(writer->WriteColumnChunk(*columns_.array(batch, index)));
    if (columns_.has_images()) check(writer->WriteColumnChunk(*columns_.images(batch)));
    stream->drop_all();
    check(writer->Close());
    const auto group = std::make_shared<RowGroup>();
    const auto metadata = writer->metadata()->RowGroup(0);
    for (int index = 0; index < metadata->num_columns(); ++index)
      group->columns.push_back(describe(*metadata->ColumnChunk(index)));
    group->uncompressed_bytes = metadata->total_byte_size();
    return {batch.rows, static_cast<int64_t>(out.size() - before), group};
  }

  void tail(std::span<const EncodedBatch> batches, ByteBuffer& out) override {
    ByteBuffer unused;
    const auto writer = open(std::make_shared<ByteBufferStream>(unused), properties(nullptr));
    check(writer->Close());
    const std::shared_ptr<parquet::FileMetaData> empty = writer->metadata();  // the schema and its Arrow form
    const auto footer = parquet::FileMetaDataBuilder::Make(empty->schema(), properties(nullptr));
    int64_t offset = kMagicBytes;
    for (size_t ordinal = 0; ordinal < batches.size(); ++ordinal) {
      append_row_group(batches[ordinal], offset, ordinal, *footer->AppendRowGroup());
      offset += batches[ordinal].bytes;
    }
    ByteBufferStream stream(out);
    parquet::WriteFileMetaData(*footer->Finish(empty->key_value_metadata()), &stream);
  }

 private:
  // The settings for one batch's row group; without a batch, those for a footer alone.
  std::shared_ptr<parquet::WriterProperties> properties(const Batch* batch) const {
    parquet::WriterProperties::Builder builder;
    builder.compression(codec_of(compression_.name));
    if (compression_.has_level) builder.compression_level(compression_.level);
    builder.disable_dictionary()->disable_write_page_index();
    builder.set_size_statistics_level(parquet::SizeStatisticsLevel::None);
    builder.max_row_group_length(INT64_MAX);
    for (size_t index = 0; batch != nullptr && index < columns_.size(); ++index) {
      const std::string& name = columns_.schema()->field(static_cast<int>(index))->name();
      const ColumnEncoding encoding = encoding_of(columns_.column(index), *batch, index);
      if (encoding == ColumnEncoding::kDictionary) builder.enable_dictionary(name);
      if (encoding == ColumnEncoding::kDelta) builder.encoding(name, parquet::Encoding::DELTA_BINARY_PACKED);
      // Arrow finds a category's least and greatest level by hashing all codes: half of the time for little use.
      if (columns_.dictionary(index)) builder.disable_statistics(name);
    }
    if (columns_.has_images()) builder.disable_statistics(kImageField);  // the least image says nothing
    return builder.build();
  }

  std::unique_ptr<parquet::arrow::FileWriter> open(std::shared_ptr<ByteBufferStream> stream,
                                                   const std::shared_ptr<parquet::WriterProperties>& properties) const {
    return check(parquet::arrow::FileWriter::Open(*columns_.schema(), arrow::default_memory_pool(), std::move(stream),
                                                  properties, arrow_properties_));
  }

  static void append_row_group(const EncodedBatch& batch, int64_t offset, size_t ordinal,
                               parquet::RowGroupMetaDataBuilder& to) {
    const auto& group = *static_cast<const RowGroup*>(batch.note.get());
    to.set_num_rows(batch.rows);
    for (const ColumnChunk& column : group.columns) {
      parquet::ColumnChunkMetaDataBuilder* chunk = to.NextColumnChunk();
      if (column.statistics) chunk->SetStatistics(*column.statistics);
      const bool fell_back = column.has_dictionary && column.data_pages.count(parquet::Encoding::PLAIN) != 0;
      chunk->Finish(column.values, column.has_dictionary ? offset + column.dictionary_offset : 0, -1,
                    offset + column.data_offset, column.compressed_bytes, column.uncompressed_bytes,
                    column.has_dictionary, fell_back, column.dictionary_pages, column.data_pages);
    }
    // The ordinal is 16 bits wide; it matters to encryption only.
    to.Finish(group.uncompressed_bytes, ordinal <= INT16_MAX ? static_cast<int16_t>(ordinal) : int16_t{-1});
  }

  ArrowColumns columns_;
  Compression compression_;
  std::shared_ptr<parquet::ArrowWriterProperties> arrow_properties_;
};

// About 16 MiB of values.
int64_t parquet_rows_per_batch(const OutputSchema& schema) {
  constexpr int64_t kBytes = 16 << 20;
  if (schema.has_images()) return image_rows_per_batch(schema, kBytes);
  return std::clamp<int64_t>(kBytes / arrow_row_bytes(schema) / 1024 * 1024, 1 << 14, 1 << 18);
}

std::unique_ptr<Encoder> make_parquet_encoder(const OutputSchema& schema, const EncoderOptions& options) {
  return std::make_unique<ParquetEncoder>(schema, options);
}

}  // namespace

Format parquet_format() {
  return {"parquet",    ".parquet", "Parquet, one row group a batch", parquet_rows_per_batch, make_parquet_encoder,
          kCompressions};
}

}  // namespace doppel
