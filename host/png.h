// One image as PNG bytes and back, by libpng.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/image/images.h"
#include "host/encoders/encoder.h"

namespace doppel {

// Appends the image's levels, [height, width, channels], to `pixels`: grey of 1, 2, 4 or 8 bits, colour of 8 bits or
// with a palette, as they stand in the file, whatever gamma it names. `name` is for messages. Throws InputError for
// what is damaged, for 16 bits, for transparency and for sides beyond `largest_side`; `pixels` is as before then.
ImageShape decode_png(std::span<const std::byte> bytes, const std::string& name, int32_t largest_side,
                      std::vector<uint8_t>& pixels);

// Appends a PNG file of levels [height, width, channels]. `level` is zlib's, 0 (none) to 9 (most). Bytes depend on the
// versions of libpng and zlib.
void encode_png(const ImageShape& shape, const uint8_t* pixels, int level, ByteBuffer& out);

std::string png_library_version();  // "1.6.39, zlib 1.2.13"

}  // namespace doppel
