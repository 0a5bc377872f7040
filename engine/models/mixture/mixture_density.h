// The density of a mixture, in closed form. Of a row with known states S_v of some variables (sets, where not all
// columns of a variable are known) and known latents z_K
//   p(row) = sum_m weight_m prod_v P(S_v | m) N(z_K; mean_mK, covariance_mKK)
// What is unknown, and a latent whose column has one of its special values, is integrated out by leaving it out. A
// value of several that share an interval of the axis counts as one point (MixtureColumn::score_of).
//
// A cell's contribution is the difference to the row without it: P(S_v) becomes that of the states that the variable's
// other columns leave, and N loses the factor N(z_j | z_K without j), read off the inverse covariance: with d = z -
// mean and Q = covariance_KK^-1 its mean is z_j - (Q d)_j / Q_jj and its variance 1 / Q_jj.
//
// A variable that no member can have in the states known (a level never seen, a combination never seen) counts as
// 1 / (rows + 1) in every member; one that some members cannot have, as 1e-30 in those.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/density.h"
#include "engine/table_generator.h"

namespace doppel {

// `rows`: learned from. Throws InputError where the recipe is none of a mixture.
std::shared_ptr<const Density> make_mixture_density(std::shared_ptr<const TableRecipe> recipe, int64_t rows);

}  // namespace doppel
