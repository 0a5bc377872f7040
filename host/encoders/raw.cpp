// Packed records without a header: np.memmap(path, dtype=...) with the type that records.h describes.
#include "host/encoders/formats.h"
#include "host/encoders/records.h"

namespace doppel {
namespace {

std::unique_ptr<Encoder> make_raw_encoder(const OutputSchema& schema, const EncoderOptions& options) {
  check_uncompressed("raw", options);
  return std::make_unique<RecordEncoder>(schema);
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
