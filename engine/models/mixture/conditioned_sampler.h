// Rows of a mixture some of whose latents are bounded (mixture_condition.h), drawn row by row in the engine.
//
// Random numbers of a row, Stream::kWhere, blocks and words as random.h numbers them:
//   blocks 0 .. N - 1       the components' normals and the residuals', as of a table sampler (kernels/table.h); those
//   of
//                           the bounded components go unused
//   then V blocks           word v: the state of variable v; V = ceil(variables / 4)
//   then a block a variable the draws further up its tree
//   then A blocks a try     word 0: the cell; word 1: whether the try is accepted; words 2 + 2 i, 3 + 2 i: the uniform
//   of
//                           the i-th bounded latent
// A try that is rejected draws another cell. So row i depends on (conditions, seed, i) only (the row law), and its
// arithmetic is that of the bit law.
#pragma once

#include <memory>
#include <string>

#include "engine/model.h"
#include "engine/models/mixture/mixture_condition.h"
#include "kernels/backend.h"

namespace doppel {

// Rows under the conditions: by the backend's kernel where no latent is bounded, else as above, on the CPU. The backend
// must outlive the generator.
std::shared_ptr<const Generator> make_conditioned_generator(std::shared_ptr<const ConditionedMixture> mixture,
                                                            uint64_t seed, const Backend& backend);

// The share of tries that are accepted: 1 where no cell bounds several latents, else counted over 2^16 tries, with a
// standard error of at most 0.002. Throws UsageError where none is.
double acceptance_of(const ConditionedMixture& mixture);

// All of it: Model::make_generator_where of a mixture.
ConditionedRows make_rows_where(const TableRecipe& recipe, const std::string& conditions, uint64_t seed,
                                const Backend& backend);

}  // namespace doppel
