#include "engine/models/networks/latent_mixture.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "engine/models/mixture/mixture_fitter.h"

namespace doppel {
namespace {

RowsByPattern rows_of_latents(std::vector<float> latents, int64_t latent) {
  RowsByPattern rows(1);
  for (int32_t k = 0; k < latent; ++k) rows[0].present.push_back(k);
  rows[0].rows = static_cast<int64_t>(latents.size()) / latent;
  rows[0].latents = std::move(latents);
  return rows;
}

}  // namespace

LatentMixture fit_latent_mixture(std::vector<float> training, std::vector<float> held_out, int64_t latent,
                                 size_t columns, double operations, const FitOptions& options, const Backend& backend) {
  MixtureSpace space;
  space.axes.resize(static_cast<size_t>(latent));
  RowSample sample;
  const bool has_held_out = !held_out.empty();
  sample.training = rows_of_latents(std::move(training), latent);
  sample.held_out = rows_of_latents(std::move(held_out), latent);
  LatentMixture result;
  int64_t members = 1;
  if (has_held_out) {
    const MembersChoice choice = choose_members(space, sample, columns, operations, {}, options, backend);
    members = choice.members;
    for (const MembersTrial& trial : choice.trials)
      if (trial.members == members) result.held_out = trial.held_out;
  }
  const RowsByPattern rows = joined(std::move(sample.training), sample.held_out);
  MixtureFitter fitter(space, rows, options, backend);
  result.parameters = fitter.fit(members, kIterations, [&](int iteration) {
    if (options.progress)
      options.progress("fitting the prior, " + std::to_string(members) + " members",
                       static_cast<double>(iteration) / kIterations);
  });
  return result;
}

double log_density_of_normal(const std::vector<float>& latents, int64_t latent) {
  double squares = 0;
  for (const float z : latents) squares += static_cast<double>(z) * static_cast<double>(z);
  const auto rows = static_cast<double>(latents.size()) / static_cast<double>(latent);
  return -0.5 * (squares / std::max(rows, 1.0) + static_cast<double>(latent) * std::log(2 * M_PI));
}

}  // namespace doppel
