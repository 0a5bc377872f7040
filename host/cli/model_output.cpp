#include "host/cli/model_output.h"

#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <vector>

#include "host/readers/watched_table.h"
#include "host/writer.h"
#include "kernels/common/error.h"

namespace doppel {

namespace fs = std::filesystem;

void check_model_output(const std::string& path) {
  if (path == "-") throw UsageError("-o -: a model is written to a file, whole or not at all: name one");
  if (fs::is_directory(path))
    throw UsageError("-o " + path + " is a folder: name a file, such as " + path + "/m.doppel");
  const std::string folder = parent_folder(path);
  if (!fs::is_directory(folder)) throw_file_error("write to", folder, fs::exists(folder) ? ENOTDIR : ENOENT);
  if (access(folder.c_str(), W_OK | X_OK) != 0) throw_file_error("write to", folder, errno);
}

WrittenModel write_model(const Model& model, const std::string& path) {
  const std::vector<std::byte> bytes = serialise(model.save());
  throw_if_interrupted();
  write_file_atomically(path, bytes);
  return {static_cast<int64_t>(bytes.size()), model_checksum(bytes)};
}

void add_seconds(const StageProgress& progress, nlohmann::ordered_json& json) {
  nlohmann::ordered_json seconds = nlohmann::ordered_json::object();
  double total = 0;
  for (const StageProgress::Stage& stage : progress.stages()) {
    seconds[stage.name] = seconds.value(stage.name, 0.0) + stage.seconds;
    total += stage.seconds;
  }
  json["seconds"] = total;
  json["stage_seconds"] = std::move(seconds);
}

}  // namespace doppel
