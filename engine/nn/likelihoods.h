// Likelihoods of images: what a network's last outputs say of the levels of pixels. Targets are levels / 255, in
// [0, 1]. Losses are in nats, summed in double.
#pragma once

#include <cstdint>

namespace doppel {

// Logits become probabilities 1 / (1 + exp(-logit)), in place.
template <class Real>
void forward_sigmoid(int64_t count, Real* logits);

// Bernoulli: the sum of -(t log p + (1 - t) log(1 - p)), p the sigmoid of the logit. Of targets that are 0 or 1 it is
// minus a log likelihood; of levels between them, the cross-entropy of a pixel that is on so often.
template <class Real>
double bernoulli_loss(const Real* logits, const Real* targets, int64_t count);
// Logits become the gradient of `weight` * loss with respect to them, in place.
template <class Real>
void backward_bernoulli(const Real* targets, double weight, int64_t count, Real* logits);

// Discretised logistic (Kingma et al., "Improved variational inference with inverse autoregressive flow", 2016;
// Salimans et al., "PixelCNN++", 2017): a level has the probability that a logistic variable gives to its bin of width
// 1/255, the first and the last level what lies beyond, too. heads [count, 2]: mean, and log of the scale, which
// counts as kLeastLogScale where it is less.
inline constexpr double kLeastLogScale = -7;
template <class Real>
double logistic_loss(const Real* heads, const Real* targets, int64_t count);
// Heads become the gradient of `weight` * loss with respect to them, in place.
template <class Real>
void backward_logistic(const Real* targets, double weight, int64_t count, Real* heads);

}  // namespace doppel
