// PNG files of a tar archive, as doppel generate writes them: the folder that a file is in is its label.
#include <algorithm>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <span>

#include "host/readers/image_formats.h"
#include "host/tar.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;

constexpr int64_t kLargestFile = 16 << 20;  // a PNG of 128 x 128 has some 64 KiB at most

std::string text_of(const char* field, size_t size) {
  return {field, strnlen(field, size)};
}

int64_t octal(const char* field, size_t size) {
  const std::string text = text_of(field, size);
  const char* const begin = text.data() + std::min(text.find_first_not_of(' '), text.size());
  int64_t number = -1;
  std::from_chars(begin, text.data() + text.size(), number, 8);
  return number;
}

class TarReader {
 public:
  explicit TarReader(const std::string& path) : path_(path), from_(path) {}

  // The next file; nothing at the archive's end.
  struct File {
    std::string name;
    std::vector<std::byte> bytes;
  };
  std::optional<File> next() {
    TarHead head;
    while (true) {
      const size_t got = from_.read(reinterpret_cast<char*>(&head), sizeof head);
      if (got == 0) return std::nullopt;
      if (got < sizeof head) fail("ends within a head");
      if (head.name[0] == '\0') return std::nullopt;  // a block of zeros
      const int64_t size = octal(head.size, sizeof head.size);
      if (octal(head.checksum, sizeof head.checksum) != static_cast<int64_t>(tar_checksum(head)) || size < 0)
        fail("the head at byte " + std::to_string(at_) + " is damaged");
      if (size > kLargestFile) fail("holds a file of " + std::to_string(size) + " bytes at " + std::to_string(at_));
      const auto padded = static_cast<size_t>((size + kTarBlock - 1) / kTarBlock * kTarBlock);
      std::vector<std::byte> bytes(padded);
      if (from_.read(reinterpret_cast<char*>(bytes.data()), padded) < padded)
        fail("ends within the file at byte " + std::to_string(at_));
      at_ += static_cast<int64_t>(sizeof head + padded);
      if (head.type != '0' && head.type != '\0') continue;  // folders and the like
      bytes.resize(static_cast<size_t>(size));
      const std::string prefix = text_of(head.prefix, sizeof head.prefix);
      return File{(prefix.empty() ? "" : prefix + "/") + text_of(head.name, sizeof head.name), std::move(bytes)};
    }
  }

 private:
  [[noreturn]] void fail(const std::string& what) const { throw InputError(path_ + ": " + what + ": copy it again"); }

  const std::string& path_;
  ByteSource from_;
  int64_t at_ = 0;
};

}  // namespace

FileLabels read_png_tar(const std::string& path, ImageCollector& to) {
  TarReader archive(path);
  FileLabels labels;
  int64_t images = 0;
  while (const std::optional<TarReader::File> file = archive.next()) {
    const fs::path name = file->name;
    if (name.extension() != ".png") continue;
    to.append_png(path + ": " + file->name, file->bytes);
    const std::string label = name.parent_path().filename().string();
    if (!label.empty() && label != ".") labels.texts.push_back(label);
    if (++images != labels.count() && labels.count() != 0)
      throw InputError(path + ": " + file->name +
                       " is in a folder and others are not: give every image a class, or none");
  }
  return labels;
}

}  // namespace doppel
