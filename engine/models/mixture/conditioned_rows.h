// Rows of a mixture under conditions (mixture_condition.h), as a generator.
#pragma once

#include <memory>
#include <string>

#include "engine/model.h"
#include "engine/models/mixture/mixture_condition.h"
#include "kernels/backend.h"

namespace doppel {

// By the backend's table sampler where no latent is bounded, else by its sampler of bounded rows. The backend must
// outlive the generator.
std::shared_ptr<const Generator> make_conditioned_generator(std::shared_ptr<const ConditionedMixture> mixture,
                                                            uint64_t seed, const Backend& backend);

// The share of tries that are accepted: 1 where no cell bounds several latents, else counted over 2^16 tries, with a
// standard error of at most 0.002. Throws UsageError where none is.
double acceptance_of(const ConditionedMixture& mixture);

// All of it: Model::make_generator_where of a mixture.
ConditionedRows make_rows_where(const TableRecipe& recipe, const std::string& conditions, uint64_t seed,
                                const Backend& backend);

}  // namespace doppel
