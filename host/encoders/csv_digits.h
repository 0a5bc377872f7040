// Many short numbers to text at once, with the vector instructions of the machine at hand.
#pragma once

#include <cstddef>
#include <cstdint>

namespace doppel {

// Where a column's cells go in a block of rows: row r's text at text + r * row_bytes (room for 16 bytes, all of which
// may be written), its length, separator included, at lengths[r * length_stride].
struct CellSlots {
  char* text;
  size_t row_bytes;
  uint8_t* lengths;
  size_t length_stride;
};

// Writes values[0 .. rows) * 10^-decimals, 0 <= decimals <= 7, each followed by `separator`, as write_integer and
// write_decimal of csv_cells.h do. Returns false, with the slots in any state, if a value is not within +-(10^8 - 1).
bool format_short_numbers(const int32_t* values, int64_t rows, int decimals, bool keeps_trailing_zeros, char separator,
                          const CellSlots& slots);

}  // namespace doppel
