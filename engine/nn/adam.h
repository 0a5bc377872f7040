// Adam (Kingma and Ba, 2015), with the step size given anew at each step: its schedule is the caller's.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/nn/layers.h"
#include "kernels/trainer.h"

namespace doppel {

template <class Real>
class Adam {
 public:
  explicit Adam(std::vector<Parameter<Real>*> parameters);
  // Moves the parameters against their gradients, and sets those to 0.
  void step(double rate);

  // What it keeps from step to step, for a file: first and second moments of each parameter, and the number of steps.
  std::vector<std::vector<Real>>& first_moments() { return first_; }
  std::vector<std::vector<Real>>& second_moments() { return second_; }
  int64_t& steps() { return steps_; }

 private:
  std::vector<Parameter<Real>*> parameters_;
  std::vector<std::vector<Real>> first_, second_;  // moments
  int64_t steps_ = 0;
};

extern template class Adam<float>;
extern template class Adam<double>;

}  // namespace doppel
