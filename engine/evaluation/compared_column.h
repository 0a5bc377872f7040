// A column of one of two tables that are compared, made ready for scores of likeness.
#pragma once

#include <algorithm>
#include <cstdint>
#include <ranges>
#include <utility>
#include <vector>

#include "engine/evaluation/evaluation.h"
#include "kernels/common/ordered_bits.h"

namespace doppel {

// The whole part of a bin's position, within [0, last]; 0 for the undefined ones of ranges beyond a double's.
inline int64_t to_bin(double position, int64_t last) {
  return position > 0 ? static_cast<int64_t>(std::min(position, static_cast<double>(last))) : 0;
}

// Numbers ascending, held as whole numbers in their order: quanta, or a real's bits.
class SortedNumbers {
 public:
  SortedNumbers() = default;
  // `divisor` is that of quanta, which hold value * divisor; 0: they are ordered bits.
  SortedNumbers(std::vector<int64_t> sorted, double divisor) : keys_(std::move(sorted)), divisor_(divisor) {}

  size_t size() const { return keys_.size(); }
  bool empty() const { return keys_.empty(); }
  int64_t key(size_t i) const { return keys_[i]; }
  double value(size_t i) const { return value_of(keys_[i]); }
  // What SDMetrics' KSComplement compares: values rounded to 14 decimals, as numpy rounds them; quanta have no more.
  int64_t key_to_compare(size_t i) const;
  // How many come before the first of which is_before(value) is false.
  template <class IsBefore>
  int64_t count_before(IsBefore&& is_before) const {
    return std::ranges::partition_point(keys_, is_before, [&](int64_t key) { return value_of(key); }) - keys_.begin();
  }

 private:
  double value_of(int64_t key) const {
    return divisor_ > 0 ? static_cast<double>(key) / divisor_ : double_of_ordered_bits(key);
  }
  std::vector<int64_t> keys_;
  double divisor_ = 1;
};

struct ComparedColumn {
  ColumnShape shape = ColumnShape::kSkipped;
  int64_t rows = 0, missing = 0;
  // Discrete: the level, `levels` for unseen ones, levels + 1 for missing. Continuous: numpy.digitize's bin, 1 to 10,
  // or 11 for the maximum and for missing values.
  std::vector<int32_t> codes;  // [rows]
  int32_t code_count = 0;
  std::vector<int64_t> counts;  // discrete: [code_count] rows
  // Continuous
  std::vector<double> values;  // [rows] NaN where missing or infinite: infinities have no place in any score
  SortedNumbers sorted;        // the present ones
  double minimum = kUndefined, maximum = kUndefined, mean = kUndefined;
};

ColumnShape shape_of(const ColumnSchema& schema);
ComparedColumn compare_column(const ColumnSchema& schema, const Table& table, size_t index, const Backend& backend);

// column_scores.cpp
ColumnEvaluation score_column(const ColumnSchema& schema, const ComparedColumn& real, const ComparedColumn& synthetic);
// pair_scores.cpp. All pairs of columns that are not skipped. [columns] each; `sorted` is not used.
std::vector<PairEvaluation> score_pairs(const std::vector<ComparedColumn>& real,
                                        const std::vector<ComparedColumn>& synthetic, const Backend& backend);

}  // namespace doppel
