#include "engine/image/augment.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/philox.h"
#include "kernels/random.h"

namespace doppel {
namespace {

constexpr float kLevel = 1.0f / 255;

// Of -1 .. 1.
double even(uint32_t word) {
  return static_cast<double>(word) * 0x1p-31 - 1;
}

// Where a pixel of the moved image lies in the image: at + along_x x + along_y y.
struct Motion {
  double at_x, at_y, x_along_x, y_along_x, x_along_y, y_along_y;
};

Motion draw_motion(const ImageShape& shape, const Augmentation& how, uint64_t seed, uint32_t use, uint64_t row) {
  const auto first = philox_words(seed, 2 * row, use, Stream::kFit);
  const auto second = philox_words(seed, 2 * row + 1, use, Stream::kFit);
  const double angle = how.rotation * even(first[0]) * M_PI / 180;
  const double size = 1 + how.scale * even(first[1]);
  const double cosine = std::cos(angle) / size, sine = std::sin(angle) / size;
  const double flip = how.flips && second[0] % 2 != 0 ? -1 : 1;
  Motion motion{0, 0, flip * cosine, flip * sine, -sine, cosine};
  const double centre_x = (shape.width - 1) / 2.0, centre_y = (shape.height - 1) / 2.0;
  motion.at_x = centre_x + how.shift * even(first[2]) - motion.x_along_x * centre_x - motion.x_along_y * centre_y;
  motion.at_y = centre_y + how.shift * even(first[3]) - motion.y_along_x * centre_x - motion.y_along_y * centre_y;
  return motion;
}

}  // namespace

void levels_of(const uint8_t* image, int64_t size, float* levels) {
  for (int64_t i = 0; i < size; ++i) levels[i] = static_cast<float>(image[i]) * kLevel;
}

void augmented_levels_of(const uint8_t* image, const ImageShape& shape, const Augmentation& augmentation, uint64_t seed,
                         uint32_t use, uint64_t row, float* levels) {
  if (augmentation.is_none()) return levels_of(image, shape.size(), levels);
  const Motion motion = draw_motion(shape, augmentation, seed, use, row);
  const int32_t channels = shape.channels, right = shape.width - 1, bottom = shape.height - 1;
  for (int32_t y = 0; y < shape.height; ++y)
    for (int32_t x = 0; x < shape.width; ++x) {
      const double from_x = std::clamp(motion.at_x + motion.x_along_x * x + motion.x_along_y * y, 0.0, double(right));
      const double from_y = std::clamp(motion.at_y + motion.y_along_x * x + motion.y_along_y * y, 0.0, double(bottom));
      const auto left = static_cast<int32_t>(from_x), top = static_cast<int32_t>(from_y);
      const auto share_x = static_cast<float>(from_x - left), share_y = static_cast<float>(from_y - top);
      const int64_t to_right = left < right ? channels : 0, down = top < bottom ? int64_t{shape.width} * channels : 0;
      const uint8_t* pixel = image + (int64_t{top} * shape.width + left) * channels;
      for (int32_t c = 0; c < channels; ++c, ++pixel) {
        const auto a = static_cast<float>(pixel[0]), b = static_cast<float>(pixel[to_right]);
        const auto d = static_cast<float>(pixel[down]), e = static_cast<float>(pixel[down + to_right]);
        const float above = a + share_x * (b - a), below = d + share_x * (e - d);
        *levels++ = kLevel * (above + share_y * (below - above));
      }
    }
}

}  // namespace doppel
