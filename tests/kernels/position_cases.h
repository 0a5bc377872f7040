// Positions among sorted numbers by any backend, against std::lower_bound.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/backend.h"

namespace doppel {

template <class Value>
void expect_positions(const Backend& backend, size_t sorted_ones, size_t numbers, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_int_distribution<int64_t> any(-3 * static_cast<int64_t>(sorted_ones),
                                             3 * static_cast<int64_t>(sorted_ones));
  const auto draw = [&] { return static_cast<Value>(any(random)) / Value{3}; };
  std::vector<Value> sorted, wanted;
  for (size_t i = 0; i < sorted_ones; ++i) sorted.push_back(draw());
  std::sort(sorted.begin(), sorted.end());
  for (size_t i = 0; i < numbers; ++i) wanted.push_back(i % 2 == 0 ? draw() : sorted[random() % sorted_ones]);
  std::vector<int32_t> positions(numbers + 1, -7);
  backend.prepare_positions(std::span<const Value>(sorted))->find(wanted, positions.data());
  for (size_t i = 0; i < numbers; ++i) {
    const auto at = std::lower_bound(sorted.begin(), sorted.end(), wanted[i]) - sorted.begin();
    ASSERT_EQ(positions[i], std::min<int64_t>(at, static_cast<int64_t>(sorted_ones) - 1))
        << "number " << i << " of " << numbers << " among " << sorted_ones;
  }
  EXPECT_EQ(positions.back(), -7);
}

inline void expect_positions_of_every_size(const Backend& backend) {
  for (const size_t sorted : {1, 2, 3, 7, 8, 9, 1000, 5000})
    for (const size_t numbers : {0, 1, 7, 8, 9, 127, 128, 129, 600}) {
      expect_positions<double>(backend, sorted, numbers, 1);
      expect_positions<int64_t>(backend, sorted, numbers, 2);
    }
}

}  // namespace doppel
