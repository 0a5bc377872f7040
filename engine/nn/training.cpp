#include "engine/nn/training.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/philox.h"
#include "kernels/random.h"

namespace doppel {

void shuffle(std::vector<int64_t>& order, uint64_t seed, uint32_t use) {
  for (size_t i = order.size(); i > 1; --i) {
    const uint64_t word = philox_words(seed, i, use, Stream::kFit)[0];
    std::swap(order[i - 1], order[word * i >> 32]);
  }
}

double cosine_rate(double done, double warm_up) {
  const double warm = warm_up > 0 ? std::min(1.0, done / warm_up) : 1;
  return warm * 0.5 * (1 + std::cos(M_PI * done));
}

AveragedParameters::AveragedParameters(std::vector<Parameter<float>*> parameters, double reach)
    : parameters_(std::move(parameters)), means_(values_of(parameters_)), reach_(reach) {}

double AveragedParameters::next_share() {
  ++steps_;
  constexpr double kReachOfStart = 0.2;  // of the steps so far
  return 1 / std::max(1.0, std::min(reach_, kReachOfStart * static_cast<double>(steps_)));
}

void AveragedParameters::add(double share_of_step) {
  const auto share = static_cast<float>(share_of_step);
  for (size_t p = 0; p < means_.size(); ++p) {
    const float* value = parameters_[p]->value.data();
    float* mean = means_[p].data();
    for (size_t i = 0; i < means_[p].size(); ++i) mean[i] += share * (value[i] - mean[i]);
  }
}

void AveragedParameters::exchange() {
  for (size_t p = 0; p < means_.size(); ++p) means_[p].swap(parameters_[p]->value);
}

std::vector<std::vector<float>> values_of(const std::vector<Parameter<float>*>& parameters) {
  std::vector<std::vector<float>> values;
  for (const Parameter<float>* parameter : parameters) values.push_back(parameter->value);
  return values;
}

void set_values(const std::vector<std::vector<float>>& values, const std::vector<Parameter<float>*>& parameters) {
  for (size_t p = 0; p < values.size(); ++p) parameters[p]->value = values[p];
}

}  // namespace doppel
