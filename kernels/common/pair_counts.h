// What every backend's contingency tables share.
#pragma once

#include <algorithm>

#include "kernels/common/error.h"
#include "kernels/pair_counts.h"

namespace doppel {

inline void check_coded_columns(const CodedColumns& columns) {
  if (columns.rows < 0 || columns.codes.size() != columns.code_count.size())
    throw Error("pair counts: columns and their numbers of codes do not agree");
  for (size_t c = 0; c < columns.codes.size(); ++c) {
    const std::span<const int32_t> codes = columns.codes[c];
    if (codes.size() != static_cast<size_t>(columns.rows)) throw Error("pair counts: a column lacks codes of rows");
    uint32_t greatest = 0;  // negative ones are greater than all
    for (const int32_t code : codes) greatest = std::max(greatest, static_cast<uint32_t>(code));
    if (!codes.empty() && greatest >= static_cast<uint32_t>(columns.code_count[c]))
      throw Error("pair counts: a code is out of range");
  }
}

inline int64_t cells_of(const CodedColumns& columns, ColumnPair pair) {
  return int64_t{columns.code_count.at(pair.first)} * columns.code_count.at(pair.second);
}

// Are all cells of a pair counted, empty ones too, or its rows sorted by cell? The former where cells are few, beside
// rows as well.
inline bool is_dense(int64_t cells, int64_t rows) {
  return cells <= std::min(int64_t{1} << 20, std::max(int64_t{1} << 12, 8 * rows));
}

}  // namespace doppel
