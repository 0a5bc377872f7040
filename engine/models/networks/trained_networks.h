// The networks of image models as backends run them once they are trained (kernels/network.h), and networks as backends
// train them (kernels/trainer.h).
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/models/image/classifier_network.h"
#include "engine/models/image/image_vae_network.h"
#include "engine/models/vae/vae_network.h"
#include "kernels/backend.h"
#include "kernels/trainer.h"

namespace doppel {

// Images [height, width, channels] of levels in [0, 1] to the classifier's features.
TrainedNetwork trained_features(const ClassifierNetwork<float>& network);
// Images to means and log variances.
TrainedNetwork trained_encoder(const ImageVaeNetwork<float>& network);
// Latents to what the likelihood takes.
TrainedNetwork trained_decoder(const ImageDecoder<float>& decoder);

// A network to be trained, and its parameters here in the trainer's order.
struct TrainableParameters {
  TrainableNetwork network;
  std::vector<Parameter<float>*> parameters;
};
TrainableParameters trainable(ImageVaeNetwork<float>& network);
TrainableParameters trainable(VaeNetwork<float>& network);
// Of what blocks drop, TrainableLayer::use is 0, of features 1.
TrainableParameters trainable(ClassifierNetwork<float>& network);

// An image VAE's both halves. For one thread at a time.
class TrainedVae {
 public:
  TrainedVae(ImageVaeNetwork<float>& network, int64_t block_rows, const Backend& backend);
  const ImageVaeShape& shape() const { return shape_; }
  // As ImageVaeNetwork's and ImageDecoder's.
  const float* encode(const float* images, const int32_t* labels, int64_t rows);
  const float* decode(const float* latents, const int32_t* labels, int64_t rows);

 private:
  ImageVaeShape shape_;
  std::unique_ptr<PreparedNetwork> encoder_, decoder_;
  std::vector<float> gaussians_, outputs_;
};

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
