// Image files as Images: grey or colour, of sides up to 128. What the path is decides:
//   an IDX file   train-images-idx3-ubyte[.gz] (idx4: [count, height, width, 3]) with its labels beside it, called the
//                 same but for labels and idx1 in the place of images and idx3; labels are numbers 0 to 255
//   an NPY file   uint8 [count, height, width] or [count, height, width, 1 or 3]; of NAME.npy the labels are in
//                 NAME_labels.npy, whole numbers or texts [count]
//   a folder      of a folder of PNG files a class, called as its label is; or of PNG files without labels; or one that
//                 doppel generate wrote as idx, npy or png: its files one after another
//   a tar archive of PNG files or of such class folders
// Files may be compressed (byte_source.h). Label names are in ascending order, numbers by their value.
#pragma once

#include <cstdint>
#include <string>

#include "engine/image/images.h"

namespace doppel {

inline constexpr int32_t kLargestImageSide = 128;

struct ImageReadOptions {
  std::string labels;                         // a file of labels, IDX or NPY; "": looked for beside the images
  int64_t memory_bytes = int64_t{512} << 20;  // that images may occupy
};

// Whether a path is taken for images: a folder with files of images in it, or a file that begins as IDX, NPY or PNG
// does, or a tar archive. Throws InputError where there is nothing or it cannot be read.
bool holds_images(const std::string& path);

// Throws InputError naming the file, what is wrong with it and what to do; UsageError for more images than the memory
// holds, and for a file of labels where the path says them otherwise.
Images read_images(const std::string& path, const ImageReadOptions& options = {});

}  // namespace doppel
