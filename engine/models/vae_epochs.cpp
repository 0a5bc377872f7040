#include "engine/models/vae_epochs.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "engine/nn/training.h"

namespace doppel {

std::vector<VaeEpoch> run_epochs(const EpochLimits& limits, const std::vector<Parameter<float>*>& parameters,
                                 const std::function<VaeEpoch(int64_t)>& run_epoch,
                                 const std::function<void(double, const VaeEpoch&)>& progress) {
  const auto most = static_cast<double>(limits.epochs);
  const auto warm_epochs = static_cast<int64_t>(std::ceil(limits.warm_up * most));
  const auto patience = std::max<int64_t>(3, static_cast<int64_t>(limits.patience * most));
  std::vector<VaeEpoch> epochs;
  std::vector<std::vector<float>> best;
  double least = std::numeric_limits<double>::infinity();
  int64_t best_epoch = 0;
  for (int64_t epoch = 0; epoch < limits.epochs; ++epoch) {
    epochs.push_back(run_epoch(epoch));
    const VaeLoss& held_out = epochs.back().held_out;
    const double loss = held_out.reconstruction + limits.divergence * held_out.divergence;
    if (loss < least || epoch < warm_epochs) {
      least = loss;
      best_epoch = epoch;
      best = values_of(parameters);
    }
    if (progress) progress(static_cast<double>(epoch + 1) / most, epochs.back());
    if (epoch - best_epoch >= patience) break;
  }
  set_values(best, parameters);
  return epochs;
}

}  // namespace doppel
