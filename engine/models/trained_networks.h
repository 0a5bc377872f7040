// The networks of image models as they are used once they are trained (nn/inference.h): copies, each for one thread.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/models/classifier_network.h"
#include "engine/models/image_vae_network.h"
#include "engine/nn/inference.h"

namespace doppel {

class TrainedClassifier {
 public:
  TrainedClassifier(const ClassifierNetwork<float>& network, Precision precision);
  // As ClassifierNetwork's.
  const float* forward(const float* images, int64_t rows);
  const float* features() const { return features_.data(); }

 private:
  InferenceNetwork to_features_;
  Dense<float> out_;
  SoftmaxGroups<float> softmax_;
  std::vector<float> features_, probabilities_;
};

class TrainedDecoder {
 public:
  TrainedDecoder(const ImageDecoder<float>& decoder, Precision precision);
  const ImageVaeShape& shape() const { return shape_; }
  // As ImageDecoder's.
  const float* forward(const float* latents, const int32_t* labels, int64_t rows);

 private:
  ImageVaeShape shape_;
  Dense<float> in_;
  Embedding<float> label_;
  InferenceNetwork to_pixels_;
  std::vector<float> lower_, outputs_;
};

}  // namespace doppel
