// Small image files made by tests.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/image/images.h"
#include "host/png.h"
#include "tests/host/test_folder.h"

namespace doppel {

// `count` images whose level at (row, column, channel) of image i is a function of the four; label i is i % labels.
inline Images numbered_images(int64_t count, const ImageShape& shape, int32_t labels) {
  Images images;
  images.shape = shape;
  for (int64_t i = 0; i < count; ++i)
    for (int64_t j = 0; j < shape.size(); ++j) images.pixels.push_back(static_cast<uint8_t>(i * 31 + j * 7 + j / 5));
  for (int32_t label = 0; label < labels; ++label) images.label_names.push_back(std::to_string(label));
  for (int64_t i = 0; i < count && labels > 0; ++i) images.labels.push_back(static_cast<int32_t>(i % labels));
  return images;
}

inline std::string as_text(std::span<const uint8_t> bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

inline std::string idx_text(const std::vector<uint32_t>& dimensions, std::span<const uint8_t> values) {
  std::string text = {'\0', '\0', '\x08', static_cast<char>(dimensions.size())};
  for (const uint32_t dimension : dimensions)
    for (int shift = 24; shift >= 0; shift -= 8) text += static_cast<char>(dimension >> shift);
  return text + as_text(values);
}

// NAME-images-idx3-ubyte and, where there are labels, NAME-labels-idx1-ubyte.
inline void write_idx(const std::string& name, const Images& images) {
  std::vector<uint32_t> dimensions = {static_cast<uint32_t>(images.count()), static_cast<uint32_t>(images.shape.height),
                                      static_cast<uint32_t>(images.shape.width)};
  if (images.shape.channels > 1) dimensions.push_back(static_cast<uint32_t>(images.shape.channels));
  const std::string kind = images.shape.channels > 1 ? "-images-idx4-ubyte" : "-images-idx3-ubyte";
  write_text(name + kind, idx_text(dimensions, images.pixels));
  if (images.labels.empty()) return;
  const std::vector<uint8_t> labels(images.labels.begin(), images.labels.end());
  write_text(name + "-labels-idx1-ubyte", idx_text({static_cast<uint32_t>(labels.size())}, labels));
}

inline std::string npy_text(const std::string& type, const std::string& shape, const std::string& values) {
  std::string head = "{'descr': '" + type + "', 'fortran_order': False, 'shape': " + shape + ", }";
  head.append(64 - (10 + head.size() + 1) % 64, ' ');
  head += '\n';
  std::string text("\x93NUMPY\x01\0", 8);
  text += static_cast<char>(head.size() & 0xff);
  text += static_cast<char>(head.size() >> 8);
  return text + head + values;
}

inline std::string png_text(const ImageShape& shape, const uint8_t* pixels) {
  ByteBuffer bytes;
  encode_png(shape, pixels, 6, bytes);
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

}  // namespace doppel
