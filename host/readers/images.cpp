#include "host/readers/images.h"

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <filesystem>
#include <map>
#include <optional>

#include "host/readers/image_formats.h"
#include "host/tar.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;

constexpr const char* kImagesOf[] = {"images-idx3", "images.idx3", "images-idx4", "images.idx4"};
constexpr const char* kLabelsOf[] = {"labels-idx1", "labels.idx1", "labels-idx1", "labels.idx1"};
constexpr const char* kNpyLabels = "_labels.npy";
constexpr int64_t kFirstStepBytes = 1 << 16;

enum class ImageKind { kNone, kIdx, kNpy, kPng, kTar };

ImageKind kind_of(const std::string& path) {
  ByteSource from(path);
  char bytes[kTarBlock];
  const size_t got = from.read(bytes, sizeof bytes);
  const std::string_view first(bytes, got);
  if (got >= 4 && first.starts_with(std::string_view("\0\0", 2)) &&
      (bytes[2] == 8 || bytes[2] == 9 || (bytes[2] >= 11 && bytes[2] <= 14)))
    return ImageKind::kIdx;
  if (first.starts_with("\x93NUMPY")) return ImageKind::kNpy;
  if (first.starts_with("\x89PNG")) return ImageKind::kPng;
  if (got == kTarBlock && first.substr(offsetof(TarHead, magic)).starts_with("ustar")) return ImageKind::kTar;
  return ImageKind::kNone;
}

// `path` with one of its parts replaced; "" where it has none. The last part counts: folders may be called so, too.
std::string with_replaced(const std::string& path, const std::string& part, const std::string& by) {
  const size_t at = path.rfind(part);
  if (at == std::string::npos || path.find('/', at) != std::string::npos) return "";
  return path.substr(0, at) + by + path.substr(at + part.size());
}

// Names that labels may have beside images.
std::vector<std::string> label_paths(const std::string& path) {
  std::vector<std::string> paths;
  const auto add = [&](const std::string& candidate) {
    if (candidate.empty()) return;
    paths.push_back(candidate);
    paths.push_back(candidate.ends_with(".gz") ? candidate.substr(0, candidate.size() - 3) : candidate + ".gz");
  };
  for (size_t i = 0; i < std::size(kImagesOf); ++i) add(with_replaced(path, kImagesOf[i], kLabelsOf[i]));
  if (!path.ends_with(kNpyLabels)) add(with_replaced(path, ".npy", kNpyLabels));
  return paths;
}

FileLabels read_labels(const std::string& path) {
  switch (kind_of(path)) {
    case ImageKind::kIdx:
      return read_idx_labels(path);
    case ImageKind::kNpy:
      return read_npy_labels(path);
    default:
      throw InputError(path + ": is no file of labels: they are IDX (idx1) or NPY");
  }
}

// Labels of the images of one file, `count`; none where there is no such file.
FileLabels find_labels(const std::string& path, const std::string& told, int64_t count) {
  std::optional<std::string> found;
  if (!told.empty()) found = told;
  for (const std::string& candidate : label_paths(path))
    if (!found && fs::exists(candidate)) found = candidate;
  if (!found) return {};
  FileLabels labels = read_labels(*found);
  if (labels.count() != count)
    throw InputError(*found + ": has " + std::to_string(labels.count()) + " labels, and " + path + " has " +
                     std::to_string(count) + " images: they do not belong together");
  return labels;
}

FileLabels read_file_of(ImageKind kind, const std::string& path, const std::string& labels, ImageCollector& to) {
  const int64_t before = to.images.count();
  if (kind == ImageKind::kTar) {
    if (!labels.empty()) throw UsageError("'" + path + "' is an archive, which has its labels in it: name no other");
    return read_png_tar(path, to);
  }
  if (kind == ImageKind::kIdx) {
    read_idx_images(path, to);
  } else {
    read_npy_images(path, to);
  }
  return find_labels(path, labels, to.images.count() - before);
}

// The files of images that doppel generate wrote into a folder, in the order of their rows.
std::vector<std::string> generated_files(const std::string& folder) {
  std::vector<std::string> paths;
  std::error_code error;
  for (const fs::directory_entry& item : fs::directory_iterator(folder, error)) {
    const std::string name = item.path().filename().string();
    const bool is_idx = name.find(kImagesOf[0]) != std::string::npos;
    const bool is_npy = name.ends_with(".npy") && !name.ends_with(kNpyLabels);
    if (name.starts_with("part-") && (is_idx || is_npy || name.ends_with(".tar")))
      paths.push_back(item.path().string());
  }
  if (error) throw InputError(folder + ": cannot be read: " + error.message());
  std::sort(paths.begin(), paths.end());
  return paths;
}

FileLabels read_generated(const std::vector<std::string>& paths, ImageCollector& to) {
  FileLabels labels;
  for (const std::string& path : paths) {
    labels.append(read_file_of(kind_of(path), path, "", to));
    if (labels.count() != 0 && labels.count() != to.images.count())
      throw InputError(path + ": has no labels beside it, and other files of its folder have");
    if (!labels.numbers.empty() && !labels.texts.empty())
      throw InputError(path + ": its labels are of another type than those of " + paths.front());
  }
  return labels;
}

std::optional<int64_t> as_number(const std::string& text) {
  int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || std::to_string(number) != text) return std::nullopt;
  return number;
}

template <class Label, class Name>
void name_labels(const std::vector<Label>& labels, Name name_of, Images& images) {
  std::map<Label, int32_t> numbers;
  for (const Label& label : labels) numbers.emplace(label, 0);
  for (auto& [label, number] : numbers) {
    number = static_cast<int32_t>(images.label_names.size());
    images.label_names.push_back(name_of(label));
  }
  for (const Label& label : labels) images.labels.push_back(numbers.at(label));
}

void set_labels(FileLabels labels, Images& images) {
  const bool are_numbers = std::all_of(labels.texts.begin(), labels.texts.end(),
                                       [](const std::string& text) { return as_number(text).has_value(); });
  if (!labels.texts.empty() && !are_numbers)
    return name_labels(
        labels.texts, [](const auto& text) { return text; }, images);
  for (const std::string& text : labels.texts) labels.numbers.push_back(*as_number(text));
  name_labels(
      labels.numbers, [](int64_t number) { return std::to_string(number); }, images);
}

}  // namespace

std::string describe(const ImageShape& shape) {
  return std::to_string(shape.height) + " x " + std::to_string(shape.width) +
         (shape.channels == 1 ? " grey" : " colour");
}

void FileLabels::append(const FileLabels& more) {
  numbers.insert(numbers.end(), more.numbers.begin(), more.numbers.end());
  texts.insert(texts.end(), more.texts.begin(), more.texts.end());
}

void ImageCollector::check_shape(const std::string& path, const ImageShape& shape) {
  const std::string size = std::to_string(shape.height) + " x " + std::to_string(shape.width);
  if (shape.height > kLargestImageSide || shape.width > kLargestImageSide)
    throw InputError(path + ": its images are " + size + ", and images are at most " +
                     std::to_string(kLargestImageSide) + " x " + std::to_string(kLargestImageSide) +
                     ": make them smaller");
  if (shape.channels != 1 && shape.channels != 3)
    throw InputError(path + ": its images have " + std::to_string(shape.channels) +
                     " channels, and images have 1 (grey) or 3 (red, green, blue), the last dimension");
  if (!images.pixels.empty() && shape != images.shape)
    throw InputError(path + ": is " + describe(shape) + ", and " + first_path_ + " is " + describe(images.shape) +
                     ": make all alike");
}

void ImageCollector::expect(const std::string& path, const ImageShape& shape, int64_t count) {
  check_shape(path, shape);
  if (images.pixels.empty()) {
    images.shape = shape;
    first_path_ = path;
  }
  const int64_t bytes = static_cast<int64_t>(images.pixels.size()) + count * shape.size();
  if (bytes > memory_bytes_)
    throw UsageError(path + ": " + std::to_string(bytes / shape.size()) + " images of " + describe(shape) + " take " +
                     std::to_string(bytes >> 20) + " MiB, more than the " + std::to_string(memory_bytes_ >> 20) +
                     " MiB of --memory for them: give more, or fewer images");
}

void ImageCollector::append_rest(const std::string& path, ByteSource& from, int64_t count) {
  const int64_t bytes = count * images.shape.size();
  const auto before = static_cast<int64_t>(images.pixels.size());
  images.pixels.reserve(static_cast<size_t>(before + bytes));
  int64_t done = 0;
  for (int64_t got = 1; done < bytes && got > 0; done += got) {  // in steps: a damaged head may promise too much
    const int64_t step = std::min(std::max(kFirstStepBytes, done), bytes - done);
    images.pixels.resize(static_cast<size_t>(before + done + step));
    got = static_cast<int64_t>(
        from.read(reinterpret_cast<char*>(images.pixels.data()) + before + done, static_cast<size_t>(step)));
  }
  if (done < bytes)
    throw InputError(path + ": says that it has " + std::to_string(count) + " images of " + describe(images.shape) +
                     " and ends within image " + std::to_string(done / images.shape.size() + 1) + ": copy it again");
  char more = 0;
  if (from.read(&more, 1) != 0)
    throw InputError(path + ": goes on behind its " + std::to_string(count) +
                     " images: its head or the file is damaged");
}

bool holds_images(const std::string& path) {
  if (path == "-") return false;
  if (fs::is_directory(path)) return holds_image_files(path) || !generated_files(path).empty();
  return kind_of(path) != ImageKind::kNone;
}

Images read_images(const std::string& path, const ImageReadOptions& options) {
  ImageCollector collector(options.memory_bytes);
  FileLabels labels;
  if (fs::is_directory(path)) {
    if (!options.labels.empty())
      throw UsageError("'" + path + "' is a folder, which has its labels in it: name no other");
    const std::vector<std::string> generated = generated_files(path);
    labels = generated.empty() ? read_png_folder(path, collector) : read_generated(generated, collector);
  } else {
    const ImageKind kind = kind_of(path);
    if (kind == ImageKind::kPng) throw InputError(path + ": is one image: name the folder of them");
    if (kind == ImageKind::kNone)
      throw InputError(path + ": is neither IDX nor NPY nor a folder or an archive of PNG files");
    labels = read_file_of(kind, path, options.labels, collector);
  }
  if (collector.images.count() == 0) throw InputError(path + ": holds no images");
  set_labels(std::move(labels), collector.images);
  return std::move(collector.images);
}

}  // namespace doppel
