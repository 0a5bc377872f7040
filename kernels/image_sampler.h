// Image sampling: images and their labels from latents through a network. Of image i
//   label    drawn by label_weights
//   member   of the label's mixture of Gaussians, by their weights
//   z        = mean[member] + factor[member] (temperature * e), e standard normals
//   outputs  = decoder(z, label): what the likelihood takes of each level
//   level    the likelihood's mean as a byte: Bernoulli round(255 / (1 + exp(-output))), logistic round(255 * output)
//            with the output moved into [0, 1], the first of two a level
//
// Random numbers of an image, in blocks of words of Stream::kRows (random.h):
//   block 0        word 0: the label; word 1: the member. Weights w[k] are cumulated in double, c[k] = w[0] + ... +
//   w[k],
//                  and the outcome is the number of k, the last left out, with c[k] <= word * 2^-32 * c[last]
//   block 1 ...    the normals, 4 a block: of the latents; from a block of their own on of the texture's directions, and
//                  likewise of its noise
// so labels and members are the same on every backend. Levels are equal within rounding: of a tie, and of what networks
// differ by (network.h): at least 99.9 % of levels differ by at most one in single precision.
//
// Images are made in blocks that begin at a multiple of their rows, so that an image does not depend on how many are
// asked for at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/host_memory.h"
#include "kernels/network.h"

namespace doppel {

enum class PixelLikelihood : uint8_t { kBernoulli, kLogistic };

constexpr int64_t outputs_of_level(PixelLikelihood likelihood) {
  return likelihood == PixelLikelihood::kLogistic ? 2 : 1;
}

// Mixtures of Gaussians, one a label.
struct LatentMembers {
  int64_t latent = 0;
  std::vector<int64_t> first;  // [labels + 1] members of each label; of one where images have no labels
  std::vector<double> weight;  // [members]
  std::vector<float> mean;     // [members, latent]
  std::vector<float> factor;   // [members, latent, latent], lower triangles; zeros above
};

// What levels have around their means (engine/models/image/image_texture.h):
//   level_j = mean_j + spread(mean_j) temperature (sum_k F_kj e_k + noise_j e'_j),   rounded and clipped to 0 .. 255
struct ImageTexture {
  static constexpr int64_t kMeans = 256;
  int64_t levels = 0, directions = 0;  // levels: of an image
  std::vector<float> spread;           // [labels, kMeans] by the mean, rounded; of one where images have no labels
  std::vector<float> factor;           // F [labels, directions, levels]
  std::vector<float> noise;            // [labels, levels]
};

struct ImageSampler {
  std::vector<double> label_weights;  // [labels]: not all 0; one where images have no labels
  LatentMembers members;
  double temperature = 1;
  TrainedNetwork decoder;
  PixelLikelihood likelihood = PixelLikelihood::kBernoulli;
  std::shared_ptr<const ImageTexture> texture;  // null: levels are their means
  Precision precision = Precision::kSingle;
  int64_t block_rows = 0;  // 0: what suits the backend

  int64_t levels() const { return decoder.outputs() / outputs_of_level(likelihood); }  // bytes of an image
};

// Throws Error if the sampler contradicts itself, UsageError if no label has a weight.
void check_image_sampler(const ImageSampler& sampler);

// An image sampler made ready for one backend. One per worker: `sample` is not thread-safe on one object, different
// objects are independent.
class PreparedImageSampler {
 public:
  virtual ~PreparedImageSampler() = default;
  // Images [rows, levels()] and labels [rows] (or null) of rows from first_row on, in host memory. Returns when they
  // are there.
  virtual void sample(uint64_t seed, uint64_t first_row, int64_t rows, uint8_t* images, int32_t* labels) = 0;

  // Memory that `sample` fills fastest, and how many rows it is best asked for at a time: a multiple of a block's.
  virtual HostMemory allocate(size_t bytes) const { return allocate_host_memory(bytes); }
  virtual int64_t preferred_rows() const = 0;
};

}  // namespace doppel
