// Mixtures of Gaussians fitted to the encodings of a VAE's rows, from which better rows are decoded than from the prior
// that training pulls the encodings to.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <vector>

#include "engine/model.h"
#include "engine/models/mixture/mixture_parameters.h"
#include "kernels/backend.h"

namespace doppel {

struct LatentMixture {
  std::shared_ptr<const MixtureParameters> parameters;
  std::optional<double> held_out;  // mean log density of encodings held out, in nats, before these were fitted to, too
};

// Latents [rows, latent]; the number of members is the one that those held out allow (choose_members, of so many
// columns and operations), or 1 where there are none, and the fit is of all rows.
LatentMixture fit_latent_mixture(std::vector<float> training, std::vector<float> held_out, int64_t latent,
                                 size_t columns, double operations, const FitOptions& options, const Backend& backend);

// Mean log density of latents [rows, latent] under N(0, I), in nats.
double log_density_of_normal(const std::vector<float>& latents, int64_t latent);

}  // namespace doppel
