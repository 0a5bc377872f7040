// Packed little-endian records, a row each: the data of a structured NumPy array, which the formats npy and raw share.
//
//   values                                        NumPy type, no value
//   integers, never missing                       i1 ... u8 (the source's type; i8 from text)   -
//   integers with missing values                  f8: exact up to 2^53                          NaN
//   decimals, reals                               f4 or f8                                      NaN
//   booleans                                      ?, or i1 when values can be missing           -1
//   categories, other constants, keys, texts      S<bytes of the longest>, UTF-8, zero-padded   empty
//   dates and times                               M8[D], M8[s], M8[ms], M8[us], M8[ns]          NaT
// Where rows are images the first field is 'image', u1 of the shape (height, width) or (height, width, 3).
#pragma once

#include <string>
#include <vector>

#include "host/encoders/binary_column.h"
#include "host/encoders/encoder.h"

namespace doppel {

class RecordLayout {
 public:
  explicit RecordLayout(const OutputSchema& schema);

  size_t bytes_per_row() const { return bytes_per_row_; }
  // NumPy's description of the record: "[('age', '<i8'), ...]", a Python literal in ASCII.
  std::string description() const;
  // That of the one field of a record, "'|u1'"; of a record of several fields, description().
  std::string description_of_values() const;
  // Appends the batch's rows.
  void write(const Batch& batch, ByteBuffer& out);

 private:
  struct Field {
    BinaryColumn column;
    BinaryType type = BinaryType::kText;  // as written: kText is S<bytes>
    std::string numpy_type;
    size_t offset = 0, bytes = 0;
    std::vector<std::byte> missing;  // [bytes] what stands for no value; empty: never missing
    std::vector<char> level_texts;   // [levels, bytes] zero-padded, for categories
  };
  static Field make_field(const OutputColumn& column);
  void write_field(const Field& field, size_t index, const Batch& batch, int64_t first, int64_t rows, std::byte* out);

  void write_images(const Batch& batch, int64_t first, int64_t rows, std::byte* out) const;

  ImageShape image_;
  std::vector<Field> fields_;
  size_t bytes_per_row_ = 0;
  std::string scratch_;
};

// Records and nothing else; a format with a header overrides head.
class RecordEncoder : public Encoder {
 public:
  explicit RecordEncoder(const OutputSchema& schema) : records_(schema) {}
  void head(int64_t, ByteBuffer&) override {}
  EncodedBatch encode(const Batch& batch, ByteBuffer& out) override;
  void tail(std::span<const EncodedBatch>, ByteBuffer&) override {}

 protected:
  RecordLayout records_;
};

// "(28, 28)", or "(28, 28, 3)": an image as a NumPy shape, behind `first` extents.
std::string numpy_shape(const std::string& first, const ImageShape& image);

// A batch's rows: about a MiB of records, a multiple of 1,024; of images, of 256.
int64_t record_rows_per_batch(const OutputSchema& schema);

}  // namespace doppel
