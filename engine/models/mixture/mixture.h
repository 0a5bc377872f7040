// The mixture model: a mixture of Gaussians over normal scores, each with its own principal components (Tipping and
// Bishop, "Mixtures of probabilistic principal component analysers", 1999), and with emissions of discrete variables
// (mixture_space.h, mixture_parameters.h).
//
// Fitting: rows by their pattern of latents; k-means in the space of leading components as the start; expectation
// maximisation, with members split and merged early (member_swap.h). `--members auto` doubles the members as long as
// the log likelihood of rows held out says so: the more members, the finer the dependences that come out, until they
// are those of the sample alone. Taken is the largest number whose held-out likelihood is within kLikelihoodSlack nats
// a column of the best, as finer dependences show in every use of the table and the likelihood's optimum is flat. A
// number whose rows are nearer to the rows fitted to than to rows held out in more than kMostNearer of the cases,
// beyond chance, is not taken. All decisions count operations, never seconds, so a fit is the same on a slow machine.
//
// A long table is learned from a sample of its rows, and then improved by a pass over all of them (stepwise EM: Cappe
// and Moulines, "On-line expectation-maximization algorithm for latent data models", 2009).
//
// Tables of more than kMostFullAxes numbers (mixture_space.h) get covariances of low rank (factor_analysers.h), and any
// pattern of gaps; the trials begin with one member.
//
// The file holds the table sampler alone (mixture_recipe.h): weights, means, factors of covariances and probabilities
// can be read off it, in single precision.
#pragma once

#include <memory>

#include "engine/model.h"

namespace doppel {

inline constexpr const char* kMixtureKind = "mixture";

inline constexpr double kHeldOutShare = 0.15;

void check_mixture_options(const FitOptions& options);
std::unique_ptr<Model> fit_mixture(TableSource& source, const TableProfile& profile, const FitOptions& options,
                                   const Backend& backend);
std::unique_ptr<Model> load_mixture(const ModelFile& file);

// Whether a mixture suits the table: numbers of many values are at most kMostAxes.
inline constexpr int64_t kMostAxes = 2048;
bool suits_mixture(const TableProfile& profile);

}  // namespace doppel
