// IDX, the format of MNIST: grey images in one file, [rows, height, width], and in the companion their labels, [rows].
// A label is the byte that its name says; where the names are not all numbers up to 255, its number among the model's,
// from 0.
#include <limits>
#include <optional>

#include "host/encoders/binary_column.h"
#include "host/encoders/formats.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr size_t kMostLabels = 256;

// Type 8 (unsigned bytes), and each dimension big-endian in 4 bytes.
void write_head(std::initializer_list<int64_t> dimensions, ByteBuffer& out) {
  const uint8_t magic[4] = {0, 0, 8, static_cast<uint8_t>(dimensions.size())};
  out.append(magic, sizeof magic);
  for (const int64_t dimension : dimensions) {
    if (dimension > std::numeric_limits<uint32_t>::max())
      throw UsageError("format idx holds at most 2^32 - 1 images a file: give --rows-per-file, or write a folder");
    for (int shift = 24; shift >= 0; shift -= 8) {
      const auto byte = static_cast<uint8_t>(dimension >> shift);
      out.append(&byte, 1);
    }
  }
}

class IdxEncoder : public Encoder {
 public:
  explicit IdxEncoder(const OutputSchema& schema) : image_(schema.image) {
    if (image_.channels != 1)
      throw UsageError(
          "format idx holds grey images, and the model's are colour: give --format npy, png, parquet or raw");
    if (schema.columns.empty()) return;
    label_.emplace(schema.columns.front());
    if (schema.columns.front().schema.levels.size() > kMostLabels)
      throw UsageError("format idx holds at most 256 labels, and the model has more: give --format npy or parquet");
  }

  void head(int64_t file_rows, ByteBuffer& out) override { write_head({file_rows, image_.height, image_.width}, out); }
  void companion_head(int64_t file_rows, ByteBuffer& out) override {
    if (label_) write_head({file_rows}, out);
  }

  EncodedBatch encode(const Batch& batch, ByteBuffer& out) override {
    const size_t before = out.size();
    out.append(batch.images(), static_cast<size_t>(batch.rows * image_.size()));
    const size_t of_images = out.size();
    if (label_) write_labels(batch, out);
    return {batch.rows, static_cast<int64_t>(out.size() - before), nullptr,
            static_cast<int64_t>(out.size() - of_images)};
  }
  void tail(std::span<const EncodedBatch>, ByteBuffer&) override {}

 private:
  void write_labels(const Batch& batch, ByteBuffer& out) {
    const auto rows = static_cast<size_t>(batch.rows);
    std::byte* to = out.reserve(rows);
    if (label_->type() == BinaryType::kUint8) {
      label_->write(batch, 0, 0, batch.rows, BinaryType::kUint8, to, 1, scratch_);
    } else {
      const auto* codes = static_cast<const int32_t*>(batch.buffer(0).values);
      for (size_t row = 0; row < rows; ++row) to[row] = static_cast<std::byte>(codes[row]);
    }
    out.commit(rows);
  }

  ImageShape image_;
  std::optional<BinaryColumn> label_;
  std::string scratch_;
};

std::unique_ptr<Encoder> make_idx_encoder(const OutputSchema& schema, const EncoderOptions& options) {
  check_uncompressed("idx", options);
  check_images("idx", schema);
  return std::make_unique<IdxEncoder>(schema);
}

int64_t idx_rows_per_batch(const OutputSchema& schema) {
  return image_rows_per_batch(schema, 1 << 20);
}

std::string idx_labels_extension(const OutputSchema& schema) {
  return schema.has_images() && !schema.columns.empty() ? "-labels-idx1-ubyte" : "";
}

}  // namespace

Format idx_format() {
  return {"idx",
          "-images-idx3-ubyte",
          "images as MNIST has them, with NAME-labels-idx1-ubyte beside them",
          idx_rows_per_batch,
          make_idx_encoder,
          {"none"},
          idx_labels_extension,
          true};
}

}  // namespace doppel
