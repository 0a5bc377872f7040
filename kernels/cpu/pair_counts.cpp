#include "kernels/common/pair_counts.h"

#include "kernels/sort.h"

namespace doppel {
namespace {

// Two arrays taken in turn: neighbouring rows are often equal, and an increment waits for the one before it.
PairCounts count_all_cells(std::span<const int32_t> first, std::span<const int32_t> second, int64_t width,
                           int64_t cells) {
  std::vector<int32_t> even(static_cast<size_t>(cells)), odd(even);
  size_t row = 0;
  for (; row + 1 < first.size(); row += 2) {
    ++even[first[row] * width + second[row]];
    ++odd[first[row + 1] * width + second[row + 1]];
  }
  if (row < first.size()) ++even[first[row] * width + second[row]];
  PairCounts counted;
  for (int64_t cell = 0; cell < cells; ++cell)
    if (even[cell] + odd[cell] > 0) counted.push_back({cell, int64_t{even[cell]} + odd[cell]});
  return counted;
}

PairCounts count_runs(std::span<const int32_t> first, std::span<const int32_t> second, int64_t width) {
  std::vector<int64_t> cells(first.size());
  for (size_t row = 0; row < first.size(); ++row) cells[row] = first[row] * width + second[row];
  sort_ascending(cells);
  PairCounts counted;
  for (const int64_t cell : cells) {
    if (counted.empty() || counted.back().cell != cell) counted.push_back({cell, 0});
    ++counted.back().rows;
  }
  return counted;
}

class PairCountsOnCpu : public PreparedPairCounts {
 public:
  explicit PairCountsOnCpu(const CodedColumns& columns) : columns_(columns) { check_coded_columns(columns); }

  std::vector<PairCounts> count(std::span<const ColumnPair> pairs) const override {
    std::vector<PairCounts> counted;
    for (const ColumnPair pair : pairs) {
      const int64_t cells = cells_of(columns_, pair), width = columns_.code_count[pair.second];
      const auto first = columns_.codes[pair.first], second = columns_.codes[pair.second];
      counted.push_back(is_dense(cells, columns_.rows) ? count_all_cells(first, second, width, cells)
                                                       : count_runs(first, second, width));
    }
    return counted;
  }

 private:
  CodedColumns columns_;
};

}  // namespace

std::unique_ptr<PreparedPairCounts> prepare_pair_counts_on_cpu(const CodedColumns& columns) {
  return std::make_unique<PairCountsOnCpu>(columns);
}

}  // namespace doppel
