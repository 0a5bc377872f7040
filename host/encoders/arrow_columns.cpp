#include "host/encoders/arrow_columns.h"

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>

#include "kernels/common/error.h"

namespace doppel {
namespace {

arrow::TimeUnit::type arrow_unit(TimeUnit unit) {
  switch (unit) {
    case TimeUnit::kMillisecond:
      return arrow::TimeUnit::MILLI;
    case TimeUnit::kMicrosecond:
      return arrow::TimeUnit::MICRO;
    case TimeUnit::kNanosecond:
      return arrow::TimeUnit::NANO;
    default:
      return arrow::TimeUnit::SECOND;
  }
}

std::shared_ptr<arrow::DataType> arrow_type(const BinaryColumn& column) {
  const ColumnSchema& schema = column.column().schema;
  switch (column.type()) {
    case BinaryType::kBool:
      return arrow::boolean();
    case BinaryType::kInt8:
      return arrow::int8();
    case BinaryType::kInt16:
      return arrow::int16();
    case BinaryType::kInt32:
      return arrow::int32();
    case BinaryType::kInt64:
      return arrow::int64();
    case BinaryType::kUint8:
      return arrow::uint8();
    case BinaryType::kUint16:
      return arrow::uint16();
    case BinaryType::kUint32:
      return arrow::uint32();
    case BinaryType::kUint64:
      return arrow::uint64();
    case BinaryType::kFloat32:
      return arrow::float32();
    case BinaryType::kFloat64:
      return arrow::float64();
    case BinaryType::kDate:
      return arrow::date32();
    case BinaryType::kTimestamp:
      return arrow::timestamp(arrow_unit(schema.unit), schema.timezone);
    case BinaryType::kDictionary:
      return arrow::dictionary(arrow::int32(), arrow::utf8());
    case BinaryType::kText:
      return arrow::utf8();
  }
  return nullptr;
}

std::shared_ptr<arrow::Array> make_dictionary(const std::vector<std::string>& levels) {
  arrow::StringBuilder builder;
  check(builder.AppendValues(levels));
  return check(builder.Finish());
}

// Whether the batch holds the very bytes that Arrow wants.
bool is_as_stored(const BinaryColumn& column) {
  const OutputColumn& output = column.column();
  if (!output.has_values() || output.schema.kind == ColumnKind::kDecimal) return false;
  const bool has_levels = !output.schema.levels.empty();
  switch (column.type()) {
    case BinaryType::kDictionary:
      return true;
    case BinaryType::kInt32:
    case BinaryType::kUint32:
    case BinaryType::kDate:
      return output.storage == Storage::kInt32 && !has_levels;
    case BinaryType::kInt64:
    case BinaryType::kUint64:
    case BinaryType::kTimestamp:
      return output.storage == Storage::kInt64 && !has_levels;
    case BinaryType::kFloat32:
      return output.storage == Storage::kFloat32 && !has_levels;
    case BinaryType::kFloat64:
      return output.storage == Storage::kFloat64 && !has_levels;
    default:
      return false;
  }
}

std::shared_ptr<arrow::Buffer> wrap(const void* data, size_t bytes) {
  return std::make_shared<arrow::Buffer>(static_cast<const uint8_t*>(data), static_cast<int64_t>(bytes));
}

// Memory of a column for reuse: grown when needed, never shrunk.
uint8_t* sized(std::shared_ptr<arrow::ResizableBuffer>& buffer, size_t bytes) {
  if (!buffer) buffer = check(arrow::AllocateResizableBuffer(0));
  check(buffer->Resize(static_cast<int64_t>(bytes), /*shrink_to_fit=*/false));
  return buffer->mutable_data();
}

size_t bitmap_bytes(int64_t rows) {
  return (static_cast<size_t>(rows) + 7) / 8;
}

}  // namespace

void check(const arrow::Status& status) {
  if (!status.ok()) throw Error("Arrow: " + status.ToString());
}

ArrowColumns::ArrowColumns(const OutputSchema& schema, const std::string& provenance) {
  arrow::FieldVector fields;
  for (const OutputColumn& output : schema.columns) {
    BinaryColumn binary(output);
    const std::shared_ptr<arrow::DataType> type = arrow_type(binary);
    const bool nullable = output.schema.has_missing || output.schema.kind == ColumnKind::kEmpty;
    fields.push_back(arrow::field(output.schema.name, type, nullable));
    std::shared_ptr<arrow::Array> dictionary;
    if (binary.type() == BinaryType::kDictionary) dictionary = make_dictionary(output.schema.levels);
    columns_.push_back({std::move(binary), type, std::move(dictionary), nullptr, nullptr, {}});
  }
  if (schema.has_images()) {
    image_type_ = arrow::fixed_size_binary(static_cast<int32_t>(schema.image.size()));
    const auto shape = arrow::key_value_metadata(
        {"height", "width", "channels"}, {std::to_string(schema.image.height), std::to_string(schema.image.width),
                                          std::to_string(schema.image.channels)});
    fields.push_back(arrow::field(kImageField, image_type_, /*nullable=*/false, shape));
  }
  std::shared_ptr<arrow::KeyValueMetadata> metadata;
  if (!provenance.empty()) metadata = arrow::key_value_metadata({"doppel"}, {provenance});
  schema_ = arrow::schema(std::move(fields), std::move(metadata));
}

std::shared_ptr<arrow::Array> ArrowColumns::array(const Batch& batch, size_t index) {
  Column& column = columns_[index];
  const bool is_empty = column.binary.column().schema.kind == ColumnKind::kEmpty;
  std::shared_ptr<arrow::Buffer> validity;
  int64_t nulls = 0;
  if (is_empty) {
    std::memset(sized(column.validity, bitmap_bytes(batch.rows)), 0, bitmap_bytes(batch.rows));
    validity = column.validity;
    nulls = batch.rows;
  } else if (const uint8_t* bits = batch.buffer(index).validity) {
    validity = wrap(bits, bitmap_bytes(batch.rows));
    nulls = arrow::kUnknownNullCount;
  }
  std::shared_ptr<arrow::ArrayData> data;
  if (column.binary.type() == BinaryType::kText) {
    auto offsets = text_offsets(batch, index);
    data = arrow::ArrayData::Make(column.type, batch.rows,
                                  {validity, std::move(offsets), wrap(column.text.data(), column.text.size())}, nulls);
  } else {
    data = arrow::ArrayData::Make(column.type, batch.rows, {validity, values(batch, index)}, nulls);
    if (column.dictionary) data->dictionary = column.dictionary->data();
  }
  return arrow::MakeArray(data);
}

std::shared_ptr<arrow::Array> ArrowColumns::images(const Batch& batch) const {
  const auto width = static_cast<size_t>(static_cast<const arrow::FixedSizeBinaryType&>(*image_type_).byte_width());
  return arrow::MakeArray(arrow::ArrayData::Make(
      image_type_, batch.rows, {nullptr, wrap(batch.images(), static_cast<size_t>(batch.rows) * width)}, 0));
}

std::shared_ptr<arrow::RecordBatch> ArrowColumns::record_batch(const Batch& batch) {
  arrow::ArrayVector arrays;
  for (size_t index = 0; index < columns_.size(); ++index) arrays.push_back(array(batch, index));
  if (has_images()) arrays.push_back(images(batch));
  return arrow::RecordBatch::Make(schema_, batch.rows, std::move(arrays));
}

std::shared_ptr<arrow::Buffer> ArrowColumns::values(const Batch& batch, size_t index) {
  Column& column = columns_[index];
  const BinaryType type = column.binary.type();
  if (type == BinaryType::kBool) return truth_bits(batch, index);
  const size_t width = bytes_per_value(type), bytes = width * static_cast<size_t>(batch.rows);
  if (is_as_stored(column.binary)) return wrap(batch.buffer(index).values, bytes);
  auto* out = reinterpret_cast<std::byte*>(sized(column.values, bytes));
  column.binary.write(batch, index, 0, batch.rows, type, out, width, scratch_);
  return column.values;
}

std::shared_ptr<arrow::Buffer> ArrowColumns::truth_bits(const Batch& batch, size_t index) {
  Column& column = columns_[index];
  const size_t bytes = bitmap_bytes(batch.rows);
  truths_.assign(bytes * 8, std::byte{0});
  column.binary.write(batch, index, 0, batch.rows, BinaryType::kBool, truths_.data(), 1, scratch_);
  uint8_t* bits = sized(column.values, bytes);
  for (size_t at = 0; at < bytes; ++at) {
    uint64_t eight;
    std::memcpy(&eight, truths_.data() + 8 * at, sizeof eight);
    bits[at] = static_cast<uint8_t>(eight * 0x0102040810204080ull >> 56);  // byte i's lowest bit becomes bit i
  }
  return column.values;
}

std::shared_ptr<arrow::Buffer> ArrowColumns::text_offsets(const Batch& batch, size_t index) {
  Column& column = columns_[index];
  const OutputColumn& output = column.binary.column();
  auto* offsets =
      reinterpret_cast<int32_t*>(sized(column.values, (static_cast<size_t>(batch.rows) + 1) * sizeof(int32_t)));
  column.text.clear();
  offsets[0] = 0;
  for (int64_t row = 0; row < batch.rows; ++row) {
    if (output.texts && batch.is_present(index, row)) batch.append_text(output, index, row, column.text);
    if (column.text.size() > std::numeric_limits<int32_t>::max())
      throw Error("column '" + output.schema.name + "': more than 2 GiB of text in one batch: use format csv");
    offsets[row + 1] = static_cast<int32_t>(column.text.size());
  }
  return column.values;
}

arrow::Status ByteBufferStream::Write(const void* data, int64_t bytes) {
  const int64_t skipped = std::clamp<int64_t>(dropped_ - position_, 0, bytes);
  out_.append(static_cast<const std::byte*>(data) + skipped, static_cast<size_t>(bytes - skipped));
  position_ += bytes;
  return arrow::Status::OK();
}

int64_t arrow_row_bytes(const OutputSchema& schema) {
  int64_t row_bytes = 1 + schema.image.size();
  for (const OutputColumn& column : schema.columns)
    row_bytes += static_cast<int64_t>(std::max<size_t>(1, bytes_per_value(BinaryColumn(column).type())));
  return row_bytes;
}

Compression parse_compression(const std::string& format, const std::string& text, const std::string& otherwise,
                              const std::vector<std::string>& known) {
  const std::string& wanted = text == "default" ? otherwise : text;
  const size_t colon = wanted.find(':');
  Compression compression{.name = wanted.substr(0, colon)};
  bool is_valid = std::find(known.begin(), known.end(), compression.name) != known.end();
  if (colon != std::string::npos) {
    compression.has_level = true;
    const char* end = wanted.data() + wanted.size();
    const auto parsed = std::from_chars(wanted.data() + colon + 1, end, compression.level);
    is_valid = is_valid && compression.name == "zstd" && parsed.ec == std::errc() && parsed.ptr == end &&
               compression.level >= 1 && compression.level <= 22;
  }
  if (is_valid) return compression;
  std::string names;
  for (const std::string& name : known) names += (names.empty() ? "" : ", ") + name;
  throw UsageError("format " + format + " has no compression '" + text + "': use one of " + names +
                   " or zstd:1 ... zstd:22");
}

}  // namespace doppel
