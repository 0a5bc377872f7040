// How often the values of two columns come together: contingency tables, of which scores of likeness are made.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace doppel {

// Columns of one table, of which each row has one of a few codes.
struct CodedColumns {
  int64_t rows = 0;
  std::vector<std::span<const int32_t>> codes;  // of each column [rows], in [0, code_count)
  std::vector<int32_t> code_count;              // of each column
};

struct ColumnPair {
  int32_t first = 0, second = 0;
};

// The rows of one combination of codes: cell first's code * second's code_count + second's code.
struct CellCount {
  int64_t cell = 0, rows = 0;
  bool operator==(const CellCount&) const = default;
};

// A contingency table without its empty cells, in the order of cells.
using PairCounts = std::vector<CellCount>;

// Of a table that a backend holds. Counts are exact, so the same on every backend. One caller at a time.
class PreparedPairCounts {
 public:
  virtual ~PreparedPairCounts() = default;
  // [pairs], in their order.
  virtual std::vector<PairCounts> count(std::span<const ColumnPair> pairs) const = 0;
};

// A backend's is Backend::prepare_pair_counts. The codes must outlive what is prepared. Throws Error where sizes do not
// agree or a code is out of range.
std::unique_ptr<PreparedPairCounts> prepare_pair_counts_on_cpu(const CodedColumns& columns);

}  // namespace doppel
