// Rows of a table as positions in the columns' distributions, in blocks that do not depend on how the source is cut
// into chunks: what models are fitted on.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/table/profile.h"
#include "engine/table/source.h"
#include "engine/table/table.h"
#include "kernels/backend.h"

namespace doppel {

inline constexpr int32_t kMissingPosition = -1;

// Column-major: row r of column c is positions[c * capacity + r].
//   numeric kinds            index into Distribution's values; where it is a sketch, the next item that is not smaller
//   kCategory, kBoolean      the level's code; a level that the schema does not list counts as missing
//   all others               0
// kMissingPosition where the row has no value.
struct EncodedRows {
  int64_t first_row = 0, rows = 0, capacity = 0;
  std::vector<int32_t> positions;
  EncodedRows(size_t columns, int64_t capacity_)
      : capacity(capacity_), positions(columns * static_cast<size_t>(capacity_)) {}
  const int32_t* column(size_t c) const { return positions.data() + c * static_cast<size_t>(capacity); }
  int32_t* column(size_t c) { return positions.data() + c * static_cast<size_t>(capacity); }
};

// Finds positions of the values of one of so many columns.
class PositionFinder {
 public:
  PositionFinder(const ColumnSchema& schema, const Distribution& distribution, size_t columns, const Backend& backend);
  void find(const Column& column, int64_t first, int64_t rows, int32_t* positions) const;

 private:
  void find_present(const Column& column, int64_t first, int64_t rows, int32_t* positions) const;

  ColumnKind kind_;
  int32_t levels_;
  const Distribution& distribution_;
  std::vector<int32_t> direct_;  // position of value - smallest, where the range is small
  std::unique_ptr<PreparedPositions<int64_t>> quanta_positions_;  // where it is not
  std::unique_ptr<PreparedPositions<double>> real_positions_;
};

using BlockConsumer = std::function<void(const EncodedRows&)>;

// Blocks of a source, from its start, each `block_rows` long but the last. A small table is encoded once and kept:
// later passes come from memory.
class RowBlocks {
 public:
  // Keeps positions in memory where they take no more than `resident_bytes`. `progress` may be empty; it gets the share
  // of the source read.
  RowBlocks(TableSource& source, const TableProfile& profile, int64_t block_rows, int64_t resident_bytes,
            const Backend& backend, std::function<void(double)> progress);
  void for_each(const BlockConsumer& consume);

 private:
  void read_source(const BlockConsumer& consume);

  TableSource& source_;
  const TableProfile& profile_;
  int64_t block_rows_;
  bool is_resident_;
  std::function<void(double)> progress_;
  std::vector<PositionFinder> finders_;
  std::vector<EncodedRows> kept_;
};

}  // namespace doppel
