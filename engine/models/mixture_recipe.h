// From a mixture's parameters to the table sampler that draws from it, and back.
#pragma once

#include "engine/models/mixture_parameters.h"
#include "engine/models/mixture_space.h"
#include "engine/table_generator.h"

namespace doppel {

// Latents of the recipe are the mixture's axes; a column's segments lie where the mixture's own distribution of its
// latent reaches the shares that the table had, so that each column comes out as it was learned.
TableRecipe make_mixture_recipe(const TableProfile& profile, const MixtureSpace& space,
                                const MixtureParameters& parameters);

}  // namespace doppel
