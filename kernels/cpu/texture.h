// The texture of images on the CPU (kernels/image_sampler.h).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/image_sampler.h"

namespace doppel {

// Means of levels from what a decoder gives, from 0 to 255; count levels.
void means_of_outputs(PixelLikelihood likelihood, const float* outputs, int64_t count, float* means);
void means_of_logits(const float* logits, int64_t count, float* means);  // Bernoulli: 255 sigmoid(logit)

// mean + spread[mean, rounded] * deviation, rounded and clipped to 0 .. 255; means in [0, 255], spread [256].
void levels_around_means(const float* means, const float* deviations, const float* spread, int64_t count,
                         uint8_t* levels);

// Makes images of means; for one thread.
class TextureSampler {
 public:
  explicit TextureSampler(std::shared_ptr<const ImageTexture> texture) : texture_(std::move(texture)) {}
  // means [rows, levels], labels [rows], normals [directions, rows]; these are multiplied by `scale`.
  void make(const float* means, const int32_t* labels, const float* normals, float scale, int64_t rows,
            uint8_t* pixels);

 private:
  std::shared_ptr<const ImageTexture> texture_;
  std::vector<int64_t> rows_of_label_;
  std::vector<float> normals_, deviations_;
};

}  // namespace doppel
