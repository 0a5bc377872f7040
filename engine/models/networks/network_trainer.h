// What trains networks: a backend (kernels/trainer.h) that has a trainer, or else, on the CPU, the networks'
// own layers behind the same interface, which they move where they are.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/models/image/classifier_network.h"
#include "engine/models/image/image_vae_network.h"
#include "engine/models/vae/vae_network.h"
#include "engine/nn/adam.h"
#include "engine/nn/training.h"
#include "kernels/backend.h"

namespace doppel {

// What a classifier draws as (seed, use) say is of use and use + 1: values of blocks and of features that drop out.
class NetworkTrainer {
 public:
  // The network, Adam and the means are the caller's, and outlive it.
  NetworkTrainer(ImageVaeNetwork<float>& network, Adam<float>& adam, int64_t batch_rows, const Backend& backend);
  NetworkTrainer(VaeNetwork<float>& network, Adam<float>& adam, int64_t batch_rows, const Backend& backend);
  NetworkTrainer(ClassifierNetwork<float>& network, Adam<float>& adam, AveragedParameters& means, int64_t batch_rows,
                 const Backend& backend);

  PreparedTrainer& operator*() const { return *trainer_; }
  PreparedTrainer* operator->() const { return trainer_.get(); }

  // To and from the trainer: all, or the parameters' values alone.
  void send() { trainer_->write(states()); }
  void fetch() { trainer_->read(states()); }
  void fetch_values();

 private:
  struct Kept {  // of a parameter; means may be null
    std::vector<float>*value, *first_moment, *second_moment, *mean;
  };
  void keep(const std::vector<Parameter<float>*>& of_trainer, const std::vector<Parameter<float>*>& of_network,
            Adam<float>& adam, AveragedParameters* means);
  std::vector<ParameterState> states() const;

  std::unique_ptr<PreparedTrainer> trainer_;
  std::vector<Kept> kept_;  // in the trainer's order
};

}  // namespace doppel
