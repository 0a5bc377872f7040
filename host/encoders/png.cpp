// A PNG file an image, LABEL/000000000012.png by its row, or 000000000012.png without labels, in a tar archive a file
// of the output: so a file is whole or absent, has one checksum, and a disk writes one long file in the place of many
// small ones. `tar xf` makes the folder of class folders that doppel fit and other programs read.
//
// Tar (tar.h): without anything of this machine or time.
#include "host/png.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>

#include "host/encoders/formats.h"
#include "host/tar.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr size_t kLongestName = 100, kRowDigits = 12, kMostRowDigits = 20;
// zlib's level. 28 x 28 MNIST: 1 makes 7 % more bytes than 6 in half of the time.
constexpr int kLevel = 1;

// "cat/": a label as the name of a folder. A slash would make a folder in a folder, and "." and ".." are taken.
std::string folder_of(const std::string& label) {
  std::string name = label.empty() || label.front() == '.' ? "_" + label : label;
  for (char& c : name)
    if (c == '/' || c == '\0') c = '_';
  name += '/';
  if (name.size() + kMostRowDigits + 4 > kLongestName)
    throw UsageError("format png: the label '" + label + "' is too long for the name of a folder: give another format");
  return name;
}

TarHead tar_head(const std::string& name, size_t bytes) {
  TarHead head;
  std::memset(&head, 0, sizeof head);
  std::memcpy(head.name, name.data(), name.size());
  std::memcpy(head.mode, "0000644", 8);
  std::memcpy(head.owner, "0000000", 8);
  std::memcpy(head.group, "0000000", 8);
  std::snprintf(head.size, sizeof head.size, "%011zo", bytes);
  std::memcpy(head.time, "00000000000", 12);
  head.type = '0';
  std::memcpy(head.magic, "ustar", 6);
  std::memcpy(head.version, "00", 2);
  std::snprintf(head.checksum, sizeof head.checksum, "%06o", tar_checksum(head));
  head.checksum[7] = ' ';
  return head;
}

class PngEncoder : public Encoder {
 public:
  explicit PngEncoder(const OutputSchema& schema) : image_(schema.image) {
    if (schema.columns.empty()) return;
    for (const std::string& label : schema.columns.front().schema.levels) {
      folders_.push_back(folder_of(label));
      if (std::find(folders_.begin(), folders_.end() - 1, folders_.back()) != folders_.end() - 1)
        throw UsageError("format png: two labels would share the folder '" + folders_.back() +
                         "': give another format");
    }
  }

  void head(int64_t, ByteBuffer&) override {}

  EncodedBatch encode(const Batch& batch, ByteBuffer& out) override {
    const size_t before = out.size();
    const auto* labels = folders_.empty() ? nullptr : static_cast<const int32_t*>(batch.buffer(0).values);
    for (int64_t row = 0; row < batch.rows; ++row) {
      char number[32];
      std::snprintf(number, sizeof number, "%0*llu.png", static_cast<int>(kRowDigits),
                    static_cast<unsigned long long>(batch.first_row) + static_cast<unsigned long long>(row));
      file_.clear();
      encode_png(image_, batch.images() + row * image_.size(), kLevel, file_);
      append_file((labels == nullptr ? "" : folders_[static_cast<size_t>(labels[row])]) + number, out);
    }
    return {batch.rows, static_cast<int64_t>(out.size() - before), nullptr};
  }

  void tail(std::span<const EncodedBatch>, ByteBuffer& out) override {
    out.append(kZeros.data(), kTarBlock);
    out.append(kZeros.data(), kTarBlock);
  }

 private:
  void append_file(const std::string& name, ByteBuffer& out) {
    const TarHead head = tar_head(name, file_.size());
    out.append(&head, sizeof head);
    out.append(file_.data(), file_.size());
    out.append(kZeros.data(), (kTarBlock - file_.size() % kTarBlock) % kTarBlock);
  }

  static constexpr std::array<char, kTarBlock> kZeros{};
  ImageShape image_;
  std::vector<std::string> folders_;  // of the labels
  ByteBuffer file_;
};

std::unique_ptr<Encoder> make_png_encoder(const OutputSchema& schema, const EncoderOptions& options) {
  check_uncompressed("png", options);
  check_images("png", schema);
  return std::make_unique<PngEncoder>(schema);
}

int64_t png_rows_per_batch(const OutputSchema& schema) {
  return image_rows_per_batch(schema, 1 << 20);
}

}  // namespace

Format png_format() {
  return {"png",
          ".tar",
          "a PNG file an image in class folders, in a tar archive",
          png_rows_per_batch,
          make_png_encoder,
          {"none"},
          nullptr,
          true};
}

}  // namespace doppel
