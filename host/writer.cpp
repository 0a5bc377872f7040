#include "host/writer.h"

#include <fcntl.h>
#include <unistd.h>
#include <xxhash.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <new>

#include "host/interrupt.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

// Pages are handed to the disk as a file grows, so that the fsync at its end has little left to wait for.
constexpr int64_t kWritebackBytes = 16 << 20;

const char* remedy(int error_number) {
  switch (error_number) {
    case ENOSPC:
    case EDQUOT:
      return "free some space or choose another folder";
    case EFBIG:
      return "raise the limit on file sizes (ulimit -f) or give a smaller --rows-per-file";
    case EACCES:
    case EPERM:
      return "choose a folder you may write to";
    case EROFS:
      return "the file system is read-only; choose another folder";
    case ENOENT:
      return "the folder is not there (was it removed?); make it or choose another";
    case ENOTDIR:
      return "a part of the path is a file; choose another folder";
    case EISDIR:
      return "it is a folder; remove it or choose another name";
    case EPIPE:
      return "the program that reads the output has ended; check it";
    case EMFILE:
    case ENFILE:
      return "raise the limit on open files (ulimit -n)";
    case EIO:
      return "the disk reports a fault; check it (dmesg) or choose another";
    default:
      return "check the path and the disk";
  }
}

}  // namespace

int FileSystem::create(const std::string& path) {
  return ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
}
int FileSystem::open_to_append(const std::string& path) {
  return ::open(path.c_str(), O_WRONLY | O_APPEND | O_CLOEXEC);
}
ssize_t FileSystem::write(int file, const void* data, size_t bytes) {
  return ::write(file, data, bytes);
}
int FileSystem::sync(int file) {
  return ::fsync(file);
}
int FileSystem::close(int file) {
  return ::close(file);
}
int FileSystem::rename(const std::string& from, const std::string& to) {
  return ::rename(from.c_str(), to.c_str());
}
int FileSystem::remove(const std::string& path) {
  return ::unlink(path.c_str());
}
int FileSystem::sync_folder(const std::string& path) {
  const int folder = ::open(path.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (folder < 0) return -1;
  const int result = ::fsync(folder);
  const int error_number = errno;
  ::close(folder);
  errno = error_number;
  return result;
}

FileSystem& real_file_system() {
  static FileSystem files;
  return files;
}

Checksum::Checksum() : state_(XXH3_createState()) {
  if (state_ == nullptr) throw std::bad_alloc();
  XXH3_128bits_reset(state_);
}
Checksum::~Checksum() {
  XXH3_freeState(state_);
}
void Checksum::update(const void* data, size_t bytes) {
  XXH3_128bits_update(state_, data, bytes);
}
std::string Checksum::hex() const {
  const XXH128_hash_t hash = XXH3_128bits_digest(state_);
  char text[33];
  std::snprintf(text, sizeof(text), "%016llx%016llx", static_cast<unsigned long long>(hash.high64),
                static_cast<unsigned long long>(hash.low64));
  return text;
}

void throw_file_error(const std::string& action, const std::string& path, int error_number) {
  throw Error("cannot " + action + " '" + path + "': " + std::strerror(error_number) + ": " + remedy(error_number));
}

std::string parent_folder(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

std::string temporary_path(const std::string& path) {
  const std::filesystem::path file(path);
  return (file.parent_path() / std::string(".").append(file.filename().string()).append(".tmp")).string();
}

void write_all(FileSystem& files, int file, const void* data, size_t bytes, const std::string& path) {
  const char* next = static_cast<const char*>(data);
  while (bytes > 0) {
    const ssize_t written = files.write(file, next, bytes);
    if (written < 0 && errno == EINTR) {
      if (interrupted()) throw Error("interrupted while writing '" + path + "'", ExitStatus::kInterrupted);
      continue;
    }
    if (written < 0) throw_file_error("write", path, errno);
    next += written;
    bytes -= static_cast<size_t>(written);
  }
}

AtomicFile::AtomicFile(std::string path, FileSystem& files)
    : path_(std::move(path)), temporary_(temporary_path(path_)), files_(files) {
  if (std::filesystem::exists(path_) && !std::filesystem::is_regular_file(path_)) {  // renaming would replace a device
    throw Error("cannot write '" + path_ + "': it is not a regular file: choose another name");
  }
  file_ = files_.create(temporary_);
  if (file_ < 0) throw_file_error("create", temporary_, errno);
}

AtomicFile::~AtomicFile() {
  if (file_ >= 0) files_.close(file_);
  if (!temporary_.empty()) files_.remove(temporary_);
}

void AtomicFile::append(const void* data, size_t bytes) {
  write_all(files_, file_, data, bytes, temporary_);
  checksum_.update(data, bytes);
  bytes_ += static_cast<int64_t>(bytes);
  if (bytes_ - handed_to_disk_ >= kWritebackBytes) start_writeback();
}

void AtomicFile::start_writeback() {
#ifdef SYNC_FILE_RANGE_WRITE
  ::sync_file_range(file_, handed_to_disk_, bytes_ - handed_to_disk_, SYNC_FILE_RANGE_WRITE);  // advice: may fail
#endif
  handed_to_disk_ = bytes_;
}

void AtomicFile::commit() {
  if (files_.sync(file_) != 0) throw_file_error("sync", temporary_, errno);
  const int closed = files_.close(file_);
  file_ = -1;
  if (closed != 0) throw_file_error("close", temporary_, errno);
  if (files_.rename(temporary_, path_) != 0) throw_file_error("rename '" + temporary_ + "' to", path_, errno);
  temporary_.clear();
  const std::string folder = parent_folder(path_);
  if (files_.sync_folder(folder) != 0) throw_file_error("sync folder", folder, errno);
}

void write_file_atomically(const std::string& path, std::span<const std::byte> bytes) {
  AtomicFile file(path);
  file.append(bytes.data(), bytes.size());
  file.commit();
}

std::vector<std::byte> read_file(const std::string& path) {
  const auto fail = [&](int error_number) -> void {
    throw InputError(path + ": " + (error_number == ENOENT ? "no such file" : std::strerror(error_number)));
  };
  const int file = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) fail(errno);
  std::vector<std::byte> bytes;
  size_t size = 0;
  for (ssize_t got = 1; got > 0; size += static_cast<size_t>(got)) {
    if (bytes.size() - size < (1 << 16)) bytes.resize(bytes.size() * 2 + (1 << 20));
    got = ::read(file, bytes.data() + size, bytes.size() - size);
    if (got < 0) {
      const int error_number = errno;
      ::close(file);
      fail(error_number);
    }
  }
  ::close(file);
  bytes.resize(size);
  return bytes;
}

}  // namespace doppel
