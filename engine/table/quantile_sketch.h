// A mergeable quantile sketch without randomness.
//
// Level h holds values that stand for 2^h values each. A full level is sorted, and every other value of it moves up:
// those at even places and those at odd places by turns. This is the buffer scheme of Manku, Rajagopalan and Lindsay
// ("Approximate medians and other quantiles in one pass and with limited memory", SIGMOD 1998) in the form of the
// compactors of Karnin, Lang and Liberty ("Optimal quantile approximation in streams", FOCS 2016), with turns in place
// of their coin.
//
// Error: compacting level h moves the rank of no value by more than 2^h. Level h is compacted n / (2^h capacity) times
// among n values, so that no rank is wrong by more than n log2(n / capacity) / capacity: 0.06 % of n at n = 10^10 and
// the capacity 32,768. error_bound() is the sum over the compactions that took place. The least and the greatest value
// are exact.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>
#include <utility>
#include <vector>

#include "kernels/sort.h"

namespace doppel {

template <class Value>
class QuantileSketch {
 public:
  explicit QuantileSketch(size_t capacity) : capacity_(std::max<size_t>(capacity / 2 * 2, 2)), levels_(1) {}

  void add(Value value) {
    include(value);
    push(value, 0);
  }

  // The same value `weight` times.
  void add(Value value, int64_t weight) {
    include(value);
    for (size_t level = 0; weight >> level != 0; ++level) {
      if ((weight >> level & 1) != 0) push(value, level);
    }
  }

  void merge(const QuantileSketch& other) {
    if (other.is_empty_) return;
    include(other.least_);
    include(other.greatest_);
    error_bound_ += other.error_bound_;
    for (size_t level = 0; level < other.levels_.size(); ++level) {
      for (const Value value : other.levels_[level].values) push(value, level);
    }
  }

  // Replaces every value by function(value), which must not change their order.
  template <class Function>
  void transform(Function function) {
    least_ = function(least_);
    greatest_ = function(greatest_);
    for (Level& level : levels_)
      std::transform(level.values.begin(), level.values.end(), level.values.begin(), function);
  }

  template <class Other, class Function>
  QuantileSketch<Other> transformed(Function function) const;

  // No rank, counted in values, is wrong by more than this.
  int64_t error_bound() const { return error_bound_; }

  // Values, ascending, and what each stands for. The weights sum to the number of values added.
  std::vector<std::pair<Value, int64_t>> items() const {
    std::vector<std::pair<Value, int64_t>> items;
    for (size_t level = 0; level < levels_.size(); ++level) {
      for (const Value value : levels_[level].values) items.emplace_back(value, int64_t{1} << level);
    }
    std::sort(items.begin(), items.end());
    if (items.empty()) return items;
    // The ends take their places from their neighbours.
    if (least_ < items.front().first) {
      --items.front().second;
      items.insert(items.begin(), {least_, 1});
    }
    if (items.back().first < greatest_) {
      --items.back().second;
      items.emplace_back(greatest_, 1);
    }
    return merged(items);
  }

 private:
  template <class>
  friend class QuantileSketch;

  struct Level {
    std::vector<Value> values;
    bool takes_odd = false;
  };

  // Equal values become one item; items that stand for nothing go.
  static std::vector<std::pair<Value, int64_t>> merged(const std::vector<std::pair<Value, int64_t>>& items) {
    std::vector<std::pair<Value, int64_t>> result;
    for (const auto& [value, weight] : items) {
      if (weight == 0) continue;
      if (!result.empty() && result.back().first == value)
        result.back().second += weight;
      else
        result.emplace_back(value, weight);
    }
    return result;
  }

  void include(Value value) {
    if (is_empty_ || value < least_) least_ = value;
    if (is_empty_ || value > greatest_) greatest_ = value;
    is_empty_ = false;
  }

  void push(Value value, size_t level) {
    if (level >= levels_.size()) levels_.resize(level + 1);
    if (levels_[level].values.size() == capacity_) compact(level);
    levels_[level].values.push_back(value);
  }

  void compact(size_t level) {
    if (level + 1 == levels_.size()) levels_.emplace_back();
    if (levels_[level + 1].values.size() + capacity_ / 2 > capacity_) compact_rest(level + 1);
    Level& from = levels_[level];
    sort_ascending(std::span(from.values));
    std::vector<Value>& to = levels_[level + 1].values;
    for (size_t at = from.takes_odd ? 1 : 0; at < from.values.size(); at += 2) to.push_back(from.values[at]);
    from.takes_odd = !from.takes_odd;
    from.values.clear();
    error_bound_ += int64_t{1} << level;
  }

  // Of a level that is not full, too: an odd value stays.
  void compact_rest(size_t level) {
    std::vector<Value>& values = levels_[level].values;
    if (values.size() % 2 == 0) return compact(level);
    std::nth_element(values.begin(), values.end() - 1, values.end());
    const Value greatest = values.back();
    values.pop_back();
    compact(level);
    levels_[level].values.push_back(greatest);
  }

  size_t capacity_;
  std::vector<Level> levels_;
  Value least_{}, greatest_{};
  bool is_empty_ = true;
  int64_t error_bound_ = 0;
};

template <class Value>
template <class Other, class Function>
QuantileSketch<Other> QuantileSketch<Value>::transformed(Function function) const {
  QuantileSketch<Other> result(capacity_);
  result.levels_.resize(levels_.size());
  for (size_t level = 0; level < levels_.size(); ++level) {
    result.levels_[level].takes_odd = levels_[level].takes_odd;
    for (const Value value : levels_[level].values) result.levels_[level].values.push_back(function(value));
  }
  result.least_ = function(least_);
  result.greatest_ = function(greatest_);
  result.is_empty_ = is_empty_;
  result.error_bound_ = error_bound_;
  return result;
}

}  // namespace doppel
