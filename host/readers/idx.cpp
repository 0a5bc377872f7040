#include <array>
#include <cstring>

#include "host/readers/image_formats.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr uint8_t kBytes = 8;  // the type of values that images have

uint32_t big_endian(const uint8_t* bytes) {
  return uint32_t{bytes[0]} << 24 | uint32_t{bytes[1]} << 16 | uint32_t{bytes[2]} << 8 | bytes[3];
}

// The dimensions that the file's head says.
std::vector<int64_t> read_head(const std::string& path, ByteSource& from) {
  std::array<uint8_t, 4> magic{};
  if (from.read(reinterpret_cast<char*>(magic.data()), magic.size()) < magic.size() || magic[0] != 0 || magic[1] != 0)
    throw InputError(path + ": is no IDX file: its first two bytes are not 0");
  if (magic[2] != kBytes)
    throw InputError(path + ": byte 3: values are of type " + std::to_string(magic[2]) +
                     ", not unsigned bytes (8): write it again as bytes");
  std::vector<int64_t> dimensions;
  for (int i = 0; i < magic[3]; ++i) {
    std::array<uint8_t, 4> dimension{};
    if (from.read(reinterpret_cast<char*>(dimension.data()), dimension.size()) < dimension.size())
      throw InputError(path + ": ends within its head: copy it again");
    dimensions.push_back(big_endian(dimension.data()));
  }
  return dimensions;
}

}  // namespace

void read_idx_images(const std::string& path, ImageCollector& to) {
  ByteSource from(path);
  const std::vector<int64_t> dimensions = read_head(path, from);
  if (dimensions.size() == 1) throw InputError(path + ": holds labels, not images: name the file of the images");
  if (dimensions.size() < 3 || dimensions.size() > 4)
    throw InputError(path + ": byte 4: has " + std::to_string(dimensions.size()) +
                     " dimensions, and images have 3 (count, height, width) or 4 (and channels)");
  for (size_t i = 1; i < dimensions.size(); ++i)
    if (dimensions[i] < 1 || dimensions[i] > INT32_MAX)
      throw InputError(path + ": byte " + std::to_string(4 * i + 5) + ": dimension " + std::to_string(i + 1) + " is " +
                       std::to_string(dimensions[i]));
  const ImageShape shape{dimensions.size() == 4 ? static_cast<int32_t>(dimensions[3]) : 1,
                         static_cast<int32_t>(dimensions[1]), static_cast<int32_t>(dimensions[2])};
  to.expect(path, shape, dimensions[0]);
  to.append_rest(path, from, dimensions[0]);
}

FileLabels read_idx_labels(const std::string& path) {
  ByteSource from(path);
  const std::vector<int64_t> dimensions = read_head(path, from);
  if (dimensions.size() != 1)
    throw InputError(path + ": byte 4: has " + std::to_string(dimensions.size()) + " dimensions, and labels have one");
  FileLabels labels;
  std::array<char, 1 << 14> block;
  for (size_t got = block.size(); got == block.size();) {  // by what is there, not by what the head says
    got = from.read(block.data(), block.size());
    for (size_t i = 0; i < got; ++i) labels.numbers.push_back(static_cast<uint8_t>(block[i]));
    if (labels.count() > dimensions[0]) break;
  }
  if (labels.count() != dimensions[0])
    throw InputError(path + ": says that it has " + std::to_string(dimensions[0]) + " labels and has " +
                     (labels.count() > dimensions[0] ? "more" : std::to_string(labels.count())) + ": copy it again");
  return labels;
}

}  // namespace doppel
