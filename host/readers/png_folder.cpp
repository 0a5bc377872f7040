#include <algorithm>
#include <array>
#include <cctype>
#include <filesystem>
#include <string_view>

#include "host/png.h"
#include "host/readers/image_formats.h"
#include "host/readers/images.h"
#include "host/writer.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;
using namespace std::string_view_literals;

// Other files of images, which are not to be left out without a word.
constexpr std::array kOtherImages = {".jpg"sv,  ".jpeg"sv, ".bmp"sv, ".gif"sv, ".tif"sv,
                                     ".tiff"sv, ".webp"sv, ".ppm"sv, ".pgm"sv};

std::string small_extension(const fs::path& path) {
  std::string extension = path.extension().string();
  for (char& c : extension) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return extension;
}

bool is_image_file(const fs::path& path) {
  const std::string extension = small_extension(path);
  return extension == ".png" || std::find(kOtherImages.begin(), kOtherImages.end(), extension) != kOtherImages.end();
}

struct Listing {
  std::vector<std::string> folders, images;  // names, sorted
};

// Hidden names and files of other kinds (a licence, a list) are left out.
Listing list_folder_of_images(const fs::path& folder) {
  Listing listing;
  std::error_code error;
  for (const fs::directory_entry& item : fs::directory_iterator(folder, error)) {
    const std::string name = item.path().filename().string(), extension = small_extension(name);
    if (name.front() == '.') continue;
    if (item.is_directory()) {
      listing.folders.push_back(name);
    } else if (extension == ".png") {
      listing.images.push_back(name);
    } else if (is_image_file(name)) {
      throw InputError(item.path().string() + ": is no PNG file: convert it (as by ImageMagick's mogrify -format png)");
    }
  }
  if (error) throw InputError(folder.string() + ": cannot be read: " + error.message());
  std::sort(listing.folders.begin(), listing.folders.end());
  std::sort(listing.images.begin(), listing.images.end());
  return listing;
}

void read_files(const fs::path& folder, const std::vector<std::string>& names, ImageCollector& to) {
  for (const std::string& name : names) {
    const std::string path = (folder / name).string();
    to.append_png(path, read_file(path));
  }
}

}  // namespace

void ImageCollector::append_png(const std::string& name, std::span<const std::byte> bytes) {
  std::vector<uint8_t> pixels;
  const ImageShape shape = decode_png(bytes, name, kLargestImageSide, pixels);
  expect(name, shape, 1);
  images.pixels.insert(images.pixels.end(), pixels.begin(), pixels.end());
}

bool holds_image_files(const std::string& folder) {
  std::error_code error;
  for (const fs::directory_entry& item : fs::directory_iterator(folder, error)) {
    if (is_image_file(item.path())) return true;
    if (!item.is_directory(error)) continue;
    for (const fs::directory_entry& inner : fs::directory_iterator(item.path(), error))
      if (is_image_file(inner.path())) return true;
  }
  return false;
}

FileLabels read_png_folder(const std::string& path, ImageCollector& to) {
  const Listing top = list_folder_of_images(path);
  FileLabels labels;
  for (const std::string& name : top.folders) {
    const fs::path folder = fs::path(path) / name;
    const Listing of_class = list_folder_of_images(folder);
    if (of_class.images.empty()) continue;
    if (!top.images.empty())
      throw InputError(path + ": holds " + top.images.front() + " beside the class folder '" + name +
                       "': give every image a class, or none");
    read_files(folder, of_class.images, to);
    labels.texts.insert(labels.texts.end(), of_class.images.size(), name);
  }
  if (labels.texts.empty() && top.images.empty())
    throw InputError(
        path + ": is a folder without PNG files: images are in folders called as their classes; a table is a file");
  read_files(path, top.images, to);
  return labels;
}

}  // namespace doppel
