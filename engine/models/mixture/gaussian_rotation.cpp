#include "engine/models/mixture/gaussian_rotation.h"

#include <cmath>
#include <limits>

#include "kernels/common/elementary.h"

namespace doppel {

GaussianRotation::GaussianRotation(const TableSampler& sampler, size_t member, size_t components)
    : latents_(static_cast<size_t>(sampler.latents)),
      components_(components),
      next_spare_(static_cast<size_t>(sampler.components)),
      factor_(latents_ * components) {
  const auto old = static_cast<size_t>(sampler.components);
  for (size_t l = 0; l < latents_; ++l) {
    mean_.push_back(sampler.mean[member * latents_ + l]);
    residual_.push_back(effective_weight(sampler.residual[member * latents_ + l]));
    for (size_t k = 0; k < old; ++k) factor_[l * components_ + k] = sampler.factor[(member * latents_ + l) * old + k];
  }
}

double GaussianRotation::deviation(size_t latent) const {
  double sum = residual_[latent] * residual_[latent];
  for (size_t k = done_; k < components_; ++k) sum = std::fma(weight(latent, k), weight(latent, k), sum);
  return std::sqrt(sum);
}

// By a Householder reflection of the components from the next on (Golub and Van Loan, "Matrix computations", 5.1).
void GaussianRotation::rotate(size_t latent) {
  if (residual_[latent] != 0) factor_[latent * components_ + next_spare_++] = residual_[latent];
  residual_[latent] = 0;
  const size_t first = done_++;
  double tail = 0;
  for (size_t k = first + 1; k < components_; ++k) tail = std::fma(weight(latent, k), weight(latent, k), tail);
  const double head = weight(latent, first), length = std::sqrt(std::fma(head, head, tail));
  std::vector<double> mirror(components_ - first);  // its normal; the first element makes the latent's weight positive
  mirror[0] = head <= 0 ? head - length : -tail / (head + length);
  for (size_t k = first + 1; k < components_; ++k) mirror[k - first] = weight(latent, k);
  const double square = std::fma(mirror[0], mirror[0], tail);
  if (!(square > 0)) return;
  for (size_t l = 0; l < latents_; ++l) {
    double* row = &factor_[l * components_ + first];
    double sum = 0;
    for (size_t k = 0; k < mirror.size(); ++k) sum = std::fma(row[k], mirror[k], sum);
    for (size_t k = 0; k < mirror.size(); ++k) row[k] = std::fma(-2 * sum / square, mirror[k], row[k]);
  }
  own_weight(latent, first) = length;
  for (size_t k = first + 1; k < components_; ++k) own_weight(latent, k) = 0;
}

double GaussianRotation::fix(size_t latent, double score) {
  rotate(latent);
  const size_t first = done_ - 1;
  const double deviation = weight(latent, first), z = (score - mean_[latent]) / deviation;
  if (!(deviation > 0)) return -std::numeric_limits<double>::infinity();
  for (size_t l = 0; l < latents_; ++l) {
    mean_[l] = std::fma(weight(l, first), z, mean_[l]);
    own_weight(l, first) = 0;
  }
  mean_[latent] = score;
  constexpr double kLogRootOfTwoPi = 0.91893853320467274178;
  return -0.5 * z * z - kLogRootOfTwoPi - log_of_positive(deviation);
}

}  // namespace doppel
