// Checks of an output folder: against its manifests, and against the generator that made it.
#pragma once

#include <string>
#include <vector>

#include "host/manifest.h"
#include "host/scheduler.h"

namespace doppel {

struct FolderCheck {
  ManifestHead head;                 // of the first manifest; all agree but for the part
  std::vector<ManifestEntry> whole;  // files of the size and checksum listed, in row order
  int64_t whole_rows = 0, whole_bytes = 0;
  std::vector<std::string> missing;  // files of the job that are not there, and parts without a manifest
  std::vector<std::string> corrupt;  // "part-00003.csv: size is 10, not 12"
  std::vector<std::string> extra;    // files that a reader of the folder would take for rows but no manifest lists
  bool is_good() const { return missing.empty() && corrupt.empty() && extra.empty(); }
};

// xxh3_128 of the file's bytes. Throws Error where it cannot be read, of status kInterrupted once asked to stop.
std::string file_checksum(const std::string& path);

// Reads every listed file, on `threads` threads. Throws InputError where there is no manifest or manifests disagree.
FolderCheck check_folder(const std::string& folder, int threads);
// The same by the files' sizes alone: nothing is read but the manifests.
FolderCheck list_folder(const std::string& folder);

struct Recomputation {
  int64_t files = 0, rows = 0;
  std::vector<std::string> different;  // "part-00003.csv: differs from byte 4096"
};

// Makes the files again and compares them byte by byte with the folder's. `job` says threads and memory only.
Recomputation recompute_files(const std::string& folder, const ManifestHead& head,
                              const std::vector<ManifestEntry>& files, const Generator& generator, JobOptions job,
                              Progress& progress);

}  // namespace doppel
