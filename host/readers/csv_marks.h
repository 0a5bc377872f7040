// Where a CSV text may end a cell: found 64 bytes at a time by vector code.
#pragma once

#include <cstddef>
#include <cstdint>

namespace doppel {

// Bit i of marks[w] is 1 where text[64 w + i] is the delimiter, a line feed or a carriage return. Reads 64 * words
// bytes.
void find_marks(const char* text, size_t words, char delimiter, uint64_t* marks);

}  // namespace doppel
