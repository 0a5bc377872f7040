// Many float32s to text at once, with the vector instructions of the machine at hand.
#pragma once

#include <cstdint>

#include "host/encoders/csv_digits.h"

namespace doppel {

inline constexpr size_t kFloat32Bytes = 15;  // -0.000100000005

// Writes each value's shortest text that reads back as the same float, to the byte as write_real of csv_cells.h does,
// followed by `separator`. Fast for zero and for magnitudes from 2^-13 to 2^24; the others take write_real. Returns
// false, with nothing written, where the machine has no vectors.
bool format_float32s(const float* values, int64_t rows, char separator, const CellSlots& slots);

}  // namespace doppel
