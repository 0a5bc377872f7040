// The PCA of images: for each label a Gaussian of the levels of its images, of low rank and noise,
//   level_j = mean_j + sum_k V_jk sqrt(lambda_k) e_k + residual_j noise_j,  residual_j^2 = variance_j - sum_k V_jk^2
//   lambda_k,
// rounded and clipped to 0 .. 255: a baseline for networks. V and lambda are the leading principal directions of the
// label's images (leading_directions.h), so that a level has the variance of the data whatever their number.
//
// Rows are drawn as those of a balanced mixture with a member a label (kernels/table.h): the same bits on every
// backend, and labels are shared out evenly. Without labels there is one Gaussian of all images.
#pragma once

#include <memory>

#include "engine/model.h"

namespace doppel {

inline constexpr const char* kImagePcaKind = "image-pca";  // in a model file; --model pca of images

// components "auto": kAutoImageComponents, fewer where images are so large or labels so many that the weights would be
// more than kMostAutoWeights. Never more than a label has images less one.
inline constexpr int64_t kAutoImageComponents = 64;
inline constexpr int64_t kMostAutoWeights = int64_t{1} << 24;

// Throws UsageError for options that no model of images has.
void check_image_pca_options(const FitOptions& options);
// Throws UsageError for more components than an image has levels or than options.memory_bytes holds the weights of.
std::unique_ptr<Model> fit_image_pca(const Images& images, const FitOptions& options, const Backend& backend);
std::unique_ptr<Model> load_image_pca(const ModelFile& file);

}  // namespace doppel
