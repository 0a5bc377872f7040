// The image VAE (image_vae.h) among the models of images: `--model vae` is convolutional, `--model vae-dense` of dense
// layers alone. Epochs are as many as asked for by --epochs, or kMostEpochs and fewer where they would take more than
// kTrainingOperations.
#pragma once

#include <memory>

#include "engine/model.h"

namespace doppel {

void check_image_vae_options(const FitOptions& options);
std::unique_ptr<Model> fit_image_vae(const Images& images, const FitOptions& options, const Backend& backend);
std::unique_ptr<Model> fit_dense_image_vae(const Images& images, const FitOptions& options, const Backend& backend);
std::unique_ptr<Model> load_image_vae(const ModelFile& file);

}  // namespace doppel
