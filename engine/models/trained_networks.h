// The networks of image models as backends run them once they are trained (kernels/network.h).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/models/classifier_network.h"
#include "engine/models/image_vae_network.h"
#include "kernels/backend.h"

namespace doppel {

// Images [height, width, channels] of levels in [0, 1] to the classifier's features.
TrainedNetwork trained_features(const ClassifierNetwork<float>& network);
// Latents to what the likelihood takes.
TrainedNetwork trained_decoder(const ImageDecoder<float>& decoder);

// For one thread at a time.
class TrainedClassifier {
 public:
  TrainedClassifier(const ClassifierNetwork<float>& network, Precision precision, int64_t block_rows,
                    const Backend& backend);
  // As ClassifierNetwork's.
  const float* forward(const float* images, int64_t rows);
  const float* features() const { return features_.data(); }

 private:
  std::unique_ptr<PreparedNetwork> to_features_;
  Dense<float> out_;
  SoftmaxGroups<float> softmax_;
  std::vector<float> features_, probabilities_;
};

}  // namespace doppel
