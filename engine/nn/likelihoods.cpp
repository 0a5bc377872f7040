#include "engine/nn/likelihoods.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/elementary.h"

namespace doppel {
namespace {

// exp(-|x|), and of it 1 / (1 + exp(-x)).
double small_exp(double x) {
  return exp_below_zero(-std::abs(x));
}
double sigmoid(double x) {
  const double e = small_exp(x);
  return (x >= 0 ? 1 : e) / (1 + e);
}
double log_sigmoid(double x) {
  return std::min(x, 0.0) - log_of_positive(1 + small_exp(x));
}

// A level's bin of a logistic distribution, from `below` to `above` in units of the scale, `width` wide:
//   log(sigmoid(above) - sigmoid(below)) = log(1 - exp(-width)) + log sigmoid(above) + log sigmoid(-below)
// which loses no digits anywhere. Of the first level only the second term is left, of the last only the third.
struct Bin {
  Bin(double mean, double log_scale_given, double target) : log_scale(std::max(log_scale_given, kLeastLogScale)) {
    constexpr double kHalf = 0.5 / 255;
    per_scale = std::exp(-log_scale);
    above = (target + kHalf - mean) * per_scale;
    below = (target - kHalf - mean) * per_scale;
    width = 2 * kHalf * per_scale;
    is_first = target <= kHalf;
    is_last = target >= 1 - kHalf;
  }
  double log_probability() const {
    if (is_first) return log_sigmoid(above);
    if (is_last) return log_sigmoid(-below);
    return log_of_positive(1 - exp_below_zero(-width)) + log_sigmoid(above) + log_sigmoid(-below);
  }
  double log_scale, per_scale, above, below, width;
  bool is_first, is_last;
};

}  // namespace

template <class Real>
void forward_sigmoid(int64_t count, Real* logits) {
  for (int64_t i = 0; i < count; ++i) logits[i] = static_cast<Real>(sigmoid(static_cast<double>(logits[i])));
}

// ---- Bernoulli

template <class Real>
double bernoulli_loss(const Real* logits, const Real* targets, int64_t count) {
  // log(1 + exp(l)) = max(l, 0) + log(1 + exp(-|l|)), the logs of a block as one of the product of what are up to 2.
  constexpr int64_t kBlock = 512;
  double sum = 0;
  for (int64_t first = 0; first < count; first += kBlock) {
    double product = 1;
    for (int64_t i = first; i < std::min(first + kBlock, count); ++i) {
      const auto logit = static_cast<double>(logits[i]);
      sum += std::max(logit, 0.0) - static_cast<double>(targets[i]) * logit;
      product *= 1 + small_exp(logit);
    }
    sum += std::log(product);
  }
  return sum;
}

template <class Real>
void backward_bernoulli(const Real* targets, double weight, int64_t count, Real* logits) {
  for (int64_t i = 0; i < count; ++i) {
    const double error = sigmoid(static_cast<double>(logits[i])) - static_cast<double>(targets[i]);
    logits[i] = static_cast<Real>(weight * error);
  }
}

// ---- discretised logistic

template <class Real>
double logistic_loss(const Real* heads, const Real* targets, int64_t count) {
  double sum = 0;
  for (int64_t i = 0; i < count; ++i)
    sum -=
        Bin(static_cast<double>(heads[2 * i]), static_cast<double>(heads[2 * i + 1]), static_cast<double>(targets[i]))
            .log_probability();
  return sum;
}

template <class Real>
void backward_logistic(const Real* targets, double weight, int64_t count, Real* heads) {
  for (int64_t i = 0; i < count; ++i, heads += 2) {
    const auto log_scale = static_cast<double>(heads[1]);
    const Bin bin(static_cast<double>(heads[0]), log_scale, static_cast<double>(targets[i]));
    const double beyond_above = bin.is_last ? 0 : sigmoid(-bin.above),
                 beyond_below = bin.is_first ? 0 : sigmoid(bin.below);
    const double e = exp_below_zero(-bin.width);
    const double of_width = bin.is_first || bin.is_last ? 0 : bin.width * e / (1 - e);
    const double of_mean = -(beyond_above - beyond_below) * bin.per_scale;
    const double of_scale = -bin.above * beyond_above + bin.below * beyond_below - of_width;
    heads[0] = static_cast<Real>(-weight * of_mean);
    heads[1] = static_cast<Real>(log_scale < kLeastLogScale ? 0 : -weight * of_scale);
  }
}

template void forward_sigmoid(int64_t, float*);
template void forward_sigmoid(int64_t, double*);
template double bernoulli_loss(const float*, const float*, int64_t);
template double bernoulli_loss(const double*, const double*, int64_t);
template void backward_bernoulli(const float*, double, int64_t, float*);
template void backward_bernoulli(const double*, double, int64_t, double*);
template double logistic_loss(const float*, const float*, int64_t);
template double logistic_loss(const double*, const double*, int64_t);
template void backward_logistic(const float*, double, int64_t, float*);
template void backward_logistic(const double*, double, int64_t, double*);

}  // namespace doppel
