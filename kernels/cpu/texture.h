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

// Of each level
//   mean + spread[mean, rounded] * (deviation + noise * normal),   rounded and clipped to 0 .. 255
// means in [0, 255], spread [256], all others [count].
struct LevelsAroundMeans {
  const float* means;
  const float* deviations;
  const float* noise;
  const float* normals;
  const float* spread;
};
void levels_around_means(const LevelsAroundMeans& of, int64_t count, uint8_t* levels);

// The rows of a block, numbered from first_row on.
struct TexturedRows {
  uint64_t seed, first_row;
  int64_t rows;
  const float* means;     // [rows, levels]
  const int32_t* labels;  // [rows]
  const float* normals;   // [directions, rows]
  int64_t noise_block;    // the first of the blocks of the noise's normals
  float temperature;
};

// Makes images of means; for one thread.
class TextureSampler {
 public:
  explicit TextureSampler(std::shared_ptr<const ImageTexture> texture);
  void make(const TexturedRows& block, uint8_t* pixels);  // [rows, levels]

 private:
  void make_rows_of_label(const TexturedRows& block, int64_t label, uint8_t* pixels);

  std::shared_ptr<const ImageTexture> texture_;
  std::vector<int64_t> rows_of_label_;
  std::vector<float> direction_normals_, deviations_;  // [rows of the label, directions], [rows of the label, levels]
  std::vector<float> noise_normals_;                   // of a row
};

}  // namespace doppel
