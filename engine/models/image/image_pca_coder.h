// The PCA of images as a code: the scores of an image's components, those of its label,
//   z = V^T (levels - mean),   levels = mean + V z, rounded and clipped,
// as scikit-learn's PCA.transform and inverse_transform have them, in levels. A component that the label's images were
// too few for has score 0.
//
// An image's nats are -log of the density of its levels under the label's Gaussian, in which no level has less noise
// than rounding gives it: a variance of 1/12.
//
// What is summed over levels or components is products of matrices (kernels/product.h): of so many images of one label.
#pragma once

#include <memory>

#include "engine/coder.h"
#include "engine/models/image/image_gaussians.h"
#include "kernels/backend.h"

namespace doppel {

// Throws UsageError where there are no components. The backend must outlive the coder.
std::shared_ptr<const Coder> make_image_pca_coder(std::shared_ptr<const ImageGaussians> model, const Backend& backend);

}  // namespace doppel
