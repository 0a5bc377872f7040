#include "host/readers/arrow_values.h"

#include <arrow/extension_type.h>
#include <arrow/util/bit_util.h>
#include <arrow/util/checked_cast.h>
#include <arrow/util/decimal.h>
#include <arrow/util/float16.h>

#include <algorithm>
#include <cstdio>
#include <limits>
#include <string_view>

#include "engine/table/cells.h"
#include "engine/table/datetime.h"
#include "host/readers/utf8.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using arrow::internal::checked_cast;

constexpr int64_t kMillisecondsPerDay = 1000 * kSecondsPerDay;

TimeUnit time_unit(arrow::TimeUnit::type unit) {
  switch (unit) {
    case arrow::TimeUnit::SECOND:
      return TimeUnit::kSecond;
    case arrow::TimeUnit::MILLI:
      return TimeUnit::kMillisecond;
    case arrow::TimeUnit::MICRO:
      return TimeUnit::kMicrosecond;
    default:
      return TimeUnit::kNanosecond;
  }
}

const char* remedy_of(const arrow::DataType& type) {
  return arrow::is_nested(type.id()) ? "flatten it into columns of its own, or leave it out"
                                     : "write it as numbers or text, or leave it out";
}

SourceType source_type(const std::string& path, const std::string& name, const arrow::DataType& type) {
  switch (type.id()) {
    case arrow::Type::BOOL:
      return SourceType::kBool;
    case arrow::Type::INT8:
      return SourceType::kInt8;
    case arrow::Type::INT16:
      return SourceType::kInt16;
    case arrow::Type::INT32:
      return SourceType::kInt32;
    case arrow::Type::INT64:
    case arrow::Type::DURATION:
      return SourceType::kInt64;
    case arrow::Type::UINT8:
      return SourceType::kUint8;
    case arrow::Type::UINT16:
      return SourceType::kUint16;
    case arrow::Type::UINT32:
      return SourceType::kUint32;
    case arrow::Type::UINT64:
      return SourceType::kUint64;
    case arrow::Type::HALF_FLOAT:
    case arrow::Type::FLOAT:
      return SourceType::kFloat32;
    case arrow::Type::DOUBLE:
      return SourceType::kFloat64;
    case arrow::Type::DATE32:
    case arrow::Type::DATE64:
      return SourceType::kDate32;
    case arrow::Type::TIMESTAMP:
      return SourceType::kTimestamp;
    case arrow::Type::DECIMAL32:
    case arrow::Type::DECIMAL64:
    case arrow::Type::DECIMAL128:
    case arrow::Type::DECIMAL256:
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      return SourceType::kText;
    case arrow::Type::STRING:
    case arrow::Type::LARGE_STRING:
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY:
    case arrow::Type::LARGE_BINARY:
    case arrow::Type::BINARY_VIEW:
    case arrow::Type::FIXED_SIZE_BINARY:
    case arrow::Type::NA:
      return SourceType::kString;
    default:
      throw InputError(path + ": a table cannot hold values of type " + type.ToString() + " (column '" + name +
                       "'): " + remedy_of(type));
  }
}

const arrow::DataType& value_type(const arrow::DataType& type) {
  if (type.id() == arrow::Type::DICTIONARY)
    return value_type(*checked_cast<const arrow::DictionaryType&>(type).value_type());
  if (type.id() == arrow::Type::EXTENSION)
    return value_type(*checked_cast<const arrow::ExtensionType&>(type).storage_type());
  return type;
}

class Converter {
 public:
  Converter(const ArrowPlace& place, ArrowColumnMemory& memory) : place_(place), memory_(memory) {}

  RawColumn convert(const arrow::Array& array);

 private:
  void put_values(const arrow::Array& array, RawColumn& column);
  const uint8_t* presence(const arrow::Array& array);
  template <class Value>
  const int64_t* widened(const arrow::Array& array);
  const int64_t* unsigned_64(const arrow::Array& array);
  const int64_t* integers(const arrow::Array& array);
  const double* reals(const arrow::Array& array);
  template <class ArrayType>
  void put_text(const arrow::Array& array, RawColumn& column);
  template <class Append>
  void gather_text(const arrow::Array& array, const Append& append, RawColumn& column);
  template <class Decimal>
  void put_decimals(const arrow::Array& array, RawColumn& column);
  void put_times(const arrow::Array& array, RawColumn& column);
  RawColumn gather_dictionary(const arrow::DictionaryArray& array);
  void check_utf8(const arrow::Array& array, const RawColumn& column) const;
  [[noreturn]] void fail(int64_t row, const std::string& what, const std::string& remedy) const;

  const ArrowPlace& place_;
  ArrowColumnMemory& memory_;
};

void Converter::fail(int64_t row, const std::string& what, const std::string& remedy) const {
  throw InputError(place_.path + ": row " + std::to_string(place_.first_row + row + 1) + ": " + what + " (column '" +
                   place_.column + "'): " + remedy);
}

const uint8_t* Converter::presence(const arrow::Array& array) {
  const int64_t rows = array.length();
  if (array.null_count() == 0) return nullptr;
  uint8_t* present = memory_.present.reserve(static_cast<size_t>(rows));
  const uint8_t* bits = array.null_bitmap_data();
  for (int64_t row = 0; row < rows; ++row) {
    present[row] = bits != nullptr && arrow::bit_util::GetBit(bits, array.offset() + row);
  }
  return present;
}

template <class Value>
const int64_t* Converter::widened(const arrow::Array& array) {
  const Value* values = array.data()->GetValues<Value>(1);
  int64_t* wide = memory_.integers.reserve(static_cast<size_t>(array.length()));
  for (int64_t row = 0; row < array.length(); ++row) wide[row] = static_cast<int64_t>(values[row]);
  return wide;
}

const int64_t* Converter::unsigned_64(const arrow::Array& array) {
  const uint64_t* values = array.data()->GetValues<uint64_t>(1);
  for (int64_t row = 0; row < array.length(); ++row) {
    if (values[row] <= uint64_t{std::numeric_limits<int64_t>::max()} || array.IsNull(row)) continue;
    fail(row, std::to_string(values[row]) + " is larger than 2^63 - 1", "write it as text or as floating point");
  }
  return reinterpret_cast<const int64_t*>(values);
}

// Null for an array that holds none.
const int64_t* Converter::integers(const arrow::Array& array) {
  switch (array.type_id()) {
    case arrow::Type::BOOL: {
      const auto& values = checked_cast<const arrow::BooleanArray&>(array);
      int64_t* wide = memory_.integers.reserve(static_cast<size_t>(array.length()));
      for (int64_t row = 0; row < array.length(); ++row) wide[row] = values.Value(row);
      return wide;
    }
    case arrow::Type::INT8:
      return widened<int8_t>(array);
    case arrow::Type::INT16:
      return widened<int16_t>(array);
    case arrow::Type::INT32:
    case arrow::Type::DATE32:
      return widened<int32_t>(array);
    case arrow::Type::UINT8:
      return widened<uint8_t>(array);
    case arrow::Type::UINT16:
      return widened<uint16_t>(array);
    case arrow::Type::UINT32:
      return widened<uint32_t>(array);
    case arrow::Type::UINT64:
      return unsigned_64(array);
    case arrow::Type::INT64:
    case arrow::Type::DURATION:
    case arrow::Type::TIMESTAMP:
      return array.data()->GetValues<int64_t>(1);
    case arrow::Type::DATE64: {
      const int64_t* values = array.data()->GetValues<int64_t>(1);
      int64_t* days = memory_.integers.reserve(static_cast<size_t>(array.length()));
      for (int64_t row = 0; row < array.length(); ++row) {
        days[row] = divide_down(values[row], kMillisecondsPerDay);
      }
      return days;
    }
    default:
      return nullptr;
  }
}

// Null for an array that holds none.
const double* Converter::reals(const arrow::Array& array) {
  if (array.type_id() == arrow::Type::DOUBLE) return array.data()->GetValues<double>(1);
  if (array.type_id() != arrow::Type::FLOAT && array.type_id() != arrow::Type::HALF_FLOAT) return nullptr;
  double* wide = memory_.reals.reserve(static_cast<size_t>(array.length()));
  if (array.type_id() == arrow::Type::FLOAT) {
    const float* values = array.data()->GetValues<float>(1);
    for (int64_t row = 0; row < array.length(); ++row) wide[row] = static_cast<double>(values[row]);
  } else {
    const uint16_t* values = array.data()->GetValues<uint16_t>(1);
    for (int64_t row = 0; row < array.length(); ++row)
      wide[row] = arrow::util::Float16::FromBits(values[row]).ToDouble();
  }
  return wide;
}

// Strings and binary with offsets: the bytes stay where they are.
template <class ArrayType>
void Converter::put_text(const arrow::Array& array, RawColumn& column) {
  const auto& text = checked_cast<const ArrayType&>(array);
  const auto* offsets = text.raw_value_offsets();
  if constexpr (sizeof(*offsets) == sizeof(int64_t)) {
    column.text_offsets = offsets;
  } else {
    int64_t* wide = memory_.offsets.reserve(static_cast<size_t>(array.length()) + 1);
    for (int64_t row = 0; row <= array.length(); ++row) wide[row] = offsets[row];
    column.text_offsets = wide;
  }
  const uint8_t* bytes = text.raw_data();
  column.text_bytes = bytes == nullptr ? "" : reinterpret_cast<const char*>(bytes);
}

// append(row) adds the text of a row that is present to memory_.bytes.
template <class Append>
void Converter::gather_text(const arrow::Array& array, const Append& append, RawColumn& column) {
  int64_t* offsets = memory_.offsets.reserve(static_cast<size_t>(array.length()) + 1);
  memory_.bytes.clear();
  offsets[0] = 0;
  for (int64_t row = 0; row < array.length(); ++row) {
    if (!array.IsNull(row)) append(row);
    offsets[row + 1] = static_cast<int64_t>(memory_.bytes.size());
  }
  column.text_offsets = offsets;
  column.text_bytes = memory_.bytes.data();
}

// "-0.05" of the integer text "-5" with scale 2, and "500" of "5" with scale -2.
void append_decimal(std::string_view digits, int32_t scale, std::string& out) {
  if (digits.starts_with('-')) {
    out += '-';
    digits.remove_prefix(1);
  }
  const auto decimals = static_cast<size_t>(scale < 0 ? 0 : scale);
  if (digits.size() <= decimals) {
    out += "0.";
    out.append(decimals - digits.size(), '0');
    out += digits;
    return;
  }
  out += digits.substr(0, digits.size() - decimals);
  if (scale < 0 && digits != "0") out.append(static_cast<size_t>(-scale), '0');
  if (decimals == 0) return;
  out += '.';
  out += digits.substr(digits.size() - decimals);
}

template <class Decimal>
void Converter::put_decimals(const arrow::Array& array, RawColumn& column) {
  const auto& values = checked_cast<const arrow::FixedSizeBinaryArray&>(array);
  const int32_t scale = checked_cast<const arrow::DecimalType&>(*array.type()).scale();
  gather_text(
      array,
      [&](int64_t row) { append_decimal(Decimal(values.GetValue(row)).ToIntegerString(), scale, memory_.bytes); },
      column);
}

// "13:05:00", with as many decimals as the unit has.
void Converter::put_times(const arrow::Array& array, RawColumn& column) {
  const arrow::TimeUnit::type unit = checked_cast<const arrow::TimeType&>(*array.type()).unit();
  const int decimals = 3 * static_cast<int>(unit);
  const int64_t per_second = power_of_ten(decimals);
  gather_text(
      array,
      [&](int64_t row) {
        const int64_t value = array.type_id() == arrow::Type::TIME32 ? array.data()->GetValues<int32_t>(1)[row]
                                                                     : array.data()->GetValues<int64_t>(1)[row];
        const int64_t second = value / per_second;
        if (value < 0 || second >= kSecondsPerDay) fail(row, "a time outside the day", "write a duration instead");
        char text[32];
        std::snprintf(text, sizeof text, "%02d:%02d:%02d", static_cast<int>(second / 3600),
                      static_cast<int>(second / 60 % 60), static_cast<int>(second % 60));
        memory_.bytes += text;
        if (decimals == 0) return;
        std::snprintf(text, sizeof text, ".%0*lld", decimals, static_cast<long long>(value % per_second));
        memory_.bytes += text;
      },
      column);
}

void Converter::check_utf8(const arrow::Array& array, const RawColumn& column) const {
  for (int64_t row = 0; row < array.length(); ++row) {
    if (array.IsNull(row)) continue;
    const std::string_view text = column.text(row);
    if (!find_invalid_utf8(text.data(), 0, text.size(), true)) continue;
    fail(row, "bytes that are not UTF-8 text", "write them as text, or leave the column out");
  }
}

void Converter::put_values(const arrow::Array& array, RawColumn& column) {
  switch (array.type_id()) {
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      put_text<arrow::BinaryArray>(array, column);
      break;
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      put_text<arrow::LargeBinaryArray>(array, column);
      break;
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW: {
      const auto& views = checked_cast<const arrow::BinaryViewArray&>(array);
      gather_text(
          array, [&](int64_t row) { memory_.bytes += views.GetView(row); }, column);
      break;
    }
    case arrow::Type::FIXED_SIZE_BINARY: {
      const auto& values = checked_cast<const arrow::FixedSizeBinaryArray&>(array);
      gather_text(
          array, [&](int64_t row) { memory_.bytes += values.GetView(row); }, column);
      break;
    }
    case arrow::Type::DECIMAL32:
      return put_decimals<arrow::Decimal32>(array, column);
    case arrow::Type::DECIMAL64:
      return put_decimals<arrow::Decimal64>(array, column);
    case arrow::Type::DECIMAL128:
      return put_decimals<arrow::Decimal128>(array, column);
    case arrow::Type::DECIMAL256:
      return put_decimals<arrow::Decimal256>(array, column);
    case arrow::Type::TIME32:
    case arrow::Type::TIME64:
      return put_times(array, column);
    case arrow::Type::NA:
      return gather_text(
          array, [](int64_t) {}, column);
    default:
      column.integers = integers(array);
      column.reals = reals(array);
      return;
  }
  // Arrow's validation has looked at types that say they are text.
  if (!arrow::is_string(array.type_id()) && array.type_id() != arrow::Type::STRING_VIEW) check_utf8(array, column);
}

// The dictionary's values are converted once a chunk, then each row takes its own.
RawColumn Converter::gather_dictionary(const arrow::DictionaryArray& array) {
  if (!memory_.dictionary) memory_.dictionary = std::make_unique<ArrowColumnMemory>();
  const RawColumn values = Converter(place_, *memory_.dictionary).convert(*array.dictionary());
  const int64_t rows = array.length();
  const auto count = static_cast<size_t>(rows);
  const int64_t* codes = Converter(place_, memory_).integers(*array.indices());
  RawColumn column;
  column.present = presence(array);
  const auto is_present = [&](int64_t row) { return column.present == nullptr || column.present[row] != 0; };
  if (values.present != nullptr) {
    uint8_t* present = memory_.present.reserve(count);
    for (int64_t row = 0; row < rows; ++row) present[row] = is_present(row) && values.present[codes[row]] != 0;
    column.present = present;
  }
  if (values.text_offsets != nullptr) {
    const auto append = [&](int64_t row) {
      if (is_present(row)) memory_.bytes += values.text(codes[row]);
    };
    gather_text(array, append, column);
  } else if (values.reals != nullptr) {
    double* reals = memory_.reals.reserve(count);
    for (int64_t row = 0; row < rows; ++row) reals[row] = is_present(row) ? values.reals[codes[row]] : 0;
    column.reals = reals;
  } else {
    // The codes may lie in the same memory: each is read before its place is written.
    int64_t* integers = memory_.integers.reserve(count);
    for (int64_t row = 0; row < rows; ++row) integers[row] = is_present(row) ? values.integers[codes[row]] : 0;
    column.integers = integers;
  }
  return column;
}

RawColumn Converter::convert(const arrow::Array& array) {
  if (array.type_id() == arrow::Type::EXTENSION)
    return convert(*checked_cast<const arrow::ExtensionArray&>(array).storage());
  if (array.type_id() == arrow::Type::DICTIONARY)
    return gather_dictionary(checked_cast<const arrow::DictionaryArray&>(array));
  RawColumn column;
  column.present = presence(array);
  put_values(array, column);
  return column;
}

}  // namespace

RawField raw_field(const std::string& path, const arrow::Field& field) {
  const arrow::DataType& type = value_type(*field.type());
  RawField raw;
  raw.name = field.name();
  raw.type = source_type(path, field.name(), type);
  if (type.id() == arrow::Type::TIMESTAMP) {
    const auto& timestamp = checked_cast<const arrow::TimestampType&>(type);
    raw.unit = time_unit(timestamp.unit());
    raw.timezone = timestamp.timezone();
  }
  return raw;
}

RawColumn raw_column(const arrow::Array& array, const ArrowPlace& place, ArrowColumnMemory& memory) {
  return Converter(place, memory).convert(array);
}

double bytes_per_row(const arrow::Array& array) {
  constexpr double kValue = 8;
  const double rows = static_cast<double>(std::max<int64_t>(array.length(), 1));
  switch (array.type_id()) {
    case arrow::Type::EXTENSION:
      return bytes_per_row(*checked_cast<const arrow::ExtensionArray&>(array).storage());
    case arrow::Type::DICTIONARY:
      return kValue + bytes_per_row(*checked_cast<const arrow::DictionaryArray&>(array).dictionary());
    case arrow::Type::STRING:
    case arrow::Type::BINARY:
      return kValue + static_cast<double>(checked_cast<const arrow::BinaryArray&>(array).total_values_length()) / rows;
    case arrow::Type::LARGE_STRING:
    case arrow::Type::LARGE_BINARY:
      return kValue +
             static_cast<double>(checked_cast<const arrow::LargeBinaryArray&>(array).total_values_length()) / rows;
    case arrow::Type::STRING_VIEW:
    case arrow::Type::BINARY_VIEW: {
      const auto& views = checked_cast<const arrow::BinaryViewArray&>(array);
      double bytes = 0;
      for (int64_t row = 0; row < array.length(); ++row) bytes += static_cast<double>(views.GetView(row).size());
      return kValue + bytes / rows;
    }
    default:
      return kValue + static_cast<double>(arrow::is_fixed_width(array.type_id()) ? array.type()->byte_width() : 0);
  }
}

}  // namespace doppel
