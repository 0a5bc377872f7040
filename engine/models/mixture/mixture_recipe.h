// From a mixture's parameters to the table sampler that draws from it, and back.
#pragma once

#include <cstddef>
#include <functional>

#include "engine/models/mixture/mixture_parameters.h"
#include "engine/models/mixture/mixture_space.h"
#include "engine/table_generator.h"

namespace doppel {

// Where on axis number `axis` a model has the share below that a standard normal has below `score`; ascending, and
// within the score limit.
using ScorePlace = std::function<double(size_t axis, double score)>;

// The members: weights, means and factors of covariances. An axis is a latent, of which there is at least one.
void add_members(const MixtureParameters& parameters, TableSampler& sampler);

// The columns that the space's variables and axes make: what states mean, and each number's segments where its axis
// reaches the shares that the table had.
void add_columns(const TableProfile& profile, const MixtureSpace& space, const ScorePlace& place, TableRecipe& recipe);

// Latents of the recipe are the mixture's axes; a column's segments lie where the mixture's own distribution of its
// latent reaches the shares that the table had, so that each column comes out as it was learned.
TableRecipe make_mixture_recipe(const TableProfile& profile, const MixtureSpace& space,
                                const MixtureParameters& parameters);

}  // namespace doppel
