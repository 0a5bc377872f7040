// Images as a network trains on them: in single precision, moved a little at each sight.
#pragma once

#include <cstdint>

#include "engine/image/images.h"

namespace doppel {

// How far an image is moved at most, each way, evenly spread. 0 for all: not at all.
struct Augmentation {
  double shift = 2;      // pixels
  double rotation = 10;  // degrees about the centre
  double scale = 0.1;    // of its size
  bool flips = false;    // left and right exchanged, every other time

  bool is_none() const { return shift == 0 && rotation == 0 && scale == 0 && !flips; }
};
inline constexpr Augmentation kNoMotion = {0, 0, 0, false};

// Levels / 255 [height, width, channels].
void levels_of(const uint8_t* image, int64_t size, float* levels);

// The same of an image moved as (seed, use, row) say: bilinear interpolation, borders go on as they end.
void augmented_levels_of(const uint8_t* image, const ImageShape& shape, const Augmentation& augmentation, uint64_t seed,
                         uint32_t use, uint64_t row, float* levels);

}  // namespace doppel
