// Adam, its loop over parameters in single precision compiled for each instruction set: every operation is IEEE, with
// the same bits on all. (The compiler's own four lanes took a fifth of a dense network's step.)
#include "engine/nn/adam.h"

#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "engine/nn/adam.cpp"
#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace doppel {
namespace HWY_NAMESPACE {
namespace {

namespace hn = hwy::HWY_NAMESPACE;

// As many of the parameters as fill whole vectors; says how many.
size_t move_parameters(size_t count, float scale, float epsilon, float* value, float* gradient, float* first,
                       float* second) {
  const hn::ScalableTag<float> tag;
  const size_t lanes = hn::Lanes(tag), whole = count / lanes * lanes;
  const auto first_decay = hn::Set(tag, static_cast<float>(kAdamFirstDecay));
  const auto second_decay = hn::Set(tag, static_cast<float>(kAdamSecondDecay));
  const auto first_new = hn::Sub(hn::Set(tag, 1.0f), first_decay),
             second_new = hn::Sub(hn::Set(tag, 1.0f), second_decay);
  const auto scales = hn::Set(tag, scale), epsilons = hn::Set(tag, epsilon);
  for (size_t i = 0; i < whole; i += lanes) {
    const auto g = hn::LoadU(tag, gradient + i);
    const auto m = hn::Add(hn::Mul(first_decay, hn::LoadU(tag, first + i)), hn::Mul(first_new, g));
    const auto v = hn::Add(hn::Mul(second_decay, hn::LoadU(tag, second + i)), hn::Mul(hn::Mul(second_new, g), g));
    hn::StoreU(m, tag, first + i);
    hn::StoreU(v, tag, second + i);
    const auto step = hn::Div(hn::Mul(scales, m), hn::Add(hn::Sqrt(v), epsilons));
    hn::StoreU(hn::Sub(hn::LoadU(tag, value + i), step), tag, value + i);
    hn::StoreU(hn::Zero(tag), tag, gradient + i);
  }
  return whole;
}

}  // namespace
}  // namespace HWY_NAMESPACE
}  // namespace doppel
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace doppel {
namespace {

HWY_EXPORT(move_parameters);

size_t move_whole_vectors(size_t count, float scale, float epsilon, float* value, float* gradient, float* first,
                          float* second) {
  return HWY_DYNAMIC_DISPATCH(move_parameters)(count, scale, epsilon, value, gradient, first, second);
}
size_t move_whole_vectors(size_t, double, double, double*, double*, double*, double*) {
  return 0;
}

}  // namespace

template <class Real>
Adam<Real>::Adam(std::vector<Parameter<Real>*> parameters) : parameters_(std::move(parameters)) {
  for (const Parameter<Real>* parameter : parameters_) {
    first_.emplace_back(parameter->value.size());
    second_.emplace_back(parameter->value.size());
  }
}

template <class Real>
void Adam<Real>::step(double rate) {
  ++steps_;
  const AdamScales scales = adam_scales(rate, steps_);
  const auto scale = static_cast<Real>(scales.scale), epsilon = static_cast<Real>(scales.epsilon);
  constexpr auto kFirst = static_cast<Real>(kAdamFirstDecay), kSecond = static_cast<Real>(kAdamSecondDecay);
  for (size_t p = 0; p < parameters_.size(); ++p) {
    Real* value = parameters_[p]->value.data();
    Real* gradient = parameters_[p]->gradient.data();
    Real* first = first_[p].data();
    Real* second = second_[p].data();
    const size_t count = first_[p].size();
    for (size_t i = move_whole_vectors(count, scale, epsilon, value, gradient, first, second); i < count; ++i) {
      first[i] = kFirst * first[i] + (1 - kFirst) * gradient[i];
      second[i] = kSecond * second[i] + (1 - kSecond) * gradient[i] * gradient[i];
      value[i] -= scale * first[i] / (std::sqrt(second[i]) + epsilon);
      gradient[i] = 0;
    }
  }
}

template class Adam<float>;
template class Adam<double>;

}  // namespace doppel
#endif
