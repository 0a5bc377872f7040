// What the PCA of images (image_pca.h) learns.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/image/images.h"

namespace doppel {

// One Gaussian a label, labels in order; one for all images without labels.
struct ImageGaussians {
  ImageShape shape;
  std::vector<std::string> label_names;
  int64_t labels = 0, components = 0;  // labels: of Gaussians
  std::vector<double> shares;          // [labels] of the images
  std::vector<float> mean;             // [labels, levels]
  std::vector<float> factor;           // [labels, levels, components] V sqrt(lambda)
  std::vector<float> residual;         // [labels, levels]
  std::vector<double> eigenvalues;     // [labels, components]
  std::vector<double> variance;        // [labels] of all levels together
};

}  // namespace doppel
