// Positions of numbers among sorted ones: what a transform by a column's distribution (normal scores) begins with.
#pragma once

#include <cstdint>
#include <memory>
#include <span>

namespace doppel {

// Of one column, of which a backend holds the sorted values. One caller at a time.
template <class Value>  // int64_t or double
class PreparedPositions {
 public:
  virtual ~PreparedPositions() = default;
  // positions [numbers]: of each number the index of the first value that is not smaller, or of the last value.
  virtual void find(std::span<const Value> numbers, int32_t* positions) const = 0;
};

// `sorted` ascending, not empty; it must outlive what is prepared. A backend's is Backend::prepare_positions.
std::unique_ptr<PreparedPositions<int64_t>> prepare_positions_on_cpu(std::span<const int64_t> sorted);
std::unique_ptr<PreparedPositions<double>> prepare_positions_on_cpu(std::span<const double> sorted);

}  // namespace doppel
