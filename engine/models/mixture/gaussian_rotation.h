// A Gaussian mean + factor e + residual noise whose components e are rotated so that chosen latents, one after another,
// depend on the first components alone: what conditioning on them needs.
#pragma once

#include <cstddef>
#include <vector>

#include "kernels/table.h"

namespace doppel {

class GaussianRotation {
 public:
  // A member of a mixture, with room for `components`: those of the sampler and one for each latent with its own noise
  // that will be rotated, at least as many as will be rotated.
  GaussianRotation(const TableSampler& sampler, size_t member, size_t components);

  // The latent's deviation apart from the components that were rotated before.
  double deviation(size_t latent) const;
  // Makes the latent depend on the components that were rotated before and on the next one, by a weight >= 0. Its own
  // noise becomes part of that one.
  void rotate(size_t latent);
  // The same, and fixes the latent at a score: the next component's part goes to the means. Returns the log of the
  // latent's density there; -infinity where it has no deviation.
  double fix(size_t latent, double score);

  double mean(size_t latent) const { return mean_[latent]; }
  double residual(size_t latent) const { return residual_[latent]; }
  double weight(size_t latent, size_t component) const { return factor_[latent * components_ + component]; }
  size_t rotated() const { return done_; }

 private:
  double& own_weight(size_t latent, size_t component) { return factor_[latent * components_ + component]; }

  size_t latents_, components_, done_ = 0, next_spare_;
  std::vector<double> mean_, residual_, factor_;
};

}  // namespace doppel
