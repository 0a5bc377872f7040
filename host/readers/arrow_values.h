// One column of an Arrow record batch as a raw column.
#pragma once

#include <arrow/array.h>
#include <arrow/type.h>

#include <memory>
#include <string>

#include "engine/table/source.h"
#include "host/readers/scratch.h"

namespace doppel {

// How a column of an Arrow type is read:
//   bool, integers                     as they are; uint64 beyond 2^63 - 1 is an error
//   float, double, half                reals
//   date32, date64                     days
//   timestamp                          its unit and time zone
//   duration                           integers of its unit
//   decimal, time                      text of an untyped column (SourceType::kText), "12.50" and "13:05:00", exact and
//   with
//                                      all their decimals: the engine finds the number or the format. Missing ones are
//                                      ""
//   string, binary that is UTF-8       text; also their large and view forms and of fixed size
//   null                               text, all missing
//   dictionary, extension              as the type of the values, or of the storage
// Throws InputError naming the column, its type and the remedy for all others: lists, structs, maps, unions, intervals.
RawField raw_field(const std::string& path, const arrow::Field& field);

// What a column's chunk needs beside the memory of its array; used again for the next chunk.
struct ArrowColumnMemory {
  Scratch<int64_t> integers, offsets;
  Scratch<double> reals;
  Scratch<uint8_t> present;
  std::string bytes;
  std::unique_ptr<ArrowColumnMemory> dictionary;
};

// Where a value is, for messages.
struct ArrowPlace {
  const std::string& path;
  const std::string& column;
  int64_t first_row;  // of the array, in the file
};

// Points into the array where its memory has the form wanted (64-bit integers, doubles, text), otherwise into `memory`.
// The array must be valid (arrow::Array::ValidateFull). Throws InputError for values that cannot be held.
RawColumn raw_column(const arrow::Array& array, const ArrowPlace& place, ArrowColumnMemory& memory);

// About how many bytes a row of the array has once converted.
double bytes_per_row(const arrow::Array& array);

}  // namespace doppel
