// Images as bytes: what readers of image files give, what networks learn from, what encoders write.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

namespace doppel {

struct ImageShape {
  int32_t channels = 1;  // 1 is grey, 3 is red, green and blue
  int32_t height = 0, width = 0;

  int64_t pixels() const { return int64_t{height} * width; }
  int64_t size() const { return pixels() * channels; }  // bytes of an image
  bool operator==(const ImageShape&) const = default;
};

// Images of one shape, in memory. A byte is a level from 0 (none) to 255 (most).
struct Images {
  ImageShape shape;
  std::vector<uint8_t> pixels;  // [count, height, width, channels], as PNG has them
  std::vector<int32_t> labels;  // [count] numbers of label names, or empty
  std::vector<std::string> label_names;

  int64_t count() const { return shape.size() == 0 ? 0 : static_cast<int64_t>(pixels.size()) / shape.size(); }
  const uint8_t* image(int64_t i) const { return pixels.data() + i * shape.size(); }
};

}  // namespace doppel
