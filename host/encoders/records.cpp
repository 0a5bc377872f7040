#include "host/encoders/records.h"

#include <algorithm>
#include <bit>
#include <cstring>
#include <limits>
#include <set>

#include "host/encoders/formats.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

static_assert(std::endian::native == std::endian::little, "records are written as they lie in memory");

constexpr size_t kBlockBytes = 1 << 15;  // rows written column by column stay in the L1 cache

const char* numpy_name(BinaryType type) {
  switch (type) {
    case BinaryType::kBool:
      return "|b1";
    case BinaryType::kInt8:
      return "|i1";
    case BinaryType::kInt16:
      return "<i2";
    case BinaryType::kInt32:
      return "<i4";
    case BinaryType::kInt64:
      return "<i8";
    case BinaryType::kUint8:
      return "|u1";
    case BinaryType::kUint16:
      return "<u2";
    case BinaryType::kUint32:
      return "<u4";
    case BinaryType::kUint64:
      return "<u8";
    case BinaryType::kFloat32:
      return "<f4";
    default:
      return "<f8";
  }
}

const char* numpy_unit(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kDay:
      return "<M8[D]";
    case TimeUnit::kSecond:
      return "<M8[s]";
    case TimeUnit::kMillisecond:
      return "<M8[ms]";
    case TimeUnit::kMicrosecond:
      return "<M8[us]";
    case TimeUnit::kNanosecond:
      return "<M8[ns]";
  }
  return "";
}

template <class Value>
std::vector<std::byte> bytes_of(Value value) {
  std::vector<std::byte> bytes(sizeof(Value));
  std::memcpy(bytes.data(), &value, sizeof(Value));
  return bytes;
}

// A Python string literal of UTF-8 text, in ASCII: NumPy reads headers of version 1.0 as Latin-1.
std::string python_literal(const std::string& text) {
  static constexpr char kHex[] = "0123456789abcdef";
  std::string literal = "'";
  for (size_t at = 0; at < text.size();) {
    const auto byte = static_cast<unsigned char>(text[at]);
    const size_t length = byte < 0x80 ? 1 : byte < 0xe0 ? 2 : byte < 0xf0 ? 3 : 4;
    uint32_t code = length == 1 ? byte : byte & (0x7fu >> length);
    for (size_t next = 1; next < length && at + next < text.size(); ++next)
      code = code << 6 | (static_cast<unsigned char>(text[at + next]) & 0x3fu);
    at += length;
    if (code == '\'' || code == '\\') {
      literal += {'\\', static_cast<char>(code)};
    } else if (code >= 0x20 && code < 0x7f) {
      literal += static_cast<char>(code);
    } else {
      literal += "\\U";
      for (int shift = 28; shift >= 0; shift -= 4) literal += kHex[code >> shift & 15];
    }
  }
  return literal + "'";
}

void copy_padded(std::string_view text, std::byte* out, size_t bytes) {
  std::memcpy(out, text.data(), text.size());
  std::memset(out + text.size(), 0, bytes - text.size());
}

}  // namespace

RecordLayout::Field RecordLayout::make_field(const OutputColumn& column) {
  const ColumnSchema& schema = column.schema;
  Field field{.column = BinaryColumn(column), .numpy_type = {}, .missing = {}, .level_texts = {}};
  const bool has_missing = schema.has_missing || schema.kind == ColumnKind::kEmpty;
  field.type = field.column.type();
  if (field.type == BinaryType::kText || field.type == BinaryType::kDictionary) {
    for (const std::string& level : schema.levels) field.bytes = std::max(field.bytes, level.size());
    if (column.texts) field.bytes = column.texts->max_bytes();
    field.bytes = std::max<size_t>(field.bytes, 1);  // NumPy reads S0 as "width unknown"
    field.type = BinaryType::kText;
    field.numpy_type = "|S" + std::to_string(field.bytes);
    field.level_texts.resize(schema.levels.size() * field.bytes);
    for (size_t level = 0; level < schema.levels.size(); ++level)
      std::memcpy(&field.level_texts[level * field.bytes], schema.levels[level].data(), schema.levels[level].size());
    if (has_missing) field.missing.assign(field.bytes, std::byte{0});
    return field;
  }
  if (field.type == BinaryType::kDate || field.type == BinaryType::kTimestamp) {
    field.type = BinaryType::kInt64;
    field.numpy_type = numpy_unit(field.column.type() == BinaryType::kDate ? TimeUnit::kDay : schema.unit);
    if (has_missing) field.missing = bytes_of(std::numeric_limits<int64_t>::min());
  } else if (has_missing && field.type == BinaryType::kBool) {
    field.type = BinaryType::kInt8;
    field.missing = bytes_of(int8_t{-1});
  } else if (has_missing && field.type == BinaryType::kFloat32) {
    field.missing = bytes_of(std::numeric_limits<float>::quiet_NaN());
  } else if (has_missing) {
    field.type = BinaryType::kFloat64;
    field.missing = bytes_of(std::numeric_limits<double>::quiet_NaN());
  }
  field.bytes = bytes_per_value(field.type);
  if (field.numpy_type.empty()) field.numpy_type = numpy_name(field.type);
  return field;
}

std::string numpy_shape(const std::string& first, const ImageShape& image) {
  return "(" + first + std::to_string(image.height) + ", " + std::to_string(image.width) +
         (image.channels == 1 ? ")" : ", " + std::to_string(image.channels) + ")");
}

RecordLayout::RecordLayout(const OutputSchema& schema)
    : image_(schema.image), bytes_per_row_(static_cast<size_t>(schema.image.size())) {
  for (const OutputColumn& column : schema.columns) {
    fields_.push_back(make_field(column));
    fields_.back().offset = bytes_per_row_;
    bytes_per_row_ += fields_.back().bytes;
  }
}

std::string RecordLayout::description() const {
  // NumPy has no two fields of one name and none without a name: such columns get their number from 1.
  std::set<std::string> names;
  for (const Field& field : fields_) names.insert(field.column.column().schema.name);
  std::set<std::string> taken;
  std::string text = "[";
  if (image_.size() > 0) {
    text += "('image', '|u1', " + numpy_shape("", image_) + "), ";
    taken.insert("image");
  }
  for (size_t index = 0; index < fields_.size(); ++index) {
    std::string name = fields_[index].column.column().schema.name;
    if (name.empty()) name = "column";
    if (!taken.insert(name).second || fields_[index].column.column().schema.name.empty()) {
      while (names.count(name) != 0 || taken.count(name) != 0) name.append("_").append(std::to_string(index + 1));
      taken.insert(name);
    }
    text.append("(").append(python_literal(name)).append(", '").append(fields_[index].numpy_type).append("'), ");
  }
  if (text.size() > 1) text.resize(text.size() - 2);
  return text + "]";
}

std::string RecordLayout::description_of_values() const {
  return fields_.size() == 1 && image_.size() == 0 ? "'" + fields_.front().numpy_type + "'" : description();
}

void RecordLayout::write(const Batch& batch, ByteBuffer& out) {
  std::byte* to = out.reserve(static_cast<size_t>(batch.rows) * bytes_per_row_);
  const auto block = static_cast<int64_t>(std::max<size_t>(16, kBlockBytes / std::max<size_t>(1, bytes_per_row_)));
  for (int64_t first = 0; first < batch.rows; first += block) {
    const int64_t rows = std::min(block, batch.rows - first);
    if (image_.size() > 0) write_images(batch, first, rows, to);
    for (size_t index = 0; index < fields_.size(); ++index)
      write_field(fields_[index], index, batch, first, rows, to + fields_[index].offset);
    to += static_cast<size_t>(rows) * bytes_per_row_;
  }
  out.commit(static_cast<size_t>(batch.rows) * bytes_per_row_);
}

void RecordLayout::write_images(const Batch& batch, int64_t first, int64_t rows, std::byte* out) const {
  const auto bytes = static_cast<size_t>(image_.size());
  const uint8_t* image = batch.images() + static_cast<size_t>(first) * bytes;
  for (int64_t row = 0; row < rows; ++row, image += bytes, out += bytes_per_row_) std::memcpy(out, image, bytes);
}

void RecordLayout::write_field(const Field& field, size_t index, const Batch& batch, int64_t first, int64_t rows,
                               std::byte* out) {
  const OutputColumn& column = field.column.column();
  if (field.type != BinaryType::kText) {
    field.column.write(batch, index, first, rows, field.type, out, bytes_per_row_, scratch_);
  } else if (column.texts) {
    for (int64_t row = 0; row < rows; ++row) {
      scratch_.clear();
      if (batch.is_present(index, first + row)) batch.append_text(column, index, first + row, scratch_);
      if (scratch_.size() > field.bytes) {
        throw Error("column '" + column.schema.name + "': a text of " + std::to_string(scratch_.size()) +
                    " bytes in a field of " + std::to_string(field.bytes) + ": choose another format");
      }
      copy_padded(scratch_, out + static_cast<size_t>(row) * bytes_per_row_, field.bytes);
    }
  } else if (column.has_values()) {
    const int32_t* codes = static_cast<const int32_t*>(batch.buffer(index).values) + first;
    for (int64_t row = 0; row < rows; ++row)
      std::memcpy(out + static_cast<size_t>(row) * bytes_per_row_,
                  &field.level_texts[static_cast<size_t>(codes[row]) * field.bytes], field.bytes);
  }
  if (field.missing.empty()) return;
  const bool always = column.schema.kind == ColumnKind::kEmpty;
  for (int64_t row = 0; row < rows; ++row)
    if (always || !batch.is_present(index, first + row))
      std::memcpy(out + static_cast<size_t>(row) * bytes_per_row_, field.missing.data(), field.bytes);
}

EncodedBatch RecordEncoder::encode(const Batch& batch, ByteBuffer& out) {
  const size_t before = out.size();
  records_.write(batch, out);
  return {batch.rows, static_cast<int64_t>(out.size() - before), nullptr};
}

int64_t record_rows_per_batch(const OutputSchema& schema) {
  if (schema.has_images()) return image_rows_per_batch(schema, 1 << 20);
  const auto rows = static_cast<int64_t>((size_t{1} << 20) / std::max<size_t>(1, RecordLayout(schema).bytes_per_row()));
  return std::clamp<int64_t>(rows / 1024 * 1024, 1024, 1 << 16);
}

}  // namespace doppel
