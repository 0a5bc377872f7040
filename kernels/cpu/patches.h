// Sums of patches: the second half of a transposed convolution that is done as a matrix product. The product of an
// image's values [output pixels, outputs] with weights [outputs, taps, inputs] is a patch of every output pixel; here
// each input pixel takes the sum of what the patches that cover it have for it. `shape`, inputs and outputs are those
// of the convolution: sums have the inputs' shape.
#pragma once

#include <cstdint>
#include <vector>

#include "kernels/network.h"

namespace doppel {

// Visits all (output pixel, input pixel, kernel pixel) that meet.
template <class Visit>
void for_each_tap(const ConvShape& s, const Visit& visit) {
  for (int64_t oy = 0; oy < s.output_height(); ++oy)
    for (int64_t ox = 0; ox < s.output_width(); ++ox)
      for (int64_t ky = 0; ky < s.kernel; ++ky)
        for (int64_t kx = 0; kx < s.kernel; ++kx) {
          const int64_t y = oy * s.stride + ky - s.padding, x = ox * s.stride + kx - s.padding;
          if (y < 0 || y >= s.height || x < 0 || x >= s.width) continue;
          visit(oy * s.output_width() + ox, y * s.width + x, ky * s.kernel + kx);
        }
}

// Weights [outputs, inputs, kernel, kernel] as the product takes them: [outputs, kernel, kernel, inputs].
std::vector<float> weights_of_patches(const ConvShape& shape, const float* weight);

class PatchSums {
 public:
  explicit PatchSums(const ConvShape& shape);
  int64_t image_floats() const { return image_floats_; }  // of the patches of one image

  // patches [images, output pixels, kernel, kernel, inputs] to y [images, height, width, inputs], on one thread. `bias`
  // [inputs] may be null.
  void sum(const float* patches, int64_t images, const float* bias, bool rectified, float* y) const;
  // Rounded to bfloat16, halves to even.
  void sum(const float* patches, int64_t images, const float* bias, bool rectified, uint16_t* y) const;

 private:
  template <class Out>
  void sum_to(const float* patches, int64_t images, const float* bias, bool rectified, Out* y) const;

  int64_t channels_, pixels_, image_floats_;
  std::vector<int32_t> first_;   // [pixels + 1] of each pixel's taps
  std::vector<int32_t> offset_;  // of each tap in an image's patches
  std::vector<float> no_bias_;
};

}  // namespace doppel
