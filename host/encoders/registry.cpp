#include <algorithm>

#include "host/encoders/formats.h"
#include "kernels/common/error.h"

namespace doppel {

const std::vector<Format>& formats() {
  static const std::vector<Format> all = {parquet_format(), arrow_format(), arrows_format(), csv_format(),
                                          npy_format(),     raw_format(),   idx_format(),    png_format()};
  return all;
}

const Format& find_format(const std::string& name) {
  std::string names;
  for (const Format& format : formats()) {
    if (format.name == name) return format;
    names += (names.empty() ? "" : ", ") + format.name;
  }
  throw UsageError("no output format is called '" + name + "': use one of " + names);
}

const Format* format_of_extension(const std::string& path) {
  for (const Format& format : formats()) {
    if (path.size() > format.extension.size() && path.ends_with(format.extension)) return &format;
  }
  return nullptr;
}

void check_uncompressed(const std::string& format, const EncoderOptions& options) {
  if (options.compression == "default" || options.compression == "none") return;
  throw UsageError("format " + format + " has no compression '" + options.compression + "': leave --compression out");
}

void check_no_images(const std::string& format, const OutputSchema& schema) {
  if (schema.has_images())
    throw UsageError("format " + format + " holds no images: give --format idx, npy, png, parquet, arrow or raw");
}

void check_images(const std::string& format, const OutputSchema& schema) {
  if (!schema.has_images())
    throw UsageError("format " + format +
                     " is of images, and the model's rows are a table's: give parquet, csv or npy");
}

int64_t image_rows_per_batch(const OutputSchema& schema, int64_t bytes) {
  constexpr int64_t kRowsTogether = 256;
  const int64_t row_bytes = std::max<int64_t>(schema.image.size(), 1);
  return std::clamp<int64_t>(bytes / row_bytes / kRowsTogether * kRowsTogether, kRowsTogether, 1 << 16);
}

}  // namespace doppel
