#include "host/contact_sheet.h"

#include <algorithm>
#include <memory>
#include <vector>

#include "host/image_grid.h"
#include "host/writer.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int32_t kInLine = 10;
constexpr size_t kMostLines = 100;
constexpr int64_t kMostRows = 1 << 14, kBatchRows = 256;

using Line = std::vector<std::vector<uint8_t>>;  // images

bool is_full(const std::vector<Line>& lines) {
  return std::all_of(lines.begin(), lines.end(), [](const Line& line) { return line.size() == kInLine; });
}

// The lines that the first rows fill; empty ones are left out.
std::vector<Line> fill_lines(const Generator& generator, int64_t rows) {
  const OutputSchema& schema = generator.schema();
  const bool has_labels = !schema.columns.empty();
  std::vector<Line> lines(has_labels ? std::min(schema.columns.front().schema.levels.size(), kMostLines)
                                     : static_cast<size_t>(kInLine));
  const std::unique_ptr<RowSampler> sampler = generator.make_sampler();
  Batch batch = sampler->make_batch(schema, kBatchRows);
  for (int64_t first = 0; first < std::min(rows, kMostRows) && !is_full(lines); first += kBatchRows) {
    const int64_t count = std::min(kBatchRows, rows - first);
    sampler->fetch(static_cast<uint64_t>(first), count);
    sampler->sample(static_cast<uint64_t>(first), count, batch);
    for (int64_t row = 0; row < count; ++row) {
      const auto line = has_labels ? static_cast<size_t>(static_cast<const int32_t*>(batch.buffer(0).values)[row])
                                   : static_cast<size_t>((first + row) / kInLine);
      if (line >= lines.size() || lines[line].size() == kInLine) continue;
      const uint8_t* image = batch.images() + row * schema.image.size();
      lines[line].emplace_back(image, image + schema.image.size());
    }
  }
  std::erase_if(lines, [](const Line& line) { return line.empty(); });
  return lines;
}

}  // namespace

void write_contact_sheet(const Generator& generator, int64_t rows, const std::string& path) {
  const ImageShape& image = generator.schema().image;
  if (image.size() == 0) throw UsageError("--contact-sheet: rows of this model are a table's, not images");
  const std::vector<Line> lines = fill_lines(generator, rows);
  std::vector<std::vector<const uint8_t*>> pictures;
  for (const Line& line : lines) {
    pictures.emplace_back();
    for (const std::vector<uint8_t>& picture : line) pictures.back().push_back(picture.data());
  }
  ByteBuffer bytes;
  encode_image_grid(image, pictures, kInLine, bytes);
  write_file_atomically(path, {bytes.data(), bytes.size()});
}

}  // namespace doppel
