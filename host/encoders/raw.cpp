// Packed records without a header: np.memmap(path, dtype=...) with the type that records.h describes.
#include "host/encoders/formats.h"
#include "host/encoders/records.h"

namespace doppel {
namespace {

class RawEncoder : public Encoder {
 public:
  explicit RawEncoder(const OutputSchema& schema) : records_(schema) {}
  void head(int64_t, ByteBuffer&) override {}
  EncodedBatch encode(const Batch& batch, ByteBuffer& out) override {
    const size_t before = out.size();
    records_.write(batch, out);
    return {batch.rows, static_cast<int64_t>(out.size() - before), nullptr};
  }
  void tail(std::span<const EncodedBatch>, ByteBuffer&) override {}

 private:
  RecordLayout records_;
};

std::unique_ptr<Encoder> make_raw_encoder(const OutputSchema& schema, const EncoderOptions& options) {
  check_uncompressed("raw", options);
  return std::make_unique<RawEncoder>(schema);
}

}  // namespace

Format raw_format() {
  return {"raw",
          ".raw",
          "packed little-endian records, as in npy but without a header",
          record_rows_per_batch,
          make_raw_encoder,
          {"none"}};
}

}  // namespace doppel
