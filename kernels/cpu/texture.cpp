#include "kernels/cpu/texture.h"

#include <algorithm>

#include "kernels/cpu/image_sampler.h"
#include "kernels/cpu/product.h"

namespace doppel {
namespace {

constexpr int64_t kMeans = ImageTexture::kMeans;

}  // namespace

void means_of_outputs(PixelLikelihood likelihood, const float* outputs, int64_t count, float* means) {
  if (likelihood == PixelLikelihood::kBernoulli) return means_of_logits(outputs, count, means);
  for (int64_t i = 0; i < count; ++i) means[i] = 255 * std::clamp(outputs[2 * i], 0.0f, 1.0f);
}

void TextureSampler::make(const float* means, const int32_t* labels, const float* normals, float scale, int64_t rows,
                          uint8_t* pixels) {
  const int64_t levels = texture_->levels, directions = texture_->directions;
  const auto classes = static_cast<int32_t>(static_cast<int64_t>(texture_->spread.size()) / kMeans);
  for (int32_t label = 0; label < classes; ++label) {  // rows of a label are one product
    rows_of_label_.clear();
    normals_.clear();
    for (int64_t row = 0; row < rows; ++row) {
      if (labels[row] != label) continue;
      rows_of_label_.push_back(row);
      for (int64_t k = 0; k < directions; ++k) normals_.push_back(scale * normals[k * rows + row]);
    }
    const auto count = static_cast<int64_t>(rows_of_label_.size());
    deviations_.resize(static_cast<size_t>(count * levels));
    multiply(CblasNoTrans, CblasNoTrans, count, levels, directions, normals_.data(),
             texture_->factor.data() + label * directions * levels, 0, deviations_.data());
    for (int64_t i = 0; i < count; ++i) {
      const int64_t row = rows_of_label_[static_cast<size_t>(i)];
      levels_around_means(means + row * levels, deviations_.data() + i * levels,
                          texture_->spread.data() + label * kMeans, levels, pixels + row * levels);
    }
  }
}

}  // namespace doppel
