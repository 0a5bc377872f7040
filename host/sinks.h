// Where an ordered stream of files goes: a folder with a manifest, one file, standard output, or nowhere.
#pragma once

#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <memory>
#include <mutex>
#include <string>
#include <thread>

#include "host/manifest.h"
#include "host/writer.h"

namespace doppel {

// The files of a job: file f holds rows [f * rows_per_file, (f + 1) * rows_per_file), whatever the number of parts.
// Zero rows are one file without rows.
struct OutputFile {
  std::string name;
  int64_t first_row = 0, rows = 0;
  std::string companion = {};  // name of the file beside it that some formats write; "": none
};

struct FileLayout {
  int64_t rows = 0, rows_per_file = 1;
  std::string extension;
  std::string companion_extension = {};  // "": no companions

  int64_t files() const { return rows == 0 ? 1 : (rows - 1) / rows_per_file + 1; }
  OutputFile file(int64_t index) const;  // part-00000.csv; more digits where the last file needs them
  // The index of a file's or companion's name, or -1.
  int64_t index_of(const std::string& name) const;
};

// Driven by one thread: for each file begin, append..., end; then finish.
class OutputSink {
 public:
  virtual ~OutputSink() = default;  // what is not ended leaves nothing under a final name
  virtual void begin(const OutputFile& file) = 0;
  virtual void append(const void* data, size_t bytes) = 0;
  virtual void append_to_companion(const void* data, size_t bytes) = 0;  // of files that have one
  virtual void end() = 0;
  virtual void finish() = 0;  // everything ended before is on disk when it returns
  virtual int64_t finished_files() const { return 0; }
};

// Counts, and drops.
class NullSink : public OutputSink {
 public:
  void begin(const OutputFile&) override {}
  void append(const void*, size_t) override {}
  void append_to_companion(const void*, size_t) override {}
  void end() override {}
  void finish() override {}
};

// Standard output (or another open file): the bytes of one file, which has no companion.
class StreamSink : public OutputSink {
 public:
  StreamSink(int file, std::string name, FileSystem& files = real_file_system())
      : file_(file), name_(std::move(name)), files_(files) {}
  void begin(const OutputFile&) override {}
  void append(const void* data, size_t bytes) override { write_all(files_, file_, data, bytes, name_); }
  void append_to_companion(const void* data, size_t bytes) override;
  void end() override {}
  void finish() override {}

 private:
  int file_;
  std::string name_;
  FileSystem& files_;
};

// One file at `path`, atomically, and its companion, if it has one, which is there first.
class SingleFileSink : public OutputSink {
 public:
  explicit SingleFileSink(std::string path, std::string companion_path = "", FileSystem& files = real_file_system())
      : path_(std::move(path)), companion_path_(std::move(companion_path)), files_(files) {}
  void begin(const OutputFile& file) override;
  void append(const void* data, size_t bytes) override { file_->append(data, bytes); }
  void append_to_companion(const void* data, size_t bytes) override { companion_->append(data, bytes); }
  void end() override;
  void finish() override {}

 private:
  std::string path_, companion_path_;
  FileSystem& files_;
  std::unique_ptr<AtomicFile> file_, companion_;
};

// Files in a folder, each listed in the manifest once it is on disk. A thread of its own waits for the disk (fsync), so
// that the next file is written meanwhile; at most one file waits behind the one being synced.
class FolderSink : public OutputSink {
 public:
  FolderSink(std::string folder, ManifestWriter& manifest, FileSystem& files = real_file_system());
  ~FolderSink() override;  // files ended before are still finished
  void begin(const OutputFile& file) override;
  void append(const void* data, size_t bytes) override { file_->append(data, bytes); }
  void append_to_companion(const void* data, size_t bytes) override { companion_->append(data, bytes); }
  void end() override;
  void finish() override;
  int64_t finished_files() const override;

 private:
  struct Ended {
    OutputFile what;
    std::unique_ptr<AtomicFile> file, companion;
  };
  void finish_files();
  void stop();

  std::string folder_;
  ManifestWriter& manifest_;
  FileSystem& files_;
  OutputFile what_;
  std::unique_ptr<AtomicFile> file_, companion_;

  mutable std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Ended> waiting_;
  bool no_more_ = false;
  int64_t finished_ = 0;
  std::exception_ptr failure_;
  std::thread finisher_;
};

}  // namespace doppel
