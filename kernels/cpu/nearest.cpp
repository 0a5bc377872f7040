// Nearest neighbours, compiled for each instruction set.
//
// References go through in tiles that stay in the L1 cache, column-major; against each tile come all queries, four at a
// time, each against two vectors of references: eight sums in registers, 4 operations a column for eight (AVX2) pairs.
// Two things are skipped, neither of which can change a minimum, as sums only grow and rounding is monotone:
//   a tile whose bounding box is no nearer to any of the four queries than what they have;
//   the columns left once no sum is below what its query has, asked every kColumnsBetweenChecks columns.
#include "kernels/cpu/nearest.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/cpu/nearest.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <limits>

#include "kernels/common/nearest.h"

#ifndef DOPPEL_NEAREST_ONCE
#define DOPPEL_NEAREST_ONCE
namespace doppel {
namespace {

constexpr int64_t kQueries = 4;        // side by side
constexpr int64_t kRowsMultiple = 32;  // of a tile: two of the widest vectors
constexpr int64_t kTileFloats = 4096;  // 16 KiB
constexpr int64_t kColumnsBetweenChecks = 4;

// References as one tile sees them.
struct ReferenceTile {
  int64_t columns = 0, stride = 0;  // stride: room for rows, a multiple of kRowsMultiple
  int64_t rows = 0;                 // likewise; the last row repeats
  std::vector<float> values;        // [columns, stride]
  std::vector<float> low, high;     // [columns] the bounding box
};

}  // namespace
}  // namespace doppel
#endif

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;
using Tag = hn::CappedTag<float, kRowsMultiple / 2>;
using Vector = hn::Vec<Tag>;

// Adds columns [first, last) to the sums of four queries and two vectors of references.
HWY_INLINE void add_columns(const float* const queries[kQueries], const float* references, int64_t stride,
                            int64_t first, int64_t last, Vector sums[2 * kQueries]) {
  const Tag tag;
  const auto one = hn::Set(tag, 1.0f);
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  for (int64_t column = first; column < last; ++column) {
    const auto left = hn::LoadU(tag, references + column * stride);
    const auto right = hn::LoadU(tag, references + column * stride + lanes);
    for (int64_t q = 0; q < kQueries; ++q) {
      const auto query = hn::Set(tag, queries[q][column]);
      sums[2 * q] = hn::Add(sums[2 * q], hn::Min(hn::Abs(hn::Sub(left, query)), one));
      sums[2 * q + 1] = hn::Add(sums[2 * q + 1], hn::Min(hn::Abs(hn::Sub(right, query)), one));
    }
  }
}

HWY_INLINE bool is_any_nearer(const Vector sums[2 * kQueries], const Vector nearest[kQueries]) {
  auto nearer = hn::Lt(hn::Min(sums[0], sums[1]), nearest[0]);
  for (int64_t q = 1; q < kQueries; ++q)
    nearer = hn::Or(nearer, hn::Lt(hn::Min(sums[2 * q], sums[2 * q + 1]), nearest[q]));
  return !hn::AllFalse(Tag(), nearer);
}

// distances[q] = min(distances[q], distance of queries[q] to the nearest reference of the tile).
void search_tile(const ReferenceTile& tile, const float* const queries[kQueries], float distances[kQueries]) {
  const Tag tag;
  const auto lanes = static_cast<int64_t>(hn::Lanes(tag));
  Vector nearest[kQueries];
  for (int64_t q = 0; q < kQueries; ++q) nearest[q] = hn::Set(tag, distances[q]);
  for (int64_t row = 0; row < tile.rows; row += 2 * lanes) {
    Vector sums[2 * kQueries];
    for (auto& sum : sums) sum = hn::Zero(tag);
    bool nearer = true;
    for (int64_t column = 0; column < tile.columns && nearer; column += kColumnsBetweenChecks) {
      add_columns(queries, tile.values.data() + row, tile.stride, column,
                  std::min(column + kColumnsBetweenChecks, tile.columns), sums);
      nearer = is_any_nearer(sums, nearest);
    }
    if (!nearer) continue;
    for (int64_t q = 0; q < kQueries; ++q) nearest[q] = hn::Min(nearest[q], hn::Min(sums[2 * q], sums[2 * q + 1]));
  }
  for (int64_t q = 0; q < kQueries; ++q) distances[q] = hn::GetLane(hn::MinOfLanes(tag, nearest[q]));
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace doppel {

HWY_EXPORT(search_tile);

namespace {

ReferenceTile make_tile(int64_t columns) {
  ReferenceTile tile;
  tile.columns = columns;
  tile.stride = std::max(kTileFloats / std::max<int64_t>(columns, 1) / kRowsMultiple, int64_t{1}) * kRowsMultiple;
  tile.values.resize(columns * tile.stride);
  tile.low.resize(columns);
  tile.high.resize(columns);
  return tile;
}

void fill_tile(const Points& references, int64_t first, ReferenceTile& tile) {
  const int64_t rows = std::min(tile.stride, references.rows - first);
  tile.rows = (rows + kRowsMultiple - 1) / kRowsMultiple * kRowsMultiple;
  const float* from = references.values.data() + first * references.columns;
  for (int64_t column = 0; column < tile.columns; ++column) {
    float* to = tile.values.data() + column * tile.stride;
    for (int64_t row = 0; row < rows; ++row) to[row] = from[row * tile.columns + column];
    std::fill(to + rows, to + tile.rows, to[rows - 1]);
    const auto [low, high] = std::minmax_element(to, to + rows);
    tile.low[column] = *low;
    tile.high[column] = *high;
  }
}

// Whether a row of the tile may be nearer to the query than `distance`. The terms and their order are those of the
// distances, so that not even rounding makes the box farther than a row in it.
bool may_be_nearer(const ReferenceTile& tile, const float* query, float distance) {
  float sum = 0;
  for (int64_t column = 0; column < tile.columns; ++column) {
    const float outside = std::max(tile.low[column] - query[column], query[column] - tile.high[column]);
    sum += std::min(std::max(outside, 0.0f), 1.0f);
  }
  return sum < distance;
}

}  // namespace

std::vector<float> nearest_distances_on_cpu(const Points& queries, const Points& references) {
  check_nearest(queries, references);
  std::vector<float> distances(queries.rows, std::numeric_limits<float>::infinity());
  const int64_t columns = queries.columns;
  ReferenceTile tile = make_tile(columns);
  for (int64_t first = 0; first < references.rows; first += tile.stride) {
    fill_tile(references, first, tile);
    for (int64_t query = 0; query < queries.rows; query += kQueries) {
      const float* rows[kQueries];
      float nearest[kQueries];
      bool may_be = false;
      for (int64_t q = 0; q < kQueries; ++q) {  // the last query stands in for those past the end
        const int64_t row = std::min(query + q, queries.rows - 1);
        rows[q] = queries.values.data() + row * columns;
        nearest[q] = distances[row];
        may_be = may_be || may_be_nearer(tile, rows[q], nearest[q]);
      }
      if (!may_be) continue;
      HWY_DYNAMIC_DISPATCH(search_tile)(tile, rows, nearest);
      std::copy_n(nearest, std::min(kQueries, queries.rows - query), distances.begin() + query);
    }
  }
  return distances;
}

}  // namespace doppel
#endif
