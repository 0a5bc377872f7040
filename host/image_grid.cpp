#include "host/image_grid.h"

#include <algorithm>
#include <cstring>

#include "host/png.h"

namespace doppel {
namespace {

constexpr int32_t kGap = 2;
constexpr uint8_t kBackground = 255;
constexpr int kPngLevel = 6;  // zlib's

}  // namespace

void encode_image_grid(const ImageShape& image, const std::vector<std::vector<const uint8_t*>>& lines, int32_t in_line,
                       ByteBuffer& out) {
  const auto height = static_cast<int32_t>(std::max<size_t>(lines.size(), 1));
  const ImageShape shape{image.channels, height * (image.height + kGap) + kGap, in_line * (image.width + kGap) + kGap};
  std::vector<uint8_t> sheet(static_cast<size_t>(shape.size()), kBackground);
  const auto row_bytes = static_cast<size_t>(image.width * image.channels);
  for (size_t line = 0; line < lines.size(); ++line)
    for (size_t i = 0; i < lines[line].size(); ++i)
      for (int32_t row = 0; row < image.height; ++row) {
        const int64_t y = kGap + static_cast<int64_t>(line) * (image.height + kGap) + row;
        const int64_t x = kGap + static_cast<int64_t>(i) * (image.width + kGap);
        std::memcpy(sheet.data() + (y * shape.width + x) * shape.channels,
                    lines[line][i] + static_cast<size_t>(row) * row_bytes, row_bytes);
      }
  encode_png(shape, sheet.data(), kPngLevel, out);
}

}  // namespace doppel
