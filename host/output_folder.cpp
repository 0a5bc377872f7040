#include "host/output_folder.h"

#include <fcntl.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <filesystem>
#include <functional>
#include <map>
#include <thread>

#include "kernels/common/error.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;

void make_folder(const std::string& folder) {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) throw_file_error("make folder", folder, error.value());
  if (!fs::is_directory(folder)) throw_file_error("make folder", folder, ENOTDIR);
  const std::string parent = parent_folder(fs::absolute(folder).lexically_normal().string());
  if (real_file_system().sync_folder(parent) != 0 && errno != EACCES) throw_file_error("sync folder", parent, errno);
}

// Names in the folder for which `wanted` holds.
std::vector<std::string> find_names(const std::string& folder, const std::function<bool(const std::string&)>& wanted) {
  std::vector<std::string> names;
  std::error_code error;
  for (const auto& item : fs::directory_iterator(folder, error)) {
    const std::string name = item.path().filename().string();
    if (wanted(name)) names.push_back(name);
  }
  if (error && error.value() != ENOENT) throw_file_error("read folder", folder, error.value());
  std::sort(names.begin(), names.end());
  return names;
}

void remove_names(const std::string& folder, const std::vector<std::string>& names) {
  for (const std::string& name : names) {
    const std::string path = (fs::path(folder) / name).string();
    if (real_file_system().remove(path) != 0 && errno != ENOENT) throw_file_error("remove", path, errno);
  }
}

// The name that a temporary name stands for, or "".
std::string without_temporary(const std::string& name) {
  if (name.size() < 6 || name.front() != '.' || !name.ends_with(".tmp")) return "";
  return name.substr(1, name.size() - 5);
}

// A process that was just killed may hold its lock until its last fsync returns, hence the patience.
void check_not_in_use(const std::string& manifest_path) {
  constexpr int kAttempts = 40;
  constexpr auto kPause = std::chrono::milliseconds(50);
  const int file = ::open(manifest_path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) return;
  bool locked_elsewhere = true;
  for (int attempt = 0; attempt < kAttempts && locked_elsewhere; ++attempt) {
    if (attempt > 0) std::this_thread::sleep_for(kPause);
    locked_elsewhere = ::flock(file, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK;
  }
  ::close(file);
  if (locked_elsewhere)
    throw Error("'" + manifest_path + "' is being written by another doppel: wait for it or end it");
}

// All that is known of a folder from the point of view of one part.
struct Survey {
  std::string own_manifest;
  std::vector<std::string> other_manifests;
  std::vector<std::string> own_files, own_temporaries;
};

Survey survey_folder(const std::string& folder, const ManifestHead& head, const FileLayout& layout,
                     const std::vector<int64_t>& files) {
  Survey found;
  const std::string own = manifest_name(head.parts, head.part);
  for (const std::string& name : find_manifests(folder)) {
    if (name == own) {
      found.own_manifest = name;
    } else {
      found.other_manifests.push_back(name);
    }
  }
  const auto is_own = [&](const std::string& name) {
    return std::binary_search(files.begin(), files.end(), layout.index_of(name)) || name == own;
  };
  found.own_files = find_names(folder, [&](const std::string& name) { return name != own && is_own(name); });
  found.own_temporaries = find_names(folder, [&](const std::string& name) { return is_own(without_temporary(name)); });
  return found;
}

void check_other_parts(const std::string& folder, const ManifestHead& head, const std::vector<std::string>& manifests) {
  for (const std::string& name : manifests) {
    const std::string path = (fs::path(folder) / name).string();
    const std::optional<Manifest> other = read_manifest(path);
    const std::string difference = other ? first_difference(other->head, head, false) : "";
    if (!difference.empty()) {
      throw UsageError("'" + path + "' is of another job: it differs in " + difference +
                       ": choose another folder or empty this one");
    }
  }
}

// A folder that an unsplit job may overwrite: whatever earlier jobs wrote there, of any format and number of parts.
void remove_earlier_output(const std::string& folder) {
  remove_names(folder, find_manifests(folder));  // first: a manifest lists only what is there
  const auto is_output = [](const std::string& name) {
    return name.starts_with("part-") && name.find_first_not_of("0123456789", 5) > 5 && name[5] >= '0' && name[5] <= '9';
  };
  remove_names(folder, find_names(folder, [&](const std::string& name) {
                 const std::string stands_for = without_temporary(name);
                 return is_output(name) || is_output(stands_for) || stands_for.starts_with("manifest");
               }));
}

std::vector<ManifestEntry> whole_files(const std::string& folder, const ManifestHead& head, const FileLayout& layout,
                                       const std::vector<int64_t>& files) {
  const std::string path = (fs::path(folder) / manifest_name(head.parts, head.part)).string();
  const std::optional<Manifest> manifest = read_manifest(path);
  if (!manifest) return {};
  const std::string difference = first_difference(manifest->head, head, true);
  if (!difference.empty()) {
    throw UsageError("cannot resume: '" + path + "' differs in " + difference +
                     ": give the options that it was started with, or --overwrite to start anew");
  }
  std::map<int64_t, ManifestEntry> whole;
  for (const ManifestEntry& entry : manifest->entries) {
    const int64_t index = layout.index_of(entry.file);
    const auto is_there = [&](const std::string& file, int64_t bytes) {
      std::error_code error;
      const auto size = fs::file_size(fs::path(folder) / file, error);
      return !error && static_cast<int64_t>(size) == bytes;
    };
    const CompanionFile& companion = entry.companion;
    if (std::binary_search(files.begin(), files.end(), index) && is_there(entry.file, entry.bytes) &&
        (companion.file.empty() || is_there(companion.file, companion.bytes))) {
      whole[index] = entry;
    }
  }
  std::vector<ManifestEntry> entries;
  for (const auto& [index, entry] : whole) entries.push_back(entry);
  return entries;
}

}  // namespace

std::vector<ManifestEntry> prepare_output_folder(const std::string& folder, const ManifestHead& head,
                                                 const FileLayout& layout, const std::vector<int64_t>& files,
                                                 IfExists if_exists, bool look_only) {
  if (!look_only) make_folder(folder);
  if (fs::exists(folder) && !fs::is_directory(folder)) throw_file_error("write into", folder, ENOTDIR);
  const Survey found = survey_folder(folder, head, layout, files);
  const std::string manifest_path = (fs::path(folder) / manifest_name(head.parts, head.part)).string();
  check_not_in_use(manifest_path);
  const bool replaces_all = if_exists == IfExists::kOverwrite && head.parts == 1;
  if (!replaces_all) check_other_parts(folder, head, found.other_manifests);
  if (if_exists == IfExists::kOverwrite) {
    if (look_only) return {};
    if (replaces_all) {
      remove_earlier_output(folder);
    } else {
      if (!found.own_manifest.empty()) remove_names(folder, {found.own_manifest});
      remove_names(folder, found.own_files);
      remove_names(folder, found.own_temporaries);
    }
    return {};
  }
  const bool has_files_only = found.own_manifest.empty() && !found.own_files.empty();
  if (if_exists == IfExists::kRefuse && (!found.own_manifest.empty() || has_files_only)) {
    throw UsageError("'" + folder + "' holds output already (" +
                     (has_files_only ? found.own_files.front() : found.own_manifest) +
                     "): --resume completes it, --overwrite starts anew");
  }
  if (has_files_only) {
    throw UsageError("cannot resume: '" + folder + "' holds " + found.own_files.front() +
                     " but no manifest: --overwrite starts anew");
  }
  if (!look_only) remove_names(folder, found.own_temporaries);
  return whole_files(folder, head, layout, files);
}

}  // namespace doppel
