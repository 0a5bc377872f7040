// How the training of a network of images went, as its model file tells ("history" of image_vae.h and
// image_classifier.h).
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <vector>

namespace doppel {

// Of each epoch, in nats an image; a series that the file does not tell of, or that is 0 throughout because no images
// were held out, is empty.
struct TrainingHistory {
  std::vector<double> training, held_out;
  std::vector<double> training_reconstruction, training_divergence;  // of a VAE: they sum to training
  std::vector<double> held_out_reconstruction, held_out_divergence;  // likewise to held_out
  std::vector<double> held_out_accuracy;                             // of a classifier: a share

  size_t epochs() const { return training.size(); }
};

// `description` is a model's (Model::describe). No epochs where it has no history.
TrainingHistory read_training_history(const nlohmann::json& description);

nlohmann::ordered_json to_json(const TrainingHistory& history);

}  // namespace doppel
