// The draws of rows with bounded latents (kernels/bounded_sampler.h) that differ from a table sampler's: cells and
// their normals. Portable code (portable.h), a row at a time.
#include "kernels/bounded_sampler.h"
#include "kernels/common/philox.h"
#include "kernels/common/truncated_normal.h"

#if !defined(DOPPEL_BOUNDED_ROWS_ONCE)
#define DOPPEL_BOUNDED_ROWS_ONCE

namespace doppel {

// In memory of the host or of a device.
struct BoundRecord {
  double low, high, tilt;
  int32_t latent;
  float least, greatest;  // scores of its span
  int32_t unused;
};
struct CellRecord {
  int32_t member, bounds;
  uint32_t first_bound, first_weight;
  double log_bound;
  TruncatedNormal first;  // of u[0] - tilt[0]
};
struct CellOutcome {
  uint32_t threshold;
  int32_t below, above;
};
struct BoundedTables {
  const CellRecord* cell;
  const BoundRecord* bound;
  const double* weight;
  const CellOutcome* outcome;
  uint32_t outcomes;
  uint32_t words, further, tries, blocks_per_try;  // of a row's blocks: where each kind begins
};

}  // namespace doppel
#endif

#if defined(DOPPEL_SIMD) ? defined(DOPPEL_BOUNDED_ROWS_TOGGLE) == defined(HWY_TARGET_TOGGLE) \
                         : !defined(DOPPEL_BOUNDED_ROWS_TOGGLE)
#ifdef DOPPEL_BOUNDED_ROWS_TOGGLE
#undef DOPPEL_BOUNDED_ROWS_TOGGLE
#else
#define DOPPEL_BOUNDED_ROWS_TOGGLE
#endif

DOPPEL_PORTABLE_BEGIN

// In (0, 1), of 52 bits.
DOPPEL_PORTABLE double uniform_of(uint32_t high, uint32_t low) {
  const uint64_t bits = (static_cast<uint64_t>(high) << 32 | low) >> 12;
  return (static_cast<double>(bits) + 0.5) * 0x1p-52;
}

// One try of bounded normals u [bounds, stride]; uniform(i) is asked for i = 0, 1, ... True: accepted.
template <class Uniform>
DOPPEL_PORTABLE bool propose_normals(const CellRecord& cell, const BoundRecord* bound, const double* weight,
                                     double acceptance, Uniform uniform, double* u, int stride) {
  double psi = 0;
  for (int i = 0; i < cell.bounds; ++i) {
    TruncatedNormal normal = cell.first;
    const double tilt = bound[i].tilt;
    if (i > 0) {
      double shift = 0;
      for (int j = 0; j < i; ++j) shift = fused_multiply_add(weight[i * cell.bounds + j], u[j * stride], shift);
      const double centre = tilt + shift;
      normal = TruncatedNormal(bound[i].low - centre, bound[i].high - centre);
    }
    u[i * stride] = tilt + normal.draw(uniform(i));
    if (cell.bounds == 1) return true;
    psi += normal.log_probability() + tilt * (0.5 * tilt - u[i * stride]);
  }
  return log_of_positive(acceptance) <= psi - cell.log_bound;
}

struct TriedCell {
  const CellRecord* cell;
  bool is_accepted;
};

// Try `number` of a row: its cell, and in u [bounds, stride] the normals in the bounded components' place.
// block_of(number, words): four words of a block of the row.
template <class BlockOf>
DOPPEL_PORTABLE TriedCell try_cell(const BoundedTables& tables, BlockOf block_of, uint32_t number, double* u,
                                   int stride) {
  uint32_t block = tables.tries + number * tables.blocks_per_try, words[4];
  block_of(block, words);
  const uint64_t product = static_cast<uint64_t>(words[0]) * tables.outcomes;
  const CellOutcome outcome = tables.outcome[product >> 32];
  const CellRecord* cell =
      tables.cell + (static_cast<uint32_t>(product) < outcome.threshold ? outcome.below : outcome.above);
  if (cell->bounds == 0) return {cell, true};
  const double acceptance = (static_cast<double>(words[1]) + 0.5) * 0x1p-32;
  uint32_t high = words[2], low = words[3];  // of the next uniform of even number
  const auto uniform = [&](int i) {
    if (i % 2 == 0) return uniform_of(high, low);
    uint32_t more[4];
    block_of(++block, more);
    high = more[2], low = more[3];
    return uniform_of(more[0], more[1]);
  };
  return {cell, propose_normals(*cell, tables.bound + cell->first_bound, tables.weight + cell->first_weight,
                                acceptance, uniform, u, stride)};
}

// Tries until one is accepted: that one's cell and u.
template <class BlockOf>
DOPPEL_PORTABLE const CellRecord* draw_cell(const BoundedTables& tables, BlockOf block_of, double* u, int stride) {
  TriedCell tried{tables.cell, false};
  for (uint32_t number = 0; number < kMostTries && !tried.is_accepted; ++number)
    tried = try_cell(tables, block_of, number, u, stride);
  return tried.cell;
}

DOPPEL_PORTABLE float within_span(float score, const BoundRecord& bound) {
  score = score < bound.least ? bound.least : score;
  return score > bound.greatest ? bound.greatest : score;
}

DOPPEL_PORTABLE_END
#endif
