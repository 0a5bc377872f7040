// The CUDA image sampler from inside: what its kernels get. Backends use prepare_cuda_image_sampler.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "kernels/image_sampler.h"

namespace doppel::cuda {

// A block computes so many rows, a warp each.
inline constexpr int kLatentRows = 8;

struct LatentArguments {
  uint64_t seed, first_row;
  int64_t rows;
  int32_t label_count, latent;
  float temperature;
  const double* labels_up_to;   // [label_count] cumulated weights
  const double* members_up_to;  // [members] likewise, within their label
  const int32_t* first_member;  // [label_count + 1]
  const float* mean;            // [members, latent]
  const float* factor_columns;  // [members, latent, latent], transposes
  float* latents;               // [rows, latent]
  int32_t* labels;              // [rows]
};

// image_sampler.cu. Asynchronous.
void draw_image_latents(const LatentArguments& arguments, cudaStream_t stream);
// count: of levels, a multiple of 16.
void write_levels(const float* outputs, int64_t count, PixelLikelihood likelihood, uint8_t* levels,
                  cudaStream_t stream);

struct TextureArguments {
  uint64_t seed, first_row;
  int32_t rows, levels, directions;
  uint32_t first_block;   // of normals: of the directions
  uint32_t noise_block;   // ... and of the noise
  float temperature;
  const float* outputs;   // [rows, levels] or, of the logistic likelihood, [rows, levels, 2]
  const int32_t* labels;  // [rows]
  const float* spread;    // [labels, ImageTexture::kMeans]
  const float* factor;    // [labels, directions, levels]
  const float* noise;     // [labels, levels]
  uint8_t* images;        // [rows, levels]
};

// image_texture.cu. In place of write_levels, where there is a texture. Asynchronous.
void write_textured_levels(const TextureArguments& arguments, PixelLikelihood likelihood, cudaStream_t stream);

std::unique_ptr<PreparedImageSampler> prepare_cuda_image_sampler(const ImageSampler& sampler, int device);

}  // namespace doppel::cuda
