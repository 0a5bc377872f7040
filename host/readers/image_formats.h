// The image readers of this folder, a file a format; for images.cpp.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "engine/image/images.h"
#include "host/readers/byte_source.h"

namespace doppel {

// Labels as a file has them: numbers or texts, one of the two.
struct FileLabels {
  std::vector<int64_t> numbers;
  std::vector<std::string> texts;
  int64_t count() const { return static_cast<int64_t>(numbers.size() + texts.size()); }
  void append(const FileLabels& more);
};

// Images as they are read, file after file, within a limit of memory.
class ImageCollector {
 public:
  explicit ImageCollector(int64_t memory_bytes) : memory_bytes_(memory_bytes) {}

  // Says that the file has `count` more images of a shape. Throws InputError for a side or a number of channels that
  // images do not have and for another shape than the files' before; UsageError for more than the memory holds.
  void expect(const std::string& path, const ImageShape& shape, int64_t count);
  // Their levels, up to the file's end. Throws InputError where there are fewer or more.
  void append_rest(const std::string& path, ByteSource& from, int64_t count);
  void append_png(const std::string& name, std::span<const std::byte> bytes);  // `name` is for messages

  Images images;  // labels are filled in at the end

 private:
  void check_shape(const std::string& path, const ImageShape& shape);

  int64_t memory_bytes_;
  std::string first_path_;
};

// IDX (http://yann.lecun.com/exdb/mnist: "the IDX file format"): two zero bytes, the type (8: bytes), the number of
// dimensions, each of them in 4 bytes, big-endian, then the values.
void read_idx_images(const std::string& path, ImageCollector& to);
FileLabels read_idx_labels(const std::string& path);

// NPY (https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html), versions 1 to 3, C order.
void read_npy_images(const std::string& path, ImageCollector& to);
FileLabels read_npy_labels(const std::string& path);

// A folder of class folders, whose names are the labels, or of PNG files: no labels then.
FileLabels read_png_folder(const std::string& path, ImageCollector& to);
// The same in a tar archive (host/tar.h), in its order.
FileLabels read_png_tar(const std::string& path, ImageCollector& to);
// Whether files of images, also of kinds that are not read, are in a folder or in the folders in it.
bool holds_image_files(const std::string& folder);

// The text "28 x 28 grey".
std::string describe(const ImageShape& shape);

}  // namespace doppel
