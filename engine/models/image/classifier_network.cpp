#include "engine/models/image/classifier_network.h"

#include <algorithm>

namespace doppel {
namespace {

constexpr uint32_t kUseWeights = 0x70000000u;  // and the layer: of fill_with_normals
constexpr double kGain = 2, kOutGain = 0.1;
constexpr int32_t kSmall = 8, kPool = 2;  // blocks end at so few pixels; windows
constexpr int64_t kMostOutputs = 256;

}  // namespace

std::vector<ConvShape> ClassifierShape::blocks() const {
  std::vector<ConvShape> blocks;
  int64_t inputs = image.channels, outputs = channels, height = image.height, width = image.width;
  while (std::min(height, width) > kSmall) {
    blocks.push_back({inputs, outputs, height, width, 3, 1, 1});
    inputs = outputs;
    outputs = std::min(2 * outputs, kMostOutputs);
    height /= kPool, width /= kPool;
  }
  return blocks;
}

ImageShape ClassifierShape::reduced() const {
  const std::vector<ConvShape> all = blocks();
  if (all.empty()) return image;
  const ConvShape& last = all.back();
  return {static_cast<int32_t>(last.outputs), static_cast<int32_t>(last.height / kPool),
          static_cast<int32_t>(last.width / kPool)};
}

template <class Real>
ClassifierNetwork<Real>::ClassifierNetwork(const ClassifierShape& shape, uint64_t seed)
    : shape_(shape),
      hidden_(shape.reduced().size(), shape.features, kGain, seed, kUseWeights),
      out_(shape.features, shape.classes, kOutGain, seed, kUseWeights + 1),
      dropout_of_blocks_(kDroppedOfBlocks),
      dropout_of_features_(kDroppedOfFeatures),
      softmax_({shape.classes}) {
  for (const ConvShape& block : shape.blocks()) {
    const auto use = kUseWeights + 2 + static_cast<uint32_t>(convolutions_.size());
    convolutions_.emplace_back(block, kGain, seed, use);
    pools_.emplace_back(block.outputs, block.output_height(), block.output_width(), kPool);
  }
  sums_.resize(convolutions_.size());
  pooled_.resize(convolutions_.size());
  pooled_gradient_.resize(convolutions_.size());
}

template <class Real>
std::vector<NetworkLayer<Real>> ClassifierNetwork<Real>::layers() {
  std::vector<NetworkLayer<Real>> all;
  for (Conv2d<Real>& layer : convolutions_) {
    all.push_back(list_layer(layer));
    all.push_back({{{"type", "max_pool2d"}, {"size", kPool}}});
    all.push_back({{{"type", "relu"}}});
  }
  all.push_back({{{"type", "flatten"}}});
  all.push_back(list_layer(hidden_));
  all.back().image_in = shape_.reduced();
  all.push_back({{{"type", "relu"}}});
  all.push_back(list_layer(out_));
  return all;
}

template <class Real>
void ClassifierNetwork<Real>::reserve(int64_t rows) {
  for (size_t b = 0; b < convolutions_.size(); ++b) {
    sums_[b].resize(static_cast<size_t>(rows * convolutions_[b].shape().output_size()));
    pooled_[b].resize(static_cast<size_t>(rows * pools_[b].output_size()));
  }
  features_.resize(static_cast<size_t>(rows * shape_.features));
  probabilities_.resize(static_cast<size_t>(rows * shape_.classes));
}

template <class Real>
void ClassifierNetwork<Real>::forward_blocks(const Real* images, int64_t rows) {
  reserve(rows);
  for (size_t b = 0; b < convolutions_.size(); ++b) {
    convolutions_[b].forward(images, rows, Rectified::kNo, sums_[b].data());
    pools_[b].forward(sums_[b].data(), rows, pooled_[b].data());
    forward_relu(std::span(pooled_[b]));  // after the pool: a quarter of the values, and the same ones
    images = pooled_[b].data();
  }
}

template <class Real>
const Real* ClassifierNetwork<Real>::forward(const Real* images, int64_t rows) {
  forward_blocks(images, rows);
  hidden_.forward(pooled_.empty() ? images : pooled_.back().data(), rows, features_.data());
  forward_relu(std::span(features_));
  out_.forward(features_.data(), rows, probabilities_.data());
  softmax_.forward(probabilities_.data(), rows);
  return probabilities_.data();
}

template <class Real>
double ClassifierNetwork<Real>::forward_training(const Real* images, const int32_t* labels, int64_t rows, uint64_t seed,
                                                 uint32_t use) {
  forward_blocks(images, rows);
  if (!pooled_.empty()) {
    std::vector<Real>& reduced = pooled_.back();
    dropout_of_blocks_.forward(seed, use, static_cast<int64_t>(reduced.size()), reduced.data());
    images = reduced.data();
  }
  hidden_.forward(images, rows, features_.data());
  forward_relu(std::span(features_));
  dropout_of_features_.forward(seed, use + 1, rows * shape_.features, features_.data());
  out_.forward(features_.data(), rows, probabilities_.data());
  softmax_.forward(probabilities_.data(), rows);
  return softmax_.loss(probabilities_.data(), labels, rows);
}

template <class Real>
void ClassifierNetwork<Real>::backward(const Real* images, const int32_t* labels, int64_t rows) {
  for (size_t b = 0; b < pooled_.size(); ++b) pooled_gradient_[b].resize(pooled_[b].size());
  features_gradient_.resize(features_.size());
  softmax_.backward(labels, 1 / static_cast<double>(rows), rows, probabilities_.data());
  out_.backward(features_.data(), probabilities_.data(), rows, features_gradient_.data());
  dropout_of_features_.backward(rows * shape_.features, features_gradient_.data());
  backward_relu(std::span<const Real>(features_), std::span(features_gradient_));
  const bool has_blocks = !pooled_.empty();
  Real* gradient = has_blocks ? pooled_gradient_.back().data() : nullptr;
  hidden_.backward(has_blocks ? pooled_.back().data() : images, features_gradient_.data(), rows, gradient);
  if (has_blocks) dropout_of_blocks_.backward(static_cast<int64_t>(pooled_.back().size()), gradient);
  for (size_t b = pooled_.size(); b-- > 0;) {
    backward_relu(std::span<const Real>(pooled_[b]), std::span(pooled_gradient_[b]));
    pools_[b].backward(pooled_gradient_[b].data(), rows, sums_[b].data());
    convolutions_[b].backward(b > 0 ? pooled_[b - 1].data() : images, sums_[b].data(), rows,
                              b > 0 ? pooled_gradient_[b - 1].data() : nullptr);
  }
}

template <class Real>
double ClassifierNetwork<Real>::operations_per_row(const ClassifierShape& shape) {
  constexpr double kPasses = 3;  // forward, gradients of weights, gradients of inputs
  double sum = 0;
  for (const ConvShape& block : shape.blocks()) sum += kPasses * block.operations();
  if (!shape.blocks().empty()) sum -= shape.blocks().front().operations();  // images have no gradient
  return sum + kPasses * static_cast<double>(shape.features * (shape.reduced().size() + shape.classes));
}

template class ClassifierNetwork<float>;
template class ClassifierNetwork<double>;

}  // namespace doppel
