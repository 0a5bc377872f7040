// The bytes of a data file from its start to its end, decompressed where the file is compressed.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>

namespace arrow::io {
class InputStream;
class ReadableFile;
}  // namespace arrow::io
namespace arrow::util {
class Codec;
}  // namespace arrow::util

namespace doppel {

// What a file holds, by its first bytes.
enum class FileKind { kText, kParquet, kArrowFile, kArrowStream };

// Throws InputError where there is no such file, it is no regular file, cannot be read, or is of a kind known and not
// read (ZIP, XZ, Feather V1, ORC); UsageError for "-".
FileKind find_file_kind(const std::string& path);

class ByteSource {
 public:
  // Compression (gzip, zstd, bzip2, LZ4 frames) is told by the first bytes. Throws InputError.
  explicit ByteSource(const std::string& path);
  ~ByteSource();

  // Fewer than `bytes` only at the end. Throws InputError, as where compressed data is damaged or cut off.
  size_t read(char* to, size_t bytes);
  // Of the file as it lies on disk.
  int64_t bytes_read() const;
  int64_t bytes_total() const { return bytes_total_; }

 private:
  std::string path_;
  int64_t bytes_total_ = 0;
  std::shared_ptr<arrow::io::ReadableFile> file_;
  std::shared_ptr<arrow::util::Codec> codec_;
  std::shared_ptr<arrow::io::InputStream> stream_;  // the file, or its decompressed bytes
};

}  // namespace doppel
