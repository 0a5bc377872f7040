// The epochs of a VAE's training, whatever it learns: as many as still lower the loss on rows held out.
#pragma once

#include <cstdint>
#include <functional>
#include <limits>
#include <vector>

#include "engine/model_file.h"
#include "engine/models/vae/vae_loss.h"
#include "engine/nn/layers.h"

namespace doppel {

struct EpochLimits {
  int64_t epochs = 1;      // at most
  double divergence = 1;   // its weight in the loss
  double warm_up = 0;      // share of the epochs in which the weight comes to that: the last of them counts as the best
  double patience = 0.25;  // share of the epochs without a better loss after which training ends
};

class VaeEpochs {
 public:
  VaeEpochs(const EpochLimits& limits, std::vector<Parameter<float>*> parameters)
      : limits_(limits), parameters_(std::move(parameters)) {}

  // Calls run_epoch(number) for those that are left. progress(share done, last epoch) may be empty.
  void run(const std::function<VaeEpoch(int64_t)>& run_epoch,
           const std::function<void(double, const VaeEpoch&)>& progress);
  // Leaves the parameters as they were after the epoch of the least loss held out, and tells of all.
  std::vector<VaeEpoch> finish();
  int64_t count() const { return static_cast<int64_t>(epochs_.size()); }

  // The epochs so far and the best parameters. load throws InputError for more epochs than there may be.
  void save(ModelFile& file) const;
  void load(const ModelFile& file);

 private:
  double loss_of(const VaeEpoch& epoch) const;
  bool is_over() const;

  EpochLimits limits_;
  std::vector<Parameter<float>*> parameters_;
  std::vector<VaeEpoch> epochs_;
  std::vector<std::vector<float>> best_;
  int64_t best_epoch_ = -1;  // -1: none yet
};

}  // namespace doppel
