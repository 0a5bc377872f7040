#include "host/sinks.h"

#include <algorithm>
#include <cstdio>
#include <filesystem>

#include "host/interrupt.h"
#include "kernels/common/error.h"

namespace doppel {

OutputFile FileLayout::file(int64_t index) const {
  const int digits = std::max<int>(5, static_cast<int>(std::to_string(files() - 1).size()));
  char name[64];
  std::snprintf(name, sizeof(name), "part-%0*lld", digits, static_cast<long long>(index));
  const int64_t first_row = index * rows_per_file;
  return {name + extension, first_row, std::min(rows_per_file, rows - first_row),
          companion_extension.empty() ? "" : name + companion_extension};
}

int64_t FileLayout::index_of(const std::string& name) const {
  if (!name.starts_with("part-")) return -1;
  const size_t digits = std::min(name.find_first_not_of("0123456789", 5), name.size()) - 5;
  if (digits < 1 || digits > 18) return -1;
  const int64_t index = std::stoll(name.substr(5, digits));
  if (index >= files()) return -1;
  const OutputFile named = file(index);
  return named.name == name || named.companion == name ? index : -1;
}

void StreamSink::append_to_companion(const void*, size_t) {
  throw Error("a stream has no room for a second file: write to a folder");
}

void SingleFileSink::begin(const OutputFile& file) {
  file_ = std::make_unique<AtomicFile>(path_, files_);
  if (!file.companion.empty()) companion_ = std::make_unique<AtomicFile>(companion_path_, files_);
}

void SingleFileSink::end() {
  if (companion_) companion_->commit();
  file_->commit();
  file_.reset(), companion_.reset();
}

FolderSink::FolderSink(std::string folder, ManifestWriter& manifest, FileSystem& files)
    : folder_(std::move(folder)), manifest_(manifest), files_(files) {
  const BlockSignals block;
  finisher_ = std::thread([this] { finish_files(); });
}

FolderSink::~FolderSink() {
  stop();
}

void FolderSink::begin(const OutputFile& file) {
  what_ = file;
  const std::filesystem::path folder(folder_);
  file_ = std::make_unique<AtomicFile>((folder / file.name).string(), files_);
  if (!file.companion.empty()) companion_ = std::make_unique<AtomicFile>((folder / file.companion).string(), files_);
}

void FolderSink::end() {
  {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return waiting_.size() < 2 || failure_; });
    if (failure_) std::rethrow_exception(failure_);
    waiting_.push_back({what_, std::move(file_), std::move(companion_)});
  }
  changed_.notify_all();
}

void FolderSink::finish() {
  stop();
  if (failure_) std::rethrow_exception(failure_);
}

int64_t FolderSink::finished_files() const {
  std::lock_guard lock(mutex_);
  return finished_;
}

void FolderSink::stop() {
  {
    std::lock_guard lock(mutex_);
    no_more_ = true;
  }
  changed_.notify_all();
  if (finisher_.joinable()) finisher_.join();
}

void FolderSink::finish_files() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [&] { return !waiting_.empty() || no_more_; });
    if (waiting_.empty()) return;
    Ended& ended = waiting_.front();  // stays in the queue, and is counted there, until it is on disk
    lock.unlock();
    std::exception_ptr failure;
    try {
      if (ended.companion) ended.companion->commit();
      ended.file->commit();
      ManifestEntry entry{ended.what.name, ended.what.first_row, ended.what.rows, ended.file->bytes(),
                          ended.file->checksum()};
      if (ended.companion)
        entry.companion = {ended.what.companion, ended.companion->bytes(), ended.companion->checksum()};
      manifest_.add(entry);
    } catch (...) {
      failure = std::current_exception();
    }
    lock.lock();
    if (failure) {
      failure_ = failure;
      waiting_.clear();
    } else {
      waiting_.pop_front();
      ++finished_;
    }
    changed_.notify_all();
    if (failure_) return;
  }
}

}  // namespace doppel
