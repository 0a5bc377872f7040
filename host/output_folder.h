// What is in an output folder before a job starts, and whether the job may write there.
#pragma once

#include <string>
#include <vector>

#include "host/manifest.h"
#include "host/sinks.h"

namespace doppel {

enum class IfExists { kRefuse, kResume, kOverwrite };

// Makes the folder if need be and returns the files (of `files`, indices into the layout) that are there already,
// whole.
//   kRefuse     throws UsageError where the folder holds a manifest or files of this part: --resume or --overwrite
//   kResume     throws UsageError naming the field in which the manifest differs from `head`; listed files count where
//   they
//               exist with the size listed; temporary files are removed
//   kOverwrite  removes this part's manifest, its files and temporary files; unsplit jobs remove those of all parts
// Parts of other jobs in the folder are a UsageError in every case. `look_only` changes nothing on disk.
std::vector<ManifestEntry> prepare_output_folder(const std::string& folder, const ManifestHead& head,
                                                 const FileLayout& layout, const std::vector<int64_t>& files,
                                                 IfExists if_exists, bool look_only);

}  // namespace doppel
