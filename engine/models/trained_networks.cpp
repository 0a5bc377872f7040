#include "engine/models/trained_networks.h"

namespace doppel {
namespace {

using Kind = TrainedLayer::Kind;

TrainedLayer trained(const Dense<float>& layer, bool rectified) {
  return {Kind::kDense, {}, layer.inputs(), layer.outputs(), rectified, layer.weight.value, layer.bias.value, {}};
}
TrainedLayer trained(const Conv2d<float>& layer) {
  const ConvShape& shape = layer.shape();
  return {Kind::kConvolution, shape, shape.input_size(), shape.output_size(), true, layer.weight.value,
          layer.bias.value,   {}};
}
TrainedLayer trained(const ConvTranspose2d<float>& layer, bool rectified) {
  const ConvShape& shape = layer.shape();
  return {Kind::kTransposed, shape, shape.output_size(), shape.input_size(), rectified, layer.weight.value,
          layer.bias.value,  {}};
}
TrainedLayer trained(const MaxPool<float>& layer) {
  const ConvShape shape = layer.shape();
  return {Kind::kMaxPool, shape, shape.input_size(), shape.output_size(), false, {}, {}, {}};
}

}  // namespace

TrainedNetwork trained_features(const ClassifierNetwork<float>& network) {
  TrainedNetwork features;
  for (size_t b = 0; b < network.convolutions_.size(); ++b) {
    features.layers.push_back(trained(network.convolutions_[b]));  // the largest of ReLUs is the ReLU of the largest
    features.layers.push_back(trained(network.pools_[b]));
  }
  features.layers.push_back(trained(network.hidden_, true));
  return features;
}

TrainedNetwork trained_decoder(const ImageDecoder<float>& decoder) {
  TrainedNetwork pixels;
  pixels.layers.push_back(trained(decoder.in_, true));
  if (decoder.shape_.classes > 0) pixels.layers.back().label_weight = decoder.label_.weight.value;
  pixels.layers.push_back(trained(decoder.hidden_, true));
  pixels.layers.push_back(trained(decoder.out_, !decoder.enlarging_.empty()));
  for (const ConvTranspose2d<float>& layer : decoder.enlarging_)
    pixels.layers.push_back(trained(layer, &layer != &decoder.enlarging_.back()));
  return pixels;
}

TrainedClassifier::TrainedClassifier(const ClassifierNetwork<float>& network, Precision precision, int64_t block_rows,
                                     const Backend& backend)
    : to_features_(backend.prepare_network(trained_features(network), precision, block_rows)),
      out_(network.out_),
      softmax_({network.shape_.classes}) {}

const float* TrainedClassifier::forward(const float* images, int64_t rows) {
  features_.resize(static_cast<size_t>(rows * out_.inputs()));
  probabilities_.resize(static_cast<size_t>(rows * out_.outputs()));
  to_features_->run(images, nullptr, rows, features_.data());
  out_.forward(features_.data(), rows, probabilities_.data());
  softmax_.forward(probabilities_.data(), rows);
  return probabilities_.data();
}

}  // namespace doppel
