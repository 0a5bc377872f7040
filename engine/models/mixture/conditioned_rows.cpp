#include "engine/models/mixture/conditioned_rows.h"

#include <string>

#include "kernels/bounded_sampler.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

BoundedSampler sampler_of(const ConditionedMixture& mixture) {
  return {mixture.recipe.sampler, mixture.cells, mixture.cell};
}

}  // namespace

std::shared_ptr<const Generator> make_conditioned_generator(std::shared_ptr<const ConditionedMixture> mixture,
                                                            uint64_t seed, const Backend& backend) {
  const std::shared_ptr<const TableRecipe> recipe(mixture, &mixture->recipe);
  if (mixture->cells.empty()) return make_table_generator(recipe, seed, backend);
  return make_table_generator(recipe, seed,
                              [mixture, &backend] { return backend.prepare_bounded_sampler(sampler_of(*mixture)); });
}

double acceptance_of(const ConditionedMixture& mixture) {
  if (!mixture.is_bound) return 1;
  constexpr int64_t kTries = 1 << 16;
  const int64_t accepted = count_accepted_tries(sampler_of(mixture), 0, kTries);
  if (accepted == 0)
    throw UsageError("--where: the conditions leave the model no row in " + std::to_string(kTries) +
                     " tries: give fewer or wider ranges");
  return static_cast<double>(accepted) / static_cast<double>(kTries);
}

ConditionedRows make_rows_where(const TableRecipe& recipe, const std::string& conditions, uint64_t seed,
                                const Backend& backend) {
  const auto mixture = std::make_shared<const ConditionedMixture>(
      condition_mixture(recipe, parse_conditions(conditions, recipe.schema)));
  ConditionedRows rows;
  rows.acceptance = acceptance_of(*mixture);
  rows.probability = mixture->probability * rows.acceptance;
  rows.is_density = mixture->is_density;
  rows.generator = make_conditioned_generator(mixture, seed, backend);
  return rows;
}

}  // namespace doppel
