#include "engine/models/networks/trained_networks.h"

#include <cmath>
#include <utility>

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

TrainedNetwork trained_encoder(const ImageVaeNetwork<float>& network) {
  TrainedNetwork encodings;
  for (const Conv2d<float>& layer : network.reducing_) encodings.layers.push_back(trained(layer));
  encodings.layers.push_back(trained(network.in_, true));
  if (network.shape().classes > 0) encodings.layers.back().label_weight = network.label_.weight.value;
  encodings.layers.push_back(trained(network.hidden_, true));
  encodings.layers.push_back(trained(network.heads_, false));
  return encodings;
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

namespace {

// A chain that grows by the layers that move.
class Chain {
 public:
  TrainableLayer& add(EmbeddingSum<float>& layer, bool rectified) {
    const int64_t codes = static_cast<int64_t>(layer.weight.value.size()) / layer.outputs();
    return add_with({Kind::kDense, {}, codes, layer.outputs(), rectified, layer.weight.value, layer.bias.value, {}},
                    layer);
  }
  TrainableLayer& add(Dense<float>& layer, bool rectified, Embedding<float>* labels = nullptr) {
    TrainableLayer& added = add_with(trained(layer, rectified), layer);
    if (labels) {
      added.layer.label_weight = labels->weight.value;
      made_.parameters.push_back(&labels->weight);
    }
    return added;
  }
  TrainableLayer& add(Conv2d<float>& layer, bool rectified) {
    TrainableLayer& added = add_with(trained(layer), layer);
    added.layer.rectified = rectified;
    return added;
  }
  TrainableLayer& add(ConvTranspose2d<float>& layer, bool rectified) {
    return add_with(trained(layer, rectified), layer);
  }
  TrainableLayer& add(const MaxPool<float>& layer) {
    made_.network.layers.push_back({trained(layer)});
    made_.network.layers.back().layer.rectified = true;
    return made_.network.layers.back();
  }
  TrainableParameters finish(TrainingLoss loss) {
    made_.network.loss = loss;
    return std::move(made_);
  }

 private:
  template <class Layer>
  TrainableLayer& add_with(TrainedLayer trained, Layer& layer) {
    made_.parameters.push_back(&layer.weight);
    made_.parameters.push_back(&layer.bias);
    made_.network.layers.push_back({std::move(trained)});
    return made_.network.layers.back();
  }

  TrainableParameters made_;
};

uint32_t dropped_shares(double share) {
  return static_cast<uint32_t>(std::lround(share * kDropoutShares));
}

}  // namespace

TrainableParameters trainable(ImageVaeNetwork<float>& network) {
  Chain chain;
  const ImageVaeShape& shape = network.shape();
  ImageDecoder<float>& decoder = network.decoder_;
  for (Conv2d<float>& layer : network.reducing_) chain.add(layer, true);
  chain.add(network.in_, true, shape.classes > 0 ? &network.label_ : nullptr);
  chain.add(network.hidden_, true);
  chain.add(network.heads_, false).is_gaussian = true;
  chain.add(decoder.in_, true, shape.classes > 0 ? &decoder.label_ : nullptr);
  chain.add(decoder.hidden_, true);
  chain.add(decoder.out_, !decoder.enlarging_.empty());
  for (ConvTranspose2d<float>& layer : decoder.enlarging_) chain.add(layer, &layer != &decoder.enlarging_.back());
  return chain.finish(shape.likelihood == PixelLikelihood::kLogistic ? TrainingLoss::kLogistic
                                                                     : TrainingLoss::kBernoulli);
}

TrainableParameters trainable(VaeNetwork<float>& network) {
  Chain chain;
  chain.add(network.embedding_, true);
  chain.add(network.encoder_hidden_, true);
  chain.add(network.heads_, false).is_gaussian = true;
  chain.add(network.decoder_in_, true);
  chain.add(network.decoder_hidden_, true);
  chain.add(network.decoder_out_, false);
  TrainableParameters made = chain.finish(TrainingLoss::kCodes);
  made.network.codes = network.shape().codes;
  return made;
}

TrainableParameters trainable(ClassifierNetwork<float>& network) {
  Chain chain;
  for (size_t b = 0; b < network.convolutions_.size(); ++b) {
    chain.add(network.convolutions_[b], false);
    TrainableLayer& pool = chain.add(network.pools_[b]);
    if (b + 1 == network.convolutions_.size())
      pool.dropped = dropped_shares(ClassifierNetwork<float>::kDroppedOfBlocks);
  }
  TrainableLayer& features = chain.add(network.hidden_, true);
  features.dropped = dropped_shares(ClassifierNetwork<float>::kDroppedOfFeatures);
  features.use = 1;
  chain.add(network.out_, false);
  return chain.finish(TrainingLoss::kSoftmax);
}

TrainedVae::TrainedVae(ImageVaeNetwork<float>& network, int64_t block_rows, const Backend& backend)
    : shape_(network.shape()),
      encoder_(backend.prepare_network(trained_encoder(network), Precision::kSingle, block_rows)),
      decoder_(backend.prepare_network(trained_decoder(network.decoder()), Precision::kSingle, block_rows)) {}

const float* TrainedVae::encode(const float* images, const int32_t* labels, int64_t rows) {
  gaussians_.resize(static_cast<size_t>(rows * 2 * shape_.latent));
  encoder_->run(images, labels, rows, gaussians_.data());
  return gaussians_.data();
}

const float* TrainedVae::decode(const float* latents, const int32_t* labels, int64_t rows) {
  outputs_.resize(static_cast<size_t>(rows * shape_.image.size() * shape_.heads()));
  decoder_->run(latents, labels, rows, outputs_.data());
  return outputs_.data();
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
