// Rows of a mixture some of whose latents are bounded: a table under conditions on its numbers.
//
// A row takes a cell by its weight: a member, bounded latents and the span of scores that each keeps to. Of the cell's
// member the i-th bounded latent depends on the components 0 .. i alone, so that its bounds are
//
//   low[i] <= sum_{j < i} weight[i, j] u[j] + u[i] < high[i],     u standard normals in the components' place.
//
// u is tried by minimax tilting (Botev, "The normal law under linear restrictions: simulation and estimation via
// minimax tilting", JRSS B 79, 2017): u[i] comes from a normal of mean tilt[i] within the bounds that u[0 .. i - 1]
// leave, and is accepted with probability exp(psi(u) - log_bound), psi the log of the ratio of the densities; one
// bound's always is. A rejected try draws another cell, too. Then the other normals, the scores and the states are as
// of a table sampler, but that scores are sums of rounded products, and that each bounded score is kept within its
// span.
//
// Random numbers of a row, Stream::kWhere, blocks and words as random.h numbers them:
//   blocks 0 .. N - 1       the components' normals and the residuals', as of a table sampler (table.h); those of the
//                           bounded components go unused
//   then V blocks           word v: the state of variable v; V = ceil(variables / 4)
//   then a block a variable the draws further up its tree
//   then A blocks a try     word 0: the cell; word 1: whether the try is accepted; words 2 + 2 i, 3 + 2 i: the uniform
//                           of the i-th bounded latent
// So row i depends on (sampler, seed, i) only, and its bits are the same on every instruction set and on CUDA.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "kernels/table.h"

namespace doppel {

struct BoundedLatent {
  int32_t latent = 0;
  float span_low = 0, span_high = 0;   // its score is in [span_low, span_high); may be infinite
  double low = 0, high = 0, tilt = 0;  // of u; low < high, may be infinite
};

struct BoundedCell {
  int32_t member = 0;
  std::vector<BoundedLatent> bounds;  // in the order of their components; may be none
  std::vector<double> weight;         // [bounds, bounds] row-major, of which the part below the diagonal counts
  double log_bound = 0;
};

// The table is a mixture whose own weights of members, and whether it is balanced, count nothing. What is prepared
// keeps copies.
struct BoundedSampler {
  const TableSampler& table;
  std::span<const BoundedCell> cells;
  const AliasTable& cell;  // outcomes: cells
};

// Of a row's first tries, those of rows [0, rows), how many are accepted.
int64_t count_accepted_tries(const BoundedSampler& sampler, uint64_t seed, int64_t rows);

// A row whose tries all fail takes the last one, within its spans: nothing is drawn for ever. Where a try in 2^16 is
// accepted, no row in e^256 comes to that.
inline constexpr uint32_t kMostTries = 1 << 24;

// Throws Error if the sampler contradicts itself: members, latents or outcomes out of range, lengths, bounds the wrong
// way round.
void check_bounded_sampler(const BoundedSampler& sampler);

}  // namespace doppel
