// Made-up images that tests of image models learn.
#pragma once

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/image/images.h"

namespace doppel {

// Bars across an image, of a direction a class, at a place and of a brightness that vary; a little noise.
inline Images make_bars(int64_t count, ImageShape shape, int32_t classes, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<double> even(-1, 1);
  Images images;
  images.shape = shape;
  for (int32_t c = 0; c < classes; ++c) images.label_names.push_back("bar " + std::to_string(c));
  for (int64_t i = 0; i < count; ++i) {
    const auto label = static_cast<int32_t>(random() % static_cast<uint64_t>(classes));
    images.labels.push_back(label);
    const double angle = M_PI * label / classes, place = 0.25 * shape.width * even(random),
                 level = 200 + 40 * even(random);
    for (int32_t y = 0; y < shape.height; ++y)
      for (int32_t x = 0; x < shape.width; ++x) {
        const double across =
            (x - shape.width / 2.0) * std::cos(angle) + (y - shape.height / 2.0) * std::sin(angle) - place;
        const double value = level * std::exp(-0.5 * across * across) + 5 * even(random);
        for (int32_t c = 0; c < shape.channels; ++c)
          images.pixels.push_back(static_cast<uint8_t>(std::clamp(value / (c + 1), 0.0, 255.0)));
      }
  }
  return images;
}

// A part of images.
inline Images part_of(const Images& images, int64_t first, int64_t count) {
  Images part;
  part.shape = images.shape;
  part.label_names = images.label_names;
  part.pixels.assign(images.image(first), images.image(first) + count * images.shape.size());
  part.labels.assign(images.labels.begin() + first, images.labels.begin() + first + count);
  return part;
}

}  // namespace doppel
