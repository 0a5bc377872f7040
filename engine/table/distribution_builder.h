// Counts the values of a numeric column: exactly up to a limit of distinct values, by a quantile sketch beyond it.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "engine/table/quantile_sketch.h"

namespace doppel {

template <class Value>
class DistributionBuilder {
 public:
  // Memory: at most about 32 bytes * exact_limit, or 8 bytes * sketch_capacity for each doubling of values beyond it.
  DistributionBuilder(size_t exact_limit, size_t sketch_capacity)
      : exact_limit_(exact_limit), sketch_capacity_(sketch_capacity), slots_(kFirstSlots) {}

  void add(Value value, int64_t weight = 1) {
    if (sketch_) {
      weight == 1 ? sketch_->add(value) : sketch_->add(value, weight);
      return;
    }
    Slot& slot = find(value + Value{});  // adding zero makes -0 a 0
    if (slot.count == 0) {
      slot.value = value + Value{};
      ++distinct_;
    }
    slot.count += weight;
    if (distinct_ > exact_limit_) {
      start_sketch();
    } else if (2 * distinct_ > slots_.size()) {
      grow();
    }
  }

  bool is_exact() const { return !sketch_; }
  size_t distinct() const { return distinct_; }  // a lower bound where not exact
  int64_t error_bound() const { return sketch_ ? sketch_->error_bound() : 0; }

  // Ascending values with their counts.
  std::vector<std::pair<Value, int64_t>> items() const {
    if (sketch_) return sketch_->items();
    std::vector<std::pair<Value, int64_t>> items;
    items.reserve(distinct_);
    for (const Slot& slot : slots_) {
      if (slot.count != 0) items.emplace_back(slot.value, slot.count);
    }
    std::sort(items.begin(), items.end());
    return items;
  }

  // Of function(value) for every value, in the same order.
  template <class Other, class Function>
  DistributionBuilder<Other> transformed(Function function) const {
    DistributionBuilder<Other> result(exact_limit_, sketch_capacity_);
    if (sketch_) {
      result.sketch_ = sketch_->template transformed<Other>(function);
      result.distinct_ = distinct_;
      return result;
    }
    for (const Slot& slot : slots_) {
      if (slot.count != 0) result.add(function(slot.value), slot.count);
    }
    return result;
  }

 private:
  template <class>
  friend class DistributionBuilder;

  struct Slot {
    Value value{};
    int64_t count = 0;  // 0: empty
  };
  static constexpr size_t kFirstSlots = 64;

  Slot& find(Value value) {
    const size_t mask = slots_.size() - 1;
    const uint64_t hash = std::bit_cast<uint64_t>(value) * 0x9e3779b97f4a7c15ull;
    size_t at = static_cast<size_t>(hash ^ hash >> 32) & mask;
    while (slots_[at].count != 0 && slots_[at].value != value) at = (at + 1) & mask;
    return slots_[at];
  }

  void start_sketch() {
    sketch_.emplace(sketch_capacity_);
    for (const auto& [value, count] : std::exchange(slots_, {})) {
      if (count != 0) sketch_->add(value, count);
    }
  }

  void grow() {
    const std::vector<Slot> old = std::exchange(slots_, std::vector<Slot>(2 * slots_.size()));
    for (const Slot& slot : old) {
      if (slot.count != 0) find(slot.value) = slot;
    }
  }

  size_t exact_limit_, sketch_capacity_, distinct_ = 0;
  std::vector<Slot> slots_;  // a power of two of them
  std::optional<QuantileSketch<Value>> sketch_;
};

}  // namespace doppel
