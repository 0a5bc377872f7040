// Images side by side, as one picture.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/image/images.h"
#include "host/encoders/encoder.h"

namespace doppel {

// Appends a PNG file of lines of images, each of at most `in_line`, [height, width, channels] as `image` says, on white
// with 2 pixels between them; no lines make one empty one.
void encode_image_grid(const ImageShape& image, const std::vector<std::vector<const uint8_t*>>& lines, int32_t in_line,
                       ByteBuffer& out);

}  // namespace doppel
