#include "engine/models/trained_networks.h"

#include <span>

namespace doppel {

TrainedClassifier::TrainedClassifier(const ClassifierNetwork<float>& network, Precision precision)
    : to_features_(precision), out_(network.out_), softmax_({network.shape_.classes}) {
  for (size_t b = 0; b < network.convolutions_.size(); ++b) {
    to_features_.add(network.convolutions_[b], Rectified::kYes);  // the largest of ReLUs is the ReLU of the largest
    to_features_.add(network.pools_[b]);
  }
  to_features_.add(network.hidden_, Rectified::kYes);
}

const float* TrainedClassifier::forward(const float* images, int64_t rows) {
  features_.resize(static_cast<size_t>(rows * out_.inputs()));
  probabilities_.resize(static_cast<size_t>(rows * out_.outputs()));
  to_features_.run(images, rows, features_.data());
  out_.forward(features_.data(), rows, probabilities_.data());
  softmax_.forward(probabilities_.data(), rows);
  return probabilities_.data();
}

TrainedDecoder::TrainedDecoder(const ImageDecoder<float>& decoder, Precision precision)
    : shape_(decoder.shape_), in_(decoder.in_), label_(decoder.label_), to_pixels_(precision) {
  const bool has_blocks = !decoder.enlarging_.empty();
  to_pixels_.add(decoder.hidden_, Rectified::kYes);
  to_pixels_.add(decoder.out_, has_blocks ? Rectified::kYes : Rectified::kNo);
  for (const ConvTranspose2d<float>& layer : decoder.enlarging_)
    to_pixels_.add(layer, &layer == &decoder.enlarging_.back() ? Rectified::kNo : Rectified::kYes);
}

const float* TrainedDecoder::forward(const float* latents, const int32_t* labels, int64_t rows) {
  lower_.resize(static_cast<size_t>(rows * shape_.hidden));
  outputs_.resize(static_cast<size_t>(rows * shape_.image.size() * shape_.heads()));
  in_.forward(latents, rows, lower_.data());
  if (shape_.classes > 0) label_.add(labels, rows, lower_.data());
  forward_relu(std::span(lower_));
  to_pixels_.run(lower_.data(), rows, outputs_.data());
  return outputs_.data();
}

}  // namespace doppel
