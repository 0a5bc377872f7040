// The manifest of an output folder: JSON lines. The first says what is being written; each following line is a file
// that is complete and on disk, so that a killed job knows where to go on and `verify` knows what must be there.
//
// A job split with --parts P --part K writes manifest-K-of-P.jsonl, so that parts may share a folder.
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/image/asked_images.h"
#include "host/writer.h"

namespace doppel {

// Everything that the bytes of the output depend on, and which part of it this folder's job writes.
struct ManifestHead {
  std::string model;           // file name, for people
  std::string model_checksum;  // engine/model_file.h
  uint64_t seed = 0;
  std::string where;  // the conditions that rows meet; "": none
  AskedImages images;
  std::string given,
      given_checksum;  // the file whose rows are completed (as typed, for people), file_checksum; "": none
  int64_t rows = 0, rows_per_file = 0;
  std::string format, compression;
  int64_t parts = 1, part = 1;  // counted from 1
  nlohmann::json versions;      // of this program and of the libraries that write bytes
};

struct CompanionFile {
  std::string file;  // name in the folder; "": none
  int64_t bytes = 0;
  std::string xxh3_128;
};

struct ManifestEntry {
  std::string file;  // name in the folder
  int64_t first_row = 0, rows = 0, bytes = 0;
  std::string xxh3_128;
  // What the format keeps of the same rows in a file of its own: the entry holds when both files are there.
  CompanionFile companion = {};

  int64_t all_bytes() const { return bytes + companion.bytes; }
};

struct Manifest {
  ManifestHead head;
  std::vector<ManifestEntry> entries;
};

std::string manifest_name(int64_t parts, int64_t part);
// Names of the manifests in a folder, sorted.
std::vector<std::string> find_manifests(const std::string& folder);

// Nothing if there is no such file. A torn last line (the process was killed while writing it) is ignored. Throws
// InputError "path:line: ..." where it is not a manifest.
std::optional<Manifest> read_manifest(const std::string& path);

// The name of the first field in which two jobs differ, with both values ("seed (1, now 2)"), or "" when they agree.
// The names of the model's and of the given file do not count; `same_part` false leaves the part's number out.
std::string first_difference(const ManifestHead& written, const ManifestHead& asked, bool same_part);

// What was asked of a model of images beyond the usual, as manifests and reports have it: "labels", "temperature",
// "precision".
nlohmann::ordered_json asked_images_json(const AskedImages& asked);
const char* precision_name(Precision precision);       // "f32", "bf16"
Precision precision_of_name(const std::string& name);  // throws UsageError

nlohmann::json program_versions();
// What an encoder may put into a file's own metadata: model, seed, conditions and versions. The same in every file of a
// job.
std::string provenance_json(const ManifestHead& head);

// Owns a folder's manifest while a job runs: rewrites it (atomically) with the entries that still hold, then appends.
class ManifestWriter {
 public:
  // Throws Error if another process is writing to the same manifest.
  ManifestWriter(const std::string& folder, const ManifestHead& head, const std::vector<ManifestEntry>& entries,
                 FileSystem& files = real_file_system());
  ~ManifestWriter();
  ManifestWriter(const ManifestWriter&) = delete;
  ManifestWriter& operator=(const ManifestWriter&) = delete;
  void add(const ManifestEntry& entry);  // on disk when it returns

 private:
  std::string path_;
  FileSystem& files_;
  int file_ = -1;
};

}  // namespace doppel
