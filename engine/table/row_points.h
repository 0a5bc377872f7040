// Rows as points of kernels/nearest.h, whose distance is then Gower's; and whether rows lie nearer to one set of points
// than to another.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace doppel {

// One coordinate: a number's place in a range (of the rows that are to be known, say), or a level's code.
struct PointColumn {
  bool is_number = false;
  double minimum = 0, range = 0;
  // Of a number in its own unit or a code; NaN where missing, which lies far from every value.
  float place(double value) const;
};

// Mean distance along a column of pairs of rows: the first half of the rows with the second.
double spread_of(std::span<const float> places);

// Rows [rows, columns] in ascending order: searches are faster where the first columns are those that spread most.
std::vector<float> sort_points(const std::vector<float>& values, size_t columns);

// Of each of these rows which set has the nearest point, given the distances (sums over columns): share nearer to the
// first, ties counting half, and share of ties: distances that rounding cannot tell apart.
struct NearerShare {
  double nearer = 0, tied = 0;
};
NearerShare compare_distances(std::span<const float> to_first, std::span<const float> to_second, size_t columns);

}  // namespace doppel
