// Sums of patches: the second half of a transposed convolution that is done as a matrix product. The product of an
// image's values [output pixels, outputs] with weights [outputs, taps, inputs] is a patch of every output pixel; here
// each input pixel takes the sum of what the patches that cover it have for it. `shape`, inputs and outputs are those
// of the convolution (convolution.h): sums have the inputs' shape.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/nn/convolution.h"

namespace doppel {

// Weights [outputs, inputs, kernel, kernel] as the product takes them: [outputs, kernel, kernel, inputs].
std::vector<float> weights_of_patches(const ConvShape& shape, const float* weight);

class PatchSums {
 public:
  explicit PatchSums(const ConvShape& shape);
  int64_t image_floats() const { return image_floats_; }  // of the patches of one image

  // patches [images, output pixels, kernel, kernel, inputs] to y [images, height, width, inputs], on one thread. `bias`
  // [inputs] may be null.
  void sum(const float* patches, int64_t images, const float* bias, Rectified rectified, float* y) const;
  // Rounded to bfloat16, halves to even.
  void sum(const float* patches, int64_t images, const float* bias, Rectified rectified, uint16_t* y) const;

 private:
  template <class Out>
  void sum_to(const float* patches, int64_t images, const float* bias, Rectified rectified, Out* y) const;

  int64_t channels_, pixels_, image_floats_;
  std::vector<int32_t> first_;   // [pixels + 1] of each pixel's taps
  std::vector<int32_t> offset_;  // of each tap in an image's patches
  std::vector<float> no_bias_;
};

}  // namespace doppel
