#include "kernels/cpu/texture.h"

#include <algorithm>

#include "kernels/cpu/image_sampler.h"
#include "kernels/cpu/product.h"
#include "kernels/cpu/sample_table.h"

namespace doppel {
namespace {

constexpr int64_t kMeans = ImageTexture::kMeans;

}  // namespace

void means_of_outputs(PixelLikelihood likelihood, const float* outputs, int64_t count, float* means) {
  if (likelihood == PixelLikelihood::kBernoulli) return means_of_logits(outputs, count, means);
  for (int64_t i = 0; i < count; ++i) means[i] = 255 * std::clamp(outputs[2 * i], 0.0f, 1.0f);
}

TextureSampler::TextureSampler(std::shared_ptr<const ImageTexture> texture)
    : texture_(std::move(texture)),
      noise_normals_(static_cast<size_t>(padded_normals(normal_blocks(texture_->levels)))) {}

void TextureSampler::make(const TexturedRows& block, uint8_t* pixels) {
  const auto labels = static_cast<int64_t>(texture_->spread.size()) / kMeans;
  for (int64_t label = 0; label < labels; ++label) {
    rows_of_label_.clear();
    for (int64_t row = 0; row < block.rows; ++row)
      if (block.labels[row] == label) rows_of_label_.push_back(row);
    if (!rows_of_label_.empty()) make_rows_of_label(block, label, pixels);
  }
}

// What their directions make is one product.
void TextureSampler::make_rows_of_label(const TexturedRows& block, int64_t label, uint8_t* pixels) {
  const int64_t levels = texture_->levels, directions = texture_->directions;
  const auto count = static_cast<int64_t>(rows_of_label_.size());
  direction_normals_.clear();
  for (const int64_t row : rows_of_label_)
    for (int64_t k = 0; k < directions; ++k)
      direction_normals_.push_back(block.temperature * block.normals[k * block.rows + row]);
  deviations_.resize(static_cast<size_t>(count * levels));
  multiply(CblasNoTrans, CblasNoTrans, count, levels, directions, direction_normals_.data(),
           texture_->factor.data() + label * directions * levels, 0, deviations_.data());
  const float* deviations = deviations_.data();
  for (const int64_t row : rows_of_label_) {
    instruction_sets().front().normals_of_row(block.seed, block.first_row + static_cast<uint64_t>(row),
                                              block.noise_block, normal_blocks(levels), noise_normals_.data());
    for (float& normal : noise_normals_) normal *= block.temperature;
    levels_around_means({block.means + row * levels, deviations, texture_->noise.data() + label * levels,
                         noise_normals_.data(), texture_->spread.data() + label * kMeans},
                        levels, pixels + row * levels);
    deviations += levels;
  }
}

}  // namespace doppel
