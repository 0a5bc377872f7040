// Samplers of bounded rows for tests of any backend.
#pragma once

#include <limits>

#include "kernels/bounded_sampler.h"
#include "tests/kernels/sampler_cases.h"

namespace doppel {

struct BoundedCase {
  TableSampler table;
  std::vector<BoundedCell> cells;
  AliasTable cell;
  BoundedSampler sampler() const { return {table, cells, cell}; }
};

inline BoundedCell random_cell(const TableSampler& table, int32_t bounds, std::mt19937_64& random) {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  std::normal_distribution<double> normal;
  BoundedCell cell;
  cell.member = static_cast<int32_t>(random() % static_cast<uint64_t>(table.members));
  for (int32_t i = 0; i < bounds; ++i) {
    const double low = normal(random) - 1;
    const auto span_low = static_cast<float>(normal(random));
    BoundedLatent bound{
        (i + cell.member) % table.latents, span_low, span_low + 0.5f, low, low + 2, 0.3 * normal(random)};
    if (random() % 4 == 0) bound.low = -kInfinity, bound.span_low = -std::numeric_limits<float>::infinity();
    if (random() % 4 == 0) bound.high = kInfinity, bound.span_high = std::numeric_limits<float>::infinity();
    if (bounds == 1 && random() % 3 == 0) bound.low += 35, bound.high += 40;  // far out
    cell.bounds.push_back(bound);
  }
  for (int32_t i = 0; i < bounds * bounds; ++i) cell.weight.push_back(0.5 * normal(random));
  cell.log_bound = -0.5;  // high enough to reject some tries
  return cell;
}

// Cells of none to `most_bounds` bounds.
inline BoundedCase random_bounded(const MixtureShape& shape, int32_t most_bounds, size_t cells, uint64_t seed) {
  BoundedCase made;
  made.table = random_mixture(shape, seed);
  std::mt19937_64 random(seed + 1);
  for (size_t i = 0; i < cells; ++i)
    made.cells.push_back(random_cell(made.table, most_bounds - static_cast<int32_t>(i) % (most_bounds + 1), random));
  add_entries(made.cell, 2 * cells, 0, static_cast<int32_t>(cells), random);
  return made;
}

}  // namespace doppel
