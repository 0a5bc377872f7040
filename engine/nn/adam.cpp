#include "engine/nn/adam.h"

#include <cmath>

namespace doppel {

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
  const auto t = static_cast<double>(steps_);
  // m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon), with the corrections taken out of the loop.
  const double root = std::sqrt(1 - std::pow(kSecondDecay, t));
  const auto scale = static_cast<Real>(rate * root / (1 - std::pow(kFirstDecay, t)));
  const auto epsilon = static_cast<Real>(kEpsilon * root);
  constexpr auto kFirst = static_cast<Real>(kFirstDecay), kSecond = static_cast<Real>(kSecondDecay);
  for (size_t p = 0; p < parameters_.size(); ++p) {
    Real* value = parameters_[p]->value.data();
    Real* gradient = parameters_[p]->gradient.data();
    Real* first = first_[p].data();
    Real* second = second_[p].data();
    for (size_t i = 0; i < first_[p].size(); ++i) {
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
