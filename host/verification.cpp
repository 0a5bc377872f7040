#include "host/verification.h"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <memory>
#include <optional>
#include <set>
#include <thread>

#include "host/interrupt.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;
constexpr size_t kReadBytes = 256 << 10;
constexpr const char* kAbsent = "absent";

// A file being read from its start.
class Reader {
 public:
  explicit Reader(std::string path) : path_(std::move(path)), file_(::open(path_.c_str(), O_RDONLY | O_CLOEXEC)) {
    if (file_ < 0) throw_file_error("read", path_, errno);
  }
  ~Reader() { ::close(file_); }
  Reader(const Reader&) = delete;
  Reader& operator=(const Reader&) = delete;
  // Fewer bytes only at the file's end.
  size_t read(std::byte* out, size_t bytes) {
    size_t done = 0;
    while (done < bytes) {
      const ssize_t got = ::read(file_, out + done, bytes - done);
      if (got < 0 && errno == EINTR && !interrupted()) continue;
      if (got < 0) throw_file_error("read", path_, errno);
      if (got == 0) break;
      done += static_cast<size_t>(got);
    }
    return done;
  }

 private:
  std::string path_;
  int file_;
};

// "", kAbsent, or what is wrong with the file's size.
std::string check_size(const std::string& folder, const CompanionFile& file) {
  const fs::path path = fs::path(folder) / file.file;
  std::error_code error;
  if (!fs::exists(path)) return kAbsent;
  const auto size = static_cast<int64_t>(fs::file_size(path, error));
  if (error || size == file.bytes) return "";
  return file.file + ": its size is " + std::to_string(size) + " bytes, not " + std::to_string(file.bytes);
}

std::string checksum_of(const std::string& path, std::vector<std::byte>& buffer) {
  Reader reader(path);
  Checksum checksum;
  for (size_t got = buffer.size(); got == buffer.size();) {
    if (interrupted()) throw Error("nothing was changed", ExitStatus::kInterrupted);
    got = reader.read(buffer.data(), buffer.size());
    checksum.update(buffer.data(), got);
  }
  return checksum.hex();
}

// The same with what is wrong with the file's bytes.
std::string check_bytes(const std::string& folder, const CompanionFile& file, std::vector<std::byte>& buffer) {
  const std::string wrong_size = check_size(folder, file);
  if (!wrong_size.empty()) return wrong_size;
  const std::string checksum = checksum_of((fs::path(folder) / file.file).string(), buffer);
  return checksum == file.xxh3_128 ? "" : file.file + ": its checksum is " + checksum + ", not " + file.xxh3_128;
}

// The first finding of an entry's files by check(file).
template <class Check>
std::string check_entry(const ManifestEntry& entry, const Check& check) {
  const std::string finding = check(CompanionFile{entry.file, entry.bytes, entry.xxh3_128});
  return finding.empty() && !entry.companion.file.empty() ? check(entry.companion) : finding;
}

// What is wrong with each entry's file, "" where nothing is; kAbsent where it is not there.
std::vector<std::string> check_files(const std::string& folder, const std::vector<ManifestEntry>& entries,
                                     int threads) {
  std::vector<std::string> findings(entries.size());
  std::atomic<size_t> next{0};
  std::vector<std::exception_ptr> failures(static_cast<size_t>(threads));
  const auto work = [&](size_t thread) {
    try {
      std::vector<std::byte> buffer(kReadBytes);
      for (size_t i; (i = next.fetch_add(1)) < entries.size();) {
        findings[i] =
            check_entry(entries[i], [&](const CompanionFile& file) { return check_bytes(folder, file, buffer); });
      }
    } catch (...) {
      failures[thread] = std::current_exception();
      next = entries.size();
    }
  };
  std::vector<std::thread> pool;
  for (size_t thread = 0; thread < failures.size(); ++thread) pool.emplace_back(work, thread);
  for (std::thread& thread : pool) thread.join();
  for (const std::exception_ptr& failure : failures) {
    if (failure) std::rethrow_exception(failure);
  }
  return findings;
}

// The listed entries of all manifests; fills head, and missing with what no manifest lists.
std::vector<ManifestEntry> read_entries(const std::string& folder, FolderCheck& check, FileLayout& layout) {
  const std::vector<std::string> manifests = find_manifests(folder);
  if (manifests.empty()) throw InputError(folder + ": no manifest: not the output folder of doppel generate");
  std::vector<ManifestEntry> entries;
  std::set<int64_t> parts;
  for (const std::string& name : manifests) {
    const std::string path = (fs::path(folder) / name).string();
    const std::optional<Manifest> manifest = read_manifest(path);
    if (!manifest) continue;
    if (parts.empty()) check.head = manifest->head;
    const std::string difference = first_difference(check.head, manifest->head, false);
    if (!difference.empty())
      throw InputError(path + ": is of another job than " + manifests.front() + ": it differs in " + difference);
    parts.insert(manifest->head.part);
    entries.insert(entries.end(), manifest->entries.begin(), manifest->entries.end());
  }
  for (int64_t part = 1; part <= check.head.parts; ++part) {
    if (parts.count(part) == 0)
      check.missing.push_back(manifest_name(check.head.parts, part) + ": this part was not started");
  }
  std::string extension = entries.empty() ? "" : fs::path(entries.front().file).extension().string();
  for (const Format& format : formats()) {
    if (format.name == check.head.format) extension = format.extension;
  }
  layout = {check.head.rows, check.head.rows_per_file, extension, ""};
  std::sort(entries.begin(), entries.end(), [](const auto& a, const auto& b) { return a.first_row < b.first_row; });
  return entries;
}

void find_unlisted(const std::string& folder, const std::set<std::string>& listed, const FileLayout& layout,
                   FolderCheck& check) {
  for (int64_t index = 0; index < layout.files(); ++index) {
    const std::string name = layout.file(index).name;
    if (listed.count(name) == 0) check.missing.push_back(name + ": not written yet (generate --resume writes it)");
  }
  for (const auto& item : fs::directory_iterator(folder)) {
    const std::string name = item.path().filename().string();
    const bool looks_like_rows =
        name.starts_with("part-") || (!layout.extension.empty() && name.ends_with(layout.extension));
    if (looks_like_rows && name.front() != '.' && listed.count(name) == 0) check.extra.push_back(name);
  }
  std::sort(check.extra.begin(), check.extra.end());
}

// find(entries) returns what is wrong with each entry's file, as check_files does.
template <class Find>
FolderCheck survey(const std::string& folder, const Find& find) {
  if (!fs::is_directory(folder)) throw InputError(folder + ": no such folder");
  FolderCheck check;
  FileLayout layout;
  const std::vector<ManifestEntry> entries = read_entries(folder, check, layout);
  std::set<std::string> listed;
  for (const ManifestEntry& entry : entries) {
    listed.insert(entry.file);
    if (!entry.companion.file.empty()) listed.insert(entry.companion.file);
  }

  const std::vector<std::string> findings = find(entries);
  for (size_t i = 0; i < entries.size(); ++i) {
    if (findings[i] == kAbsent) {
      check.missing.push_back(entries[i].file +
                              (entries[i].companion.file.empty() ? "" : " or " + entries[i].companion.file));
    } else if (!findings[i].empty()) {
      check.corrupt.push_back(findings[i]);
    } else {
      check.whole.push_back(entries[i]);
      check.whole_rows += entries[i].rows;
      check.whole_bytes += entries[i].all_bytes();
    }
  }
  find_unlisted(folder, listed, layout, check);
  return check;
}

// Compares what it is given with a file, from its start.
class Comparison {
 public:
  Comparison(const std::string& folder, std::string name)
      : name_(std::move(name)), buffer_(kReadBytes), reader_((fs::path(folder) / name_).string()) {}
  void append(const void* data, size_t bytes) {
    const auto* expected = static_cast<const std::byte*>(data);
    for (size_t done = 0; done < bytes && is_same_;) {
      const size_t wanted = std::min(buffer_.size(), bytes - done);
      const size_t got = reader_.read(buffer_.data(), wanted);
      const auto [here, there] =
          std::mismatch(buffer_.begin(), buffer_.begin() + static_cast<ptrdiff_t>(got), expected + done);
      if (static_cast<size_t>(here - buffer_.begin()) < wanted) differs(offset_ + (here - buffer_.begin()));
      done += got;
      offset_ += static_cast<int64_t>(got);
    }
  }
  // After the last byte: adds what differs.
  void end(std::vector<std::string>& different) {
    if (is_same_ && reader_.read(buffer_.data(), 1) != 0) differs(offset_);
    if (!is_same_) different.push_back(name_ + ": differs from byte " + std::to_string(first_difference_));
  }

 private:
  void differs(int64_t byte) {
    is_same_ = false;
    first_difference_ = byte;
  }
  std::string name_;
  std::vector<std::byte> buffer_;
  Reader reader_;
  int64_t offset_ = 0, first_difference_ = 0;
  bool is_same_ = true;
};

class CompareSink : public OutputSink {
 public:
  explicit CompareSink(std::string folder) : folder_(std::move(folder)) {}
  void begin(const OutputFile& file) override {
    file_.emplace(folder_, file.name);
    if (!file.companion.empty()) companion_.emplace(folder_, file.companion);
  }
  void append(const void* data, size_t bytes) override { file_->append(data, bytes); }
  void append_to_companion(const void* data, size_t bytes) override { companion_->append(data, bytes); }
  void end() override {
    file_->end(different);
    if (companion_) companion_->end(different);
    file_.reset(), companion_.reset();
  }
  void finish() override {}
  std::vector<std::string> different;

 private:
  std::string folder_;
  std::optional<Comparison> file_, companion_;
};

}  // namespace

std::string file_checksum(const std::string& path) {
  std::vector<std::byte> buffer(kReadBytes);
  return checksum_of(path, buffer);
}

FolderCheck check_folder(const std::string& folder, int threads) {
  return survey(folder,
                [&](const std::vector<ManifestEntry>& entries) { return check_files(folder, entries, threads); });
}

FolderCheck list_folder(const std::string& folder) {
  return survey(folder, [&](const std::vector<ManifestEntry>& entries) {
    std::vector<std::string> findings;
    for (const ManifestEntry& entry : entries)
      findings.push_back(check_entry(entry, [&](const CompanionFile& file) { return check_size(folder, file); }));
    return findings;
  });
}

Recomputation recompute_files(const std::string& folder, const ManifestHead& head,
                              const std::vector<ManifestEntry>& files, const Generator& generator, JobOptions job,
                              Progress& progress) {
  job.rows = head.rows;
  job.rows_per_file = head.rows_per_file;
  job.parts = job.part = 1;
  JobPlan plan = plan_job(generator, job);
  plan.files.clear();
  for (const ManifestEntry& entry : files) plan.files.push_back(plan.layout.index_of(entry.file));
  if (std::count(plan.files.begin(), plan.files.end(), -1) > 0)
    throw InputError(folder + ": its manifest lists a file that the job has not");
  CompareSink sink(folder);
  const JobResult result = run_job(generator, plan, sink, progress);
  return {result.files, result.rows, sink.different};
}

}  // namespace doppel
