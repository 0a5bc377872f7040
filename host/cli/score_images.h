// doppel score of images.
#pragma once

#include <cstdint>
#include <string>

#include "host/cli/commands.h"
#include "host/cli/rows_output.h"

namespace doppel {

struct ImageScoring {
  std::string model, data, labels, by, contact_sheet;
  RowsOutput output;
  int64_t top = 10;
};

// Scores the images, tells of the strangest and writes what is asked for. Throws UsageError where the model's kind has
// no scores of images, and as read_images does.
void score_images(const ImageScoring& command, const CommonOptions& common);

}  // namespace doppel
