// Images on the CPU; and what both backends draw latents by.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/image_sampler.h"

namespace doppel {

struct LatentDraws {
  std::vector<double> labels_up_to, members_up_to;  // cumulated weights, of members within their label
  std::vector<float> factor_columns;                // [members, latent, latent]: the factors' transposes
};
LatentDraws prepare_draws(const ImageSampler& sampler);  // of a checked one

// Blocks of four normals.
constexpr int64_t normal_blocks(int64_t latent) {
  return (latent + 3) / 4;
}

// Bytes of what a decoder gives for `count` levels.
void levels_of_outputs(PixelLikelihood likelihood, const float* outputs, int64_t count, uint8_t* levels);
// 255 sigmoid(logit), rounded: the mean of a Bernoulli pixel as a byte. At ties of single precision an instruction set
// may round another way.
void levels_of_logits(const float* logits, int64_t count, uint8_t* levels);

// On one thread.
std::unique_ptr<PreparedImageSampler> prepare_image_sampler_on_cpu(const ImageSampler& sampler);

}  // namespace doppel
