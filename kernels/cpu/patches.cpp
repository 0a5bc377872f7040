// Compiled for each instruction set: lanes are channels.
#include "kernels/cpu/patches.h"

#include <algorithm>
#include <cstddef>

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/patches.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>
// After them:
#include "kernels/common/bfloat16.h"

#ifndef DOPPEL_KERNELS_CPU_PATCH_IMAGE
#define DOPPEL_KERNELS_CPU_PATCH_IMAGE
namespace doppel {
namespace {

struct PatchImage {
  const float* patches;
  const int32_t* first;
  const int32_t* offset;
  const float* bias;
  int64_t pixels, channels;
  float least;  // of the sums: 0 where they are rectified
};

}  // namespace
}  // namespace doppel
#endif

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;

void store(hn::Vec<Floats> values, float* to) {
  hn::StoreU(values, Floats(), to);
}
void store(float value, float* to) {
  *to = value;
}
void store(hn::Vec<Floats> values, uint16_t* to) {
  const hn::RebindToUnsigned<Floats> bits;
  const hn::Rebind<uint16_t, Floats> upper;
  const auto v = hn::BitCast(bits, values);
  const auto odd = hn::And(hn::ShiftRight<16>(v), hn::Set(bits, 1u));
  const auto rounded = hn::ShiftRight<16>(hn::Add(hn::Add(v, hn::Set(bits, 0x7fffu)), odd));
  hn::StoreU(hn::TruncateTo(upper, rounded), upper, to);
}
void store(float value, uint16_t* to) {
  *to = bfloat16_of_float(value).bits;
}

template <class Out>
void sum_image(const PatchImage& image, Out* y) {
  const Floats tag;
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  const int64_t whole = image.channels / lanes * lanes;
  for (int64_t pixel = 0; pixel < image.pixels; ++pixel, y += image.channels) {
    const int32_t *begin = image.offset + image.first[pixel], *end = image.offset + image.first[pixel + 1];
    for (int64_t c = 0; c < whole; c += lanes) {
      auto sum = hn::LoadU(tag, image.bias + c);
      for (const int32_t* tap = begin; tap < end; ++tap) sum = hn::Add(sum, hn::LoadU(tag, image.patches + *tap + c));
      store(hn::Max(sum, hn::Set(tag, image.least)), y + c);
    }
    for (int64_t c = whole; c < image.channels; ++c) {
      float sum = image.bias[c];
      for (const int32_t* tap = begin; tap < end; ++tap) sum += image.patches[*tap + c];
      store(std::max(sum, image.least), y + c);
    }
  }
}

void sum_to_floats(const PatchImage& image, float* y) {
  sum_image(image, y);
}
void sum_to_bfloat16(const PatchImage& image, uint16_t* y) {
  sum_image(image, y);
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include <limits>

namespace doppel {

HWY_EXPORT(sum_to_floats);
HWY_EXPORT(sum_to_bfloat16);

std::vector<float> weights_of_patches(const ConvShape& shape, const float* weight) {
  const int64_t taps = shape.taps();
  std::vector<float> result(static_cast<size_t>(shape.weights()));
  auto to = result.begin();
  for (int64_t output = 0; output < shape.outputs; ++output)
    for (int64_t tap = 0; tap < taps; ++tap)
      for (int64_t input = 0; input < shape.inputs; ++input)
        *to++ = weight[(output * shape.inputs + input) * taps + tap];
  return result;
}

PatchSums::PatchSums(const ConvShape& shape)
    : channels_(shape.inputs),
      pixels_(shape.height * shape.width),
      image_floats_(shape.output_pixels() * shape.taps() * shape.inputs),
      no_bias_(static_cast<size_t>(shape.inputs)) {
  std::vector<std::vector<int32_t>> offsets(static_cast<size_t>(pixels_));
  for_each_tap(shape, [&](int64_t output, int64_t input, int64_t tap) {
    offsets[static_cast<size_t>(input)].push_back(static_cast<int32_t>((output * shape.taps() + tap) * shape.inputs));
  });
  for (const std::vector<int32_t>& of_pixel : offsets) {
    first_.push_back(static_cast<int32_t>(offset_.size()));
    offset_.insert(offset_.end(), of_pixel.begin(), of_pixel.end());
  }
  first_.push_back(static_cast<int32_t>(offset_.size()));
}

template <class Out>
void PatchSums::sum_to(const float* patches, int64_t images, const float* bias, bool rectified, Out* y) const {
  PatchImage image{patches,
                   first_.data(),
                   offset_.data(),
                   bias != nullptr ? bias : no_bias_.data(),
                   pixels_,
                   channels_,
                   rectified ? 0 : -std::numeric_limits<float>::infinity()};
  for (int64_t i = 0; i < images; ++i, image.patches += image_floats_, y += pixels_ * channels_) {
    if constexpr (std::is_same_v<Out, float>)
      HWY_DYNAMIC_DISPATCH(sum_to_floats)(image, y);
    else
      HWY_DYNAMIC_DISPATCH(sum_to_bfloat16)(image, y);
  }
}

void PatchSums::sum(const float* patches, int64_t images, const float* bias, bool rectified, float* y) const {
  sum_to(patches, images, bias, rectified, y);
}
void PatchSums::sum(const float* patches, int64_t images, const float* bias, bool rectified, uint16_t* y) const {
  sum_to(patches, images, bias, rectified, y);
}

}  // namespace doppel
#endif
