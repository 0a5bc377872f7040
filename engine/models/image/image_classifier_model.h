// The image classifier (image_classifier.h) among the models of images: `--model cnn`. It makes no rows; it judges
// them. Epochs are as many as asked for by --epochs, or kMostEpochs and fewer where they would take more than
// kTrainingOperations.
#pragma once

#include <memory>

#include "engine/model.h"

namespace doppel {

void check_image_classifier_options(const FitOptions& options);
// Throws InputError for images without labels.
std::unique_ptr<Model> fit_image_classifier(const Images& images, const FitOptions& options, const Backend& backend);
std::unique_ptr<Model> load_image_classifier(const ModelFile& file);

}  // namespace doppel
