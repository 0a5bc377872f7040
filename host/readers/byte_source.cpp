#include "host/readers/byte_source.h"

#include <arrow/io/compressed.h>
#include <arrow/io/file.h>
#include <arrow/util/compression.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <string_view>

#include "host/readers/arrow_status.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using namespace std::string_view_literals;

struct Compression {
  std::string_view magic;
  arrow::Compression::type type;
  const char* name;
};
constexpr std::array kCompressions = {
    Compression{"\x1f\x8b"sv, arrow::Compression::GZIP, "gzip"},
    Compression{"\x28\xb5\x2f\xfd"sv, arrow::Compression::ZSTD, "zstd"},
    Compression{"BZh"sv, arrow::Compression::BZ2, "bzip2"},
    Compression{"\x04\x22\x4d\x18"sv, arrow::Compression::LZ4_FRAME, "LZ4"},
};

struct Refused {
  std::string_view magic;
  const char* what;
};
constexpr std::array kRefused = {
    Refused{"PK\x03\x04"sv, "a ZIP archive or spreadsheet: unpack it, or save the sheet as CSV"},
    Refused{"\xfd\x37zXZ"sv, "compressed by xz: unpack it with xz -d, or compress it by gzip or zstd"},
    Refused{"FEA1"sv, "Feather version 1: write it again as Feather version 2 (Arrow IPC) or Parquet"},
    Refused{"ORC"sv, "ORC: write it as Parquet"},
    Refused{"\x89HDF"sv, "HDF5: write the table as Parquet or CSV"},
    Refused{"\xd0\xcf\x11\xe0"sv, "an Excel file: save the sheet as CSV"},
    Refused{"PARE"sv, "an encrypted Parquet file: decrypt it first"},
    Refused{"\xff\xfe"sv, "UTF-16: convert it with iconv -f utf16 -t utf8"},
    Refused{"\xfe\xff"sv, "UTF-16: convert it with iconv -f utf16 -t utf8"},
};

[[noreturn]] void throw_unreadable(const std::string& path, int error) {
  if (error == ENOENT || error == ENOTDIR) throw InputError(path + ": no such file: check the path");
  if (error == EACCES) throw InputError(path + ": permission denied: make the file readable");
  throw InputError(path + ": cannot be read: " + std::strerror(error));
}

std::string first_bytes(const std::string& path) {
  if (path == "-") {
    throw UsageError("a table cannot be read from standard input, as it is read more than once: name a file");
  }
  struct stat status;
  if (::stat(path.c_str(), &status) != 0) throw_unreadable(path, errno);
  if (S_ISDIR(status.st_mode)) throw InputError(path + ": is a folder: name a file of it");
  if (!S_ISREG(status.st_mode)) {
    throw InputError(path + ": is no regular file, and a table is read more than once: write it to a file first");
  }
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw_unreadable(path, errno);
  char bytes[8];
  const ssize_t length = ::pread(file, bytes, sizeof bytes, 0);
  const int error = errno;
  ::close(file);
  if (length < 0) throw_unreadable(path, error);
  return {bytes, static_cast<size_t>(length)};
}

const Compression* find_compression(const std::string& path) {
  const std::string first = first_bytes(path);
  for (const Compression& compression : kCompressions) {
    if (first.starts_with(compression.magic)) return &compression;
  }
  return nullptr;
}

}  // namespace

FileKind find_file_kind(const std::string& path) {
  const std::string first = first_bytes(path);
  if (first.starts_with("ARROW1")) return FileKind::kArrowFile;
  if (first.starts_with("\xff\xff\xff\xff")) return FileKind::kArrowStream;
  if (first.starts_with("PAR1")) return FileKind::kParquet;
  for (const Refused& refused : kRefused) {
    if (first.starts_with(refused.magic)) throw InputError(path + ": is " + refused.what);
  }
  return FileKind::kText;
}

ByteSource::ByteSource(const std::string& path) : path_(path) {
  const Compression* compression = find_compression(path);
  file_ = require(path, arrow::io::ReadableFile::Open(path));
  bytes_total_ = require(path, file_->GetSize());
  stream_ = file_;
  if (compression == nullptr) return;
  codec_ = require(path, arrow::util::Codec::Create(compression->type));
  stream_ = require(path, arrow::io::CompressedInputStream::Make(codec_.get(), file_));
}

ByteSource::~ByteSource() = default;

size_t ByteSource::read(char* to, size_t bytes) {
  size_t done = 0;
  while (done < bytes) {
    const int64_t length = require(path_, stream_->Read(static_cast<int64_t>(bytes - done), to + done));
    if (length == 0) break;
    done += static_cast<size_t>(length);
  }
  return done;
}

int64_t ByteSource::bytes_read() const {
  return file_->Tell().ValueOr(0);
}

}  // namespace doppel
