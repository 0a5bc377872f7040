// A mixture under conditions: the exact conditional distribution, as a mixture again.
//
// A condition on a variable's states multiplies a member's weight by the probability of the allowed states and
// restricts their distribution. A condition on a value that the latent gives bounds the latent's score to intervals
// ("spans"), or fixes it at a point where single values have no probability (real numbers). A column that has both
// states and a latent allows some states, some spans, or either. So the distribution falls into cells,
//
//   cell = a member of the old mixture x which of its latents are bounded x one span for each of these,
//
// of weight  member's weight x P(states that bound just these | member) x P(spans | member) (or x density of the
// points). Within a cell the factor's components are rotated so that the bounded latents depend on the first ones
// alone:
//
//   z[b_i] = mean + sum_{j < i} factor[j] u[j] + factor[i] u[i],   u standard normals within bounds,
//
// and the other normals are as ever. Where no latent is bounded, that is a table sampler as any other; else rows are
// drawn by kernels/bounded_sampler.h: in closed form for one bounded latent, else by tilting, which proposes with a
// known upper bound of P(spans | member) in the weight's place and rejects.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/models/mixture/conditions.h"
#include "engine/models/mixture/latent_limit.h"
#include "engine/table_generator.h"
#include "kernels/bounded_sampler.h"

namespace doppel {

struct ConditionedMixture {
  TableRecipe recipe;  // its sampler's members: old members by which latents are bounded
  // Empty where no latent is bounded.
  std::vector<BoundedCell> cells;
  AliasTable cell;
  // The conditions' probability under the model, or the density of a real number's value times the probability of the
  // rest. Where `is_bound`, cells bound several latents, and it is an upper bound: the probability is this times the
  // share of tries that are accepted.
  double probability = 0;
  bool is_density = false, is_bound = false;
};

// Cells below this share of the whole are left out: an alias table could not tell them from nothing.
inline constexpr double kLeastCellShare = 0x1p-40;

// Throws UsageError where no row meets the conditions under the model (probability below 1e-280), and for conditions
// that leave more than a million cells.
ConditionedMixture condition_mixture(const TableRecipe& recipe, const Conditions& conditions);

}  // namespace doppel
