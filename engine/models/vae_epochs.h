// The epochs of a VAE's training, whatever it learns: as many as still lower the loss on rows held out.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/models/vae_loss.h"
#include "engine/nn/layers.h"

namespace doppel {

struct EpochLimits {
  int64_t epochs = 1;      // at most
  double divergence = 1;   // its weight in the loss
  double warm_up = 0;      // share of the epochs in which the weight comes to that: the last of them counts as the best
  double patience = 0.25;  // share of the epochs without a better loss after which training ends
};

// Calls run_epoch(number) and leaves the parameters as they were after the epoch of the least loss held out.
// progress(share done, last epoch) may be empty.
std::vector<VaeEpoch> run_epochs(const EpochLimits& limits, const std::vector<Parameter<float>*>& parameters,
                                 const std::function<VaeEpoch(int64_t)>& run_epoch,
                                 const std::function<void(double, const VaeEpoch&)>& progress);

}  // namespace doppel
