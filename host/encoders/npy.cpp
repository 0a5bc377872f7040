// One structured NumPy array: numpy.load(path) or numpy.load(path, mmap_mode="r"). records.h says what the fields hold.
#include "host/encoders/formats.h"
#include "host/encoders/records.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr size_t kAlignment = 64;  // where NumPy wants the data to begin

class NpyEncoder : public RecordEncoder {
 public:
  using RecordEncoder::RecordEncoder;

  void head(int64_t file_rows, ByteBuffer& out) override {
    std::string text = "{'descr': " + records_.description() + ", 'fortran_order': False, 'shape': (" +
                       std::to_string(file_rows) + ",), }";
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
};

std::unique_ptr<Encoder> make_npy_encoder(const OutputSchema& schema, const EncoderOptions& options) {
  check_uncompressed("npy", options);
  return std::make_unique<NpyEncoder>(schema);
}

}  // namespace

Format npy_format() {
  return {"npy", ".npy", "one structured NumPy array", record_rows_per_batch, make_npy_encoder, {"none"}};
}

}  // namespace doppel
