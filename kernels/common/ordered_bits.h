// Doubles as whole numbers in the same order.
#pragma once

#include <bit>
#include <cstdint>

namespace doppel {

// A double's bits; of a negative one all but the sign the other way round. -0 is 0. Not of NaN.
inline int64_t ordered_bits(double value) {
  const auto bits = std::bit_cast<int64_t>(value + 0.0);
  return bits ^ (bits >> 63 & INT64_MAX);
}
inline double double_of_ordered_bits(int64_t bits) {
  return std::bit_cast<double>(bits ^ (bits >> 63 & INT64_MAX));
}

}  // namespace doppel
