// Arrow IPC: the file format (Feather V2) and the stream format. A batch is one record batch message; dictionaries are
// in the head. The footer lists every message's place, so the tail has Arrow write a whole file of the same message
// sizes into a stream that keeps only what follows the last batch.
#include <arrow/ipc/api.h>
#include <arrow/util/compression.h>

#include "host/encoders/arrow_columns.h"
#include "host/encoders/formats.h"

namespace doppel {
namespace {

const std::vector<std::string> kCompressions = {"none", "lz4", "zstd"};
constexpr int32_t kAlignment = 64;  // of buffers, as Arrow recommends

// Sizes of a record batch message.
struct MessageSize {
  int64_t metadata_bytes;  // before prefix and padding
  int64_t body_bytes;
};

arrow::ipc::IpcWriteOptions write_options(const std::string& format, const EncoderOptions& options) {
  arrow::ipc::IpcWriteOptions write = arrow::ipc::IpcWriteOptions::Defaults();
  write.alignment = kAlignment;
  write.use_threads = false;
  const Compression compression = parse_compression(format, options.compression, "none", kCompressions);
  if (compression.name == "none") return write;
  const auto type = compression.name == "lz4" ? arrow::Compression::LZ4_FRAME : arrow::Compression::ZSTD;
  const int level = compression.has_level ? compression.level : arrow::util::Codec::UseDefaultCompressionLevel();
  write.codec = check(arrow::util::Codec::Create(type, level));
  return write;
}

class ArrowEncoder : public Encoder {
 public:
  ArrowEncoder(const OutputSchema& schema, const EncoderOptions& options, bool is_stream)
      : columns_(schema, options.provenance),
        options_(write_options(is_stream ? "arrows" : "arrow", options)),
        is_stream_(is_stream) {}

  void head(int64_t, ByteBuffer& out) override {
    ByteBufferStream stream(out);
    start(stream);
  }

  EncodedBatch encode(const Batch& batch, ByteBuffer& out) override {
    arrow::ipc::IpcPayload payload;
    check(arrow::ipc::GetRecordBatchPayload(*columns_.record_batch(batch), options_, &payload));
    const size_t before = out.size();
    out.reserve(static_cast<size_t>(payload.body_length + payload.metadata->size() + 2 * kAlignment));
    ByteBufferStream stream(out);
    int32_t metadata_length = 0;
    check(arrow::ipc::WriteIpcPayload(payload, options_, &stream, &metadata_length));
    const MessageSize size{payload.metadata->size(), payload.body_length};
    return {batch.rows, static_cast<int64_t>(out.size() - before), std::make_shared<const MessageSize>(size)};
  }

  void tail(std::span<const EncodedBatch> batches, ByteBuffer& out) override {
    ByteBufferStream stream(out);
    stream.drop_all();
    const auto writer = start(stream);
    for (const EncodedBatch& batch : batches) {
      const auto& size = *static_cast<const MessageSize*>(batch.note.get());
      // Only the sizes count: the stream keeps nothing and reads nothing.
      arrow::ipc::IpcPayload payload;
      payload.type = arrow::ipc::MessageType::RECORD_BATCH;
      payload.metadata = std::make_shared<arrow::Buffer>(&unread_, size.metadata_bytes);
      payload.body_buffers = {std::make_shared<arrow::Buffer>(&unread_, size.body_bytes)};
      payload.body_length = size.body_bytes;
      check(writer->WritePayload(payload));
    }
    stream.keep_all();
    check(writer->Close());
  }

 private:
  // Writes all that comes before the first batch.
  std::unique_ptr<arrow::ipc::internal::IpcPayloadWriter> start(ByteBufferStream& stream) {
    const std::shared_ptr<arrow::Schema>& schema = columns_.schema();
    auto writer = check(is_stream_ ? arrow::ipc::internal::MakePayloadStreamWriter(&stream, options_)
                                   : arrow::ipc::internal::MakePayloadFileWriter(&stream, schema, options_));
    check(writer->Start());
    const arrow::ipc::DictionaryFieldMapper mapper(*schema);
    arrow::ipc::IpcPayload payload;
    check(arrow::ipc::GetSchemaPayload(*schema, options_, mapper, &payload));
    check(writer->WritePayload(payload));
    for (size_t index = 0; index < columns_.size(); ++index) {
      if (!columns_.dictionary(index)) continue;
      const int64_t id = check(mapper.GetFieldId({static_cast<int>(index)}));
      arrow::ipc::IpcPayload dictionary;
      check(arrow::ipc::GetDictionaryPayload(id, columns_.dictionary(index), options_, &dictionary));
      check(writer->WritePayload(dictionary));
    }
    return writer;
  }

  ArrowColumns columns_;
  arrow::ipc::IpcWriteOptions options_;
  bool is_stream_;
  uint8_t unread_ = 0;
};

// About 4 MiB: large enough for readers that work batch by batch, small enough for a core's share of the caches.
int64_t arrow_rows_per_batch(const OutputSchema& schema) {
  constexpr int64_t kBytes = 4 << 20;
  if (schema.has_images()) return image_rows_per_batch(schema, kBytes);
  return std::clamp<int64_t>(kBytes / arrow_row_bytes(schema) / 1024 * 1024, 1024, 1 << 18);
}

template <bool kIsStream>
std::unique_ptr<Encoder> make_arrow_encoder(const OutputSchema& schema, const EncoderOptions& options) {
  return std::make_unique<ArrowEncoder>(schema, options, kIsStream);
}

}  // namespace

Format arrow_format() {
  return {"arrow",      ".arrow", "Arrow IPC file (Feather V2)", arrow_rows_per_batch, make_arrow_encoder<false>,
          kCompressions};
}

Format arrows_format() {
  return {"arrows", ".arrows", "Arrow IPC stream", arrow_rows_per_batch, make_arrow_encoder<true>, kCompressions};
}

}  // namespace doppel
