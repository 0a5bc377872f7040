// How a column is written by the formats with typed values: raw, NPY, Arrow, Parquet.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/batch.h"

namespace doppel {

enum class BinaryType : uint8_t {
  kBool,
  kInt8,
  kInt16,
  kInt32,
  kInt64,
  kUint8,
  kUint16,
  kUint32,
  kUint64,
  kFloat32,
  kFloat64,
  kDate,        // days since 1970, int32
  kTimestamp,   // schema.unit since 1970, int64
  kDictionary,  // codes, positions in schema.levels
  kText,        // texts of their own; for kEmpty of a text source: none
};

// Bytes of one value in memory; 0 for kText. kBool: one byte.
size_t bytes_per_value(BinaryType type);

// The type follows from the schema alone: the source's own type where the column came from a typed format, otherwise
//   kInteger int64; kDecimal double; kReal as sampled; kDatetime in days kDate, else kTimestamp; kCategory kDictionary;
//   kBoolean bool if its two spellings are truth values (true/false, yes/no, t/f, y/n, on/off), else kDictionary;
//   kConstant int64 or double if its text is such a number's own form ("5", "0.5", but not "007"), else kDictionary;
//   kKey, kText kText; kEmpty kText.
// A category, constant or boolean of a numeric source whose levels are all numbers keeps the source's type.
class BinaryColumn {
 public:
  explicit BinaryColumn(const OutputColumn& column);

  const OutputColumn& column() const { return column_; }
  BinaryType type() const { return type_; }

  // Writes rows [first, first + rows) of the batch's column `index` as `as` (any type but kText; usually type()): one
  // value every `stride` bytes, without regard to alignment. A missing row gets the value of whatever the batch holds
  // there. `scratch` is for texts of a numeric type. Throws Error if such a text is not a number.
  void write(const Batch& batch, size_t index, int64_t first, int64_t rows, BinaryType as, std::byte* out,
             size_t stride, std::string& scratch) const;

 private:
  void write_texts(const Batch& batch, size_t index, int64_t first, int64_t rows, BinaryType as, std::byte* out,
                   size_t stride, std::string& scratch) const;

  OutputColumn column_;
  BinaryType type_;
  double divisor_ = 1;                   // kDecimal: 10^decimals
  std::vector<int64_t> level_integers_;  // codes to values, for types other than kDictionary
  std::vector<double> level_reals_;
};

}  // namespace doppel
