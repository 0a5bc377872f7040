// Files that are whole or absent: a file is written under a temporary name, synced to disk, renamed, and its folder
// synced.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

struct XXH3_state_s;

namespace doppel {

// The system calls that writing is made of, with their conventions (-1 and errno): a seam at which tests inject faults.
class FileSystem {
 public:
  virtual ~FileSystem() = default;
  virtual int create(const std::string& path);          // for writing, emptied if it exists
  virtual int open_to_append(const std::string& path);  // an existing file
  virtual ssize_t write(int file, const void* data, size_t bytes);
  virtual int sync(int file);
  virtual int close(int file);
  virtual int rename(const std::string& from, const std::string& to);
  virtual int sync_folder(const std::string& path);
  virtual int remove(const std::string& path);
};
FileSystem& real_file_system();

// XXH3-128 of a stream of bytes, as 32 hexadecimal digits: what `xxh128sum` prints.
class Checksum {
 public:
  Checksum();
  ~Checksum();
  void update(const void* data, size_t bytes);
  std::string hex() const;

 private:
  XXH3_state_s* state_;
};

// Throws Error: "cannot ACTION 'path': REASON: REMEDY" from errno.
[[noreturn]] void throw_file_error(const std::string& action, const std::string& path, int error_number);

// ".NAME.tmp" beside the file: hidden from globs and from readers of folders of data files.
std::string temporary_path(const std::string& path);
std::string parent_folder(const std::string& path);

// Writes everything, through short writes; a signal that arrives while blocked ends it with status kInterrupted.
void write_all(FileSystem& files, int file, const void* data, size_t bytes, const std::string& path);

class AtomicFile {
 public:
  explicit AtomicFile(std::string path, FileSystem& files = real_file_system());
  ~AtomicFile();  // removes the temporary file unless committed
  AtomicFile(const AtomicFile&) = delete;
  AtomicFile& operator=(const AtomicFile&) = delete;

  void append(const void* data, size_t bytes);
  void commit();  // afterwards the file is complete under its own name, on disk

  const std::string& path() const { return path_; }
  int64_t bytes() const { return bytes_; }
  std::string checksum() const { return checksum_.hex(); }

 private:
  void start_writeback();

  std::string path_, temporary_;
  FileSystem& files_;
  int file_ = -1;
  int64_t bytes_ = 0, handed_to_disk_ = 0;
  Checksum checksum_;
};

void write_file_atomically(const std::string& path, std::span<const std::byte> bytes);
std::vector<std::byte> read_file(const std::string& path);  // throws InputError

}  // namespace doppel
