// One structured NumPy array: numpy.load(path) or numpy.load(path, mmap_mode="r"). records.h says what the fields hold.
// Of images, their levels, u1 [rows, height, width] or [rows, height, width, 3], and in the companion their labels.
#include "host/encoders/formats.h"
#include "host/encoders/records.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr size_t kAlignment = 64;  // where NumPy wants the data to begin

void write_head(const std::string& description, const std::string& shape, ByteBuffer& out) {
  std::string text = "{'descr': " + description + ", 'fortran_order': False, 'shape': " + shape + ", }";
  const bool is_long = text.size() + kAlignment + 10 > 0xffff;  // version 2.0 has four bytes for the length, 1.0 two
  const size_t prefix = is_long ? 12 : 10;
  text.append(kAlignment - (prefix + text.size() + 1) % kAlignment, ' ');
  text += '\n';
  const char magic[8] = {'\x93', 'N', 'U', 'M', 'P', 'Y', is_long ? '\2' : '\1', '\0'};
  out.append(magic, sizeof magic);
  const auto length = static_cast<uint32_t>(text.size());  // little-endian, as records are
  out.append(&length, is_long ? 4 : 2);
  out.append(text.data(), text.size());
}

std::string shape_of_rows(int64_t rows) {
  return std::string("(").append(std::to_string(rows)).append(",)");
}

class NpyEncoder : public RecordEncoder {
 public:
  using RecordEncoder::RecordEncoder;
  void head(int64_t file_rows, ByteBuffer& out) override {
    write_head(records_.description(), shape_of_rows(file_rows), out);
  }
};

OutputSchema without_images(OutputSchema schema) {
  schema.image = {};
  return schema;
}

class NpyImageEncoder : public Encoder {
 public:
  explicit NpyImageEncoder(const OutputSchema& schema)
      : image_(schema.image), has_labels_(!schema.columns.empty()), labels_(without_images(schema)) {}

  void head(int64_t file_rows, ByteBuffer& out) override {
    write_head("'|u1'", numpy_shape(std::to_string(file_rows) + ", ", image_), out);
  }
  void companion_head(int64_t file_rows, ByteBuffer& out) override {
    if (has_labels_) write_head(labels_.description_of_values(), shape_of_rows(file_rows), out);
  }
  EncodedBatch encode(const Batch& batch, ByteBuffer& out) override {
    const size_t before = out.size();
    out.append(batch.images(), static_cast<size_t>(batch.rows * image_.size()));
    const size_t of_images = out.size();
    if (has_labels_) labels_.write(batch, out);
    return {batch.rows, static_cast<int64_t>(out.size() - before), nullptr,
            static_cast<int64_t>(out.size() - of_images)};
  }
  void tail(std::span<const EncodedBatch>, ByteBuffer&) override {}

 private:
  ImageShape image_;
  bool has_labels_;
  RecordLayout labels_;
};

std::unique_ptr<Encoder> make_npy_encoder(const OutputSchema& schema, const EncoderOptions& options) {
  check_uncompressed("npy", options);
  if (schema.has_images()) return std::make_unique<NpyImageEncoder>(schema);
  return std::make_unique<NpyEncoder>(schema);
}

std::string npy_labels_extension(const OutputSchema& schema) {
  return schema.has_images() && !schema.columns.empty() ? "_labels.npy" : "";
}

}  // namespace

Format npy_format() {
  return {"npy",
          ".npy",
          "one structured NumPy array; of images one of bytes and one of labels, NAME_labels.npy",
          record_rows_per_batch,
          make_npy_encoder,
          {"none"},
          npy_labels_extension};
}

}  // namespace doppel
