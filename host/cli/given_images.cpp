#include "host/cli/given_images.h"

#include <filesystem>

#include "engine/transcoded_rows.h"
#include "host/readers/images.h"
#include "kernels/common/error.h"

namespace doppel {

bool is_images(const std::string& data, const std::string& labels) {
  if (std::filesystem::exists(data) && holds_images(data)) return true;
  if (!labels.empty()) throw UsageError("--labels is of images, and '" + data + "' is none");
  return false;
}

Images read_images_for(const Coder& coder, const std::string& data, const std::string& labels,
                       const CommonOptions& common) {
  return labelled_for(coder, read_images(data, {labels, common.memory_bytes / 2}), data);
}

void add_labels_option(CLI::App& command, std::string& labels) {
  command.add_option("--labels", labels, "Of images: the file of their labels, IDX or NPY (default: beside them)")
      ->type_name("FILE");
}

}  // namespace doppel
