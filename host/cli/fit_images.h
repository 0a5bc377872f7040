// doppel fit of images.
#pragma once

#include <string>

#include "engine/model.h"
#include "host/cli/commands.h"

namespace doppel {

struct ImageFit {
  std::string data, labels, output;  // labels: their file; "": found beside the images
  FitOptions fit;
  bool resumes = false;  // from the checkpoint of an interrupted fit
};

// Reads the images, learns, writes the model file and tells about it. Throws as read_images and fit_image_model do.
void fit_images(ImageFit command, const CommonOptions& common);

}  // namespace doppel
