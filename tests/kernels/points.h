// Made points for tests of nearest neighbours.
#pragma once

#include <algorithm>
#include <cstdint>
#include <random>
#include <vector>

#include "kernels/nearest.h"

namespace doppel {

struct PointSet {
  int64_t rows = 0, columns = 0;
  std::vector<float> values;
  Points points() const { return {rows, columns, values}; }
};

// Of three columns one is a share of a range that is sometimes missing, one a level, one a number of a few values
// (which makes ties).
inline PointSet random_points(int64_t rows, int64_t columns, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::uniform_real_distribution<float> share(-0.1f, 1.1f);
  PointSet set{rows, columns, {}};
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t column = 0; column < columns; ++column) {
      float value = share(random);
      if (column % 3 == 0 && random() % 8 == 0) value = 1e6f;
      if (column % 3 == 1) value = static_cast<float>(random() % 5) - 1;
      if (column % 3 == 2) value = static_cast<float>(random() % 4) / 8;
      set.values.push_back(value);
    }
  }
  return set;
}

inline void sort_rows(PointSet& set) {
  std::vector<std::vector<float>> rows;
  for (int64_t row = 0; row < set.rows; ++row) {
    const auto first = set.values.begin() + row * set.columns;
    rows.emplace_back(first, first + set.columns);
  }
  std::sort(rows.begin(), rows.end());
  for (int64_t row = 0; row < set.rows; ++row)
    std::copy(rows[row].begin(), rows[row].end(), set.values.begin() + row * set.columns);
}

}  // namespace doppel
