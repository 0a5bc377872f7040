// Images that a command is given beside a model.
#pragma once

#include <string>

#include "engine/coder.h"
#include "engine/image/images.h"
#include "host/cli/commands.h"

namespace doppel {

// Whether DATA is images. What is not there is none: opening it as a table tells so. Throws UsageError where `labels`
// names a file of labels and DATA is a table.
bool is_images(const std::string& data, const std::string& labels);

// Read whole, with labels numbered as the coder's model has them. Throws as read_images and labelled_for do.
Images read_images_for(const Coder& coder, const std::string& data, const std::string& labels,
                       const CommonOptions& common);

void add_labels_option(CLI::App& command, std::string& labels);

}  // namespace doppel
