// Nearest neighbours by exhaustive search, under Gower's distance ("A general coefficient of similarity and some of its
// properties", Biometrics 1971): a sum over columns of differences that are at most one,
//
//   distance(a, b) = sum_j min(|a_j - b_j|, 1)
//
// A number divided by its range counts by its share of the range; a level as a whole number counts 0 or 1; a missing
// value as a number far from all others counts 0 beside another and 1 beside a value.
//
// The sum starts at 0 and adds in float, j ascending; a minimum has no rounding. So a distance is the same bits on
// every backend and instruction set, whatever the order of the rows.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace doppel {

struct Points {
  int64_t rows = 0, columns = 0;
  std::span<const float> values;  // [rows, columns], row-major; finite
};

// A backend's nearest_distances gives, of each query, the distance to the nearest of `references`: [queries.rows];
// infinity where there are no references. Throws Error where sizes do not agree or a value is not finite. It takes
// queries.rows * references.rows * columns steps of four operations, fewer where the rows are sorted, first by the
// columns that differ most: then most pairs are out of question after a few columns, and whole tiles of references at
// once.

}  // namespace doppel
