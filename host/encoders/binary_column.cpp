#include "host/encoders/binary_column.h"

#include <algorithm>
#include <array>
#include <cctype>
#include <charconv>
#include <cmath>
#include <cstring>
#include <optional>

#include "kernels/common/error.h"

namespace doppel {
namespace {

std::optional<BinaryType> numeric_type(SourceType source) {
  switch (source) {
    case SourceType::kInt8:
      return BinaryType::kInt8;
    case SourceType::kInt16:
      return BinaryType::kInt16;
    case SourceType::kInt32:
      return BinaryType::kInt32;
    case SourceType::kInt64:
      return BinaryType::kInt64;
    case SourceType::kUint8:
      return BinaryType::kUint8;
    case SourceType::kUint16:
      return BinaryType::kUint16;
    case SourceType::kUint32:
      return BinaryType::kUint32;
    case SourceType::kUint64:
      return BinaryType::kUint64;
    case SourceType::kFloat32:
      return BinaryType::kFloat32;
    case SourceType::kFloat64:
      return BinaryType::kFloat64;
    default:
      return std::nullopt;
  }
}

bool is_real(BinaryType type) {
  return type == BinaryType::kFloat32 || type == BinaryType::kFloat64;
}

template <class Number>
std::optional<Number> parse(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

// True if `text` is what the number it means is printed as.
template <class Number>
bool is_canonical(std::string_view text) {
  const std::optional<Number> value = parse<Number>(text);
  if (!value) return false;
  std::array<char, 64> printed;
  const char* end = std::to_chars(printed.data(), printed.data() + printed.size(), *value).ptr;
  return text == std::string_view(printed.data(), static_cast<size_t>(end - printed.data()));
}

std::optional<bool> truth_value(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(),
                 [](unsigned char c) { return static_cast<char>(std::tolower(c)); });
  for (const char* yes : {"true", "yes", "t", "y", "on"})
    if (text == yes) return true;
  for (const char* no : {"false", "no", "f", "n", "off"})
    if (text == no) return false;
  return std::nullopt;
}

bool all_levels(const ColumnSchema& schema, bool (*holds)(const std::string&)) {
  return !schema.levels.empty() && std::all_of(schema.levels.begin(), schema.levels.end(), holds);
}

BinaryType level_type(const ColumnSchema& schema) {
  if (const auto numeric = numeric_type(schema.source)) {
    if (is_real(*numeric)
            ? all_levels(schema, [](const std::string& text) { return parse<double>(text).has_value(); })
            : all_levels(schema, [](const std::string& text) { return parse<int64_t>(text).has_value(); }))
      return *numeric;
  }
  const bool truths = all_levels(schema, [](const std::string& text) { return truth_value(text).has_value(); });
  if (schema.source == SourceType::kBool) {
    if (truths || all_levels(schema, [](const std::string& text) { return text == "0" || text == "1"; }))
      return BinaryType::kBool;
  }
  if (schema.kind == ColumnKind::kBoolean && truths) return BinaryType::kBool;
  if (schema.kind == ColumnKind::kConstant && schema.source == SourceType::kText) {
    if (all_levels(schema, [](const std::string& text) { return is_canonical<int64_t>(text); }))
      return BinaryType::kInt64;
    if (all_levels(schema, [](const std::string& text) { return is_canonical<double>(text); }))
      return BinaryType::kFloat64;
  }
  return BinaryType::kDictionary;
}

BinaryType binary_type(const OutputColumn& column) {
  const ColumnSchema& schema = column.schema;
  const std::optional<BinaryType> numeric = numeric_type(schema.source);
  switch (schema.kind) {
    case ColumnKind::kInteger:
      return numeric.value_or(BinaryType::kInt64);
    case ColumnKind::kDecimal:
      return schema.source == SourceType::kFloat32 ? BinaryType::kFloat32 : BinaryType::kFloat64;
    case ColumnKind::kReal:
      if (numeric && is_real(*numeric)) return *numeric;
      return column.storage == Storage::kFloat32 ? BinaryType::kFloat32 : BinaryType::kFloat64;
    case ColumnKind::kDatetime:
      return schema.unit == TimeUnit::kDay ? BinaryType::kDate : BinaryType::kTimestamp;
    case ColumnKind::kBoolean:
    case ColumnKind::kCategory:
    case ColumnKind::kConstant:
      return level_type(schema);
    case ColumnKind::kKey:
    case ColumnKind::kText:
      return numeric && !is_real(*numeric) ? *numeric : BinaryType::kText;
    case ColumnKind::kEmpty:
      break;
  }
  if (schema.source == SourceType::kBool) return BinaryType::kBool;
  if (schema.source == SourceType::kDate32) return BinaryType::kDate;
  if (schema.source == SourceType::kTimestamp) return BinaryType::kTimestamp;
  return numeric.value_or(BinaryType::kText);
}

// One value every `stride` bytes; the usual strides are constants so that contiguous columns become vector code.
template <class Target, class Value>
void store(int64_t rows, std::byte* out, size_t stride, Value value) {
  if (stride == sizeof(Target)) {
    for (int64_t row = 0; row < rows; ++row) {
      const auto stored = static_cast<Target>(value(row));
      std::memcpy(out + static_cast<size_t>(row) * sizeof(Target), &stored, sizeof(Target));
    }
    return;
  }
  for (int64_t row = 0; row < rows; ++row, out += stride) {
    const auto stored = static_cast<Target>(value(row));
    std::memcpy(out, &stored, sizeof(Target));
  }
}

template <class Value>
void store_as(BinaryType type, int64_t rows, std::byte* out, size_t stride, Value value) {
  switch (type) {
    case BinaryType::kBool:
    case BinaryType::kInt8:
      return store<int8_t>(rows, out, stride, value);
    case BinaryType::kInt16:
      return store<int16_t>(rows, out, stride, value);
    case BinaryType::kInt32:
    case BinaryType::kDate:
    case BinaryType::kDictionary:
      return store<int32_t>(rows, out, stride, value);
    case BinaryType::kInt64:
    case BinaryType::kTimestamp:
      return store<int64_t>(rows, out, stride, value);
    case BinaryType::kUint8:
      return store<uint8_t>(rows, out, stride, value);
    case BinaryType::kUint16:
      return store<uint16_t>(rows, out, stride, value);
    case BinaryType::kUint32:
      return store<uint32_t>(rows, out, stride, value);
    case BinaryType::kUint64:
      return store<uint64_t>(rows, out, stride, value);
    case BinaryType::kFloat32:
      return store<float>(rows, out, stride, value);
    case BinaryType::kFloat64:
      return store<double>(rows, out, stride, value);
    case BinaryType::kText:
      break;
  }
  throw Error("a text column has no fixed-width values");
}

}  // namespace

size_t bytes_per_value(BinaryType type) {
  switch (type) {
    case BinaryType::kBool:
    case BinaryType::kInt8:
    case BinaryType::kUint8:
      return 1;
    case BinaryType::kInt16:
    case BinaryType::kUint16:
      return 2;
    case BinaryType::kInt32:
    case BinaryType::kUint32:
    case BinaryType::kFloat32:
    case BinaryType::kDate:
    case BinaryType::kDictionary:
      return 4;
    case BinaryType::kText:
      return 0;
    default:
      return 8;
  }
}

BinaryColumn::BinaryColumn(const OutputColumn& column) : column_(column), type_(binary_type(column)) {
  const ColumnSchema& schema = column_.schema;
  if (schema.kind == ColumnKind::kDecimal) divisor_ = std::pow(10.0, schema.decimals);  // exact up to 10^22
  if (type_ == BinaryType::kDictionary || type_ == BinaryType::kText) return;
  for (const std::string& level : schema.levels) {
    const std::optional<bool> truth = truth_value(level);
    if (is_real(type_)) {
      level_reals_.push_back(parse<double>(level).value());
    } else {
      level_integers_.push_back(type_ == BinaryType::kBool && truth ? *truth : parse<int64_t>(level).value());
    }
  }
}

void BinaryColumn::write(const Batch& batch, size_t index, int64_t first, int64_t rows, BinaryType as, std::byte* out,
                         size_t stride, std::string& scratch) const {
  if (!column_.has_values()) {
    if (column_.schema.kind == ColumnKind::kEmpty) return store_as(as, rows, out, stride, [](int64_t) { return 0; });
    return write_texts(batch, index, first, rows, as, out, stride, scratch);
  }
  const void* values = batch.buffer(index).values;
  const bool by_level = !level_integers_.empty() || !level_reals_.empty();
  if (by_level && as != BinaryType::kDictionary) {
    const int32_t* codes = static_cast<const int32_t*>(values) + first;
    if (!level_reals_.empty())
      return store_as(as, rows, out, stride, [&](int64_t row) { return level_reals_[codes[row]]; });
    return store_as(as, rows, out, stride, [&](int64_t row) { return level_integers_[codes[row]]; });
  }
  const auto from = [&](const auto* typed) {
    typed += first;
    if (divisor_ == 1) return store_as(as, rows, out, stride, [typed](int64_t row) { return typed[row]; });
    store_as(as, rows, out, stride,
             [typed, divisor = divisor_](int64_t row) { return static_cast<double>(typed[row]) / divisor; });
  };
  switch (column_.storage) {
    case Storage::kInt32:
      return from(static_cast<const int32_t*>(values));
    case Storage::kInt64:
      return from(static_cast<const int64_t*>(values));
    case Storage::kFloat32:
      return from(static_cast<const float*>(values));
    case Storage::kFloat64:
      return from(static_cast<const double*>(values));
  }
}

void BinaryColumn::write_texts(const Batch& batch, size_t index, int64_t first, int64_t rows, BinaryType as,
                               std::byte* out, size_t stride, std::string& scratch) const {
  store_as(as, rows, out, stride, [&](int64_t row) -> int64_t {
    if (!batch.is_present(index, first + row)) return 0;
    scratch.clear();
    batch.append_text(column_, index, first + row, scratch);
    if (type_ == BinaryType::kUint64) {
      if (const auto value = parse<uint64_t>(scratch)) return static_cast<int64_t>(*value);
    } else if (const auto value = parse<int64_t>(scratch)) {
      return *value;
    }
    throw Error("column '" + column_.schema.name + "': the key '" + scratch +
                "' is not a number of the original's type: fit "
                "the model again with --schema giving the column another type");
  });
}

}  // namespace doppel
