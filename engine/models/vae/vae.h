// The tabular VAE: a network that explains rows by a few latents (vae_network.h), and a mixture of Gaussians fitted to
// the encodings of the rows, as these are not distributed like the prior that training pulls them to.
//
// Rows are codes (vae_codes.h), and generated rows draw each code from its probabilities: never the most probable one,
// which would lose the spread of what the latents leave open. After training, the output biases are moved until the
// codes of generated rows have the shares that the table had.
//
// The file holds the network's decoder, the mixture and the columns' tables, in single precision:
//   prior.weight [members], prior.mean [members, latent], prior.factor [members, latent, latent] of covariances
//   decoder.I.weight [outputs, inputs], decoder.I.bias [outputs] of layer I; decoder.bins [axes]
//   and what table_generator.h says: columns and variables, whose members and latents go unused
// Rows are made on the CPU (kernels/decoder.h), whatever the backend.
#pragma once

#include <memory>

#include "engine/model.h"

namespace doppel {

inline constexpr const char* kVaeKind = "vae";

void check_vae_options(const FitOptions& options);
std::unique_ptr<Model> fit_vae(TableSource& source, const TableProfile& profile, const FitOptions& options,
                               const Backend& backend);
std::unique_ptr<Model> load_vae(const ModelFile& file);

}  // namespace doppel
