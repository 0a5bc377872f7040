#include "engine/models/image/image_vae_network.h"

#include <algorithm>

#include "engine/nn/likelihoods.h"

namespace doppel {
namespace {

// And the layer: of fill_with_normals.
constexpr uint32_t kUseEncoder = 0x64000000u, kUseDecoder = 0x65000000u;
constexpr double kGain = 2, kHeadGain = 0.1;  // heads start near the prior, pixels near what all images have
constexpr double kLabelGain = 4;              // stronger than all latents: they need not say again what the label says
constexpr int32_t kSmall = 8;
constexpr int64_t kMostFilters = 256;
constexpr double kFirstMean = 0.5, kFirstLogScale = -1.5;  // of logistic pixels

template <class Real>
void resize_all(std::initializer_list<std::vector<Real>*> buffers, int64_t size) {
  for (std::vector<Real>* buffer : buffers) buffer->resize(static_cast<size_t>(size));
}

}  // namespace

std::vector<ConvShape> ImageVaeShape::blocks() const {
  std::vector<ConvShape> blocks;
  if (!is_convolutional) return blocks;
  int64_t inputs = image.channels, outputs = channels, height = image.height, width = image.width;
  while (std::min(height, width) > kSmall) {
    blocks.push_back({inputs, outputs, height, width, 4, 2, 1});
    height = blocks.back().output_height(), width = blocks.back().output_width();
    inputs = outputs;
    outputs = std::min(2 * outputs, kMostFilters);
  }
  return blocks;
}

ImageShape ImageVaeShape::reduced() const {
  const std::vector<ConvShape> all = blocks();
  if (all.empty()) return image;
  const ConvShape& last = all.back();
  return {static_cast<int32_t>(last.outputs), static_cast<int32_t>(last.output_height()),
          static_cast<int32_t>(last.output_width())};
}

// ---- decoder

template <class Real>
ImageDecoder<Real>::ImageDecoder(const ImageVaeShape& shape, uint64_t seed)
    : shape_(shape),
      in_(shape.latent, shape.hidden, kGain, seed, kUseDecoder),
      hidden_(shape.hidden, shape.hidden, kGain, seed, kUseDecoder + 1),
      out_(shape.hidden, shape.blocks().empty() ? shape.image.size() * shape.heads() : shape.reduced().size(),
           shape.blocks().empty() ? kHeadGain : kGain, seed, kUseDecoder + 2),
      label_(shape.classes, 1, shape.hidden, kLabelGain, seed, kUseDecoder + 3) {
  std::vector<ConvShape> blocks = shape.blocks();
  for (size_t b = blocks.size(); b-- > 0;) {
    if (b == 0) blocks[b].inputs *= shape.heads();
    enlarging_.emplace_back(blocks[b], b == 0 ? kHeadGain : kGain, seed, kUseDecoder + 4 + static_cast<uint32_t>(b));
  }
  enlarged_.resize(blocks.size() + 1);
  enlarged_gradient_.resize(blocks.size());
  if (shape.likelihood != PixelLikelihood::kLogistic) return;
  std::vector<Real>& bias = blocks.empty() ? out_.bias.value : enlarging_.back().bias.value;
  for (size_t i = 0; i < bias.size(); ++i) bias[i] = static_cast<Real>(i % 2 == 0 ? kFirstMean : kFirstLogScale);
}

template <class Real>
std::vector<NetworkLayer<Real>> ImageDecoder<Real>::layers() {
  std::vector<NetworkLayer<Real>> all;
  for (Dense<Real>* layer : {&in_, &hidden_}) {
    all.push_back(list_layer(*layer));
    all.push_back({{{"type", "relu"}}});
  }
  all.push_back(list_layer(out_));
  ImageShape given = shape_.reduced();
  if (enlarging_.empty()) given.channels *= static_cast<int32_t>(shape_.heads());
  all.back().image_out = given;
  all.push_back(
      {{{"type", "unflatten"}, {"channels", given.channels}, {"height", given.height}, {"width", given.width}}});
  for (ConvTranspose2d<Real>& layer : enlarging_) {
    all.push_back({{{"type", "relu"}}});
    all.push_back(list_layer(layer));
  }
  return all;
}

template <class Real>
Real* ImageDecoder<Real>::forward(const Real* latents, const int32_t* labels, int64_t rows) {
  resize_all({&lower_, &upper_}, rows * shape_.hidden);
  in_.forward(latents, rows, lower_.data());
  if (shape_.classes > 0) label_.add(labels, rows, lower_.data());
  forward_relu(std::span(lower_));
  hidden_.forward(lower_.data(), rows, upper_.data());
  forward_relu(std::span(upper_));
  enlarged_[0].resize(static_cast<size_t>(rows * out_.outputs()));
  out_.forward(upper_.data(), rows, enlarged_[0].data());
  for (size_t b = 0; b < enlarging_.size(); ++b) {
    if (b == 0) forward_relu(std::span(enlarged_[0]));
    enlarged_[b + 1].resize(static_cast<size_t>(rows * enlarging_[b].shape().input_size()));
    const bool is_last = b + 1 == enlarging_.size();
    enlarging_[b].forward(enlarged_[b].data(), rows, is_last ? Rectified::kNo : Rectified::kYes,
                          enlarged_[b + 1].data());
  }
  return enlarged_.back().data();
}

template <class Real>
void ImageDecoder<Real>::backward(const Real* latents, const int32_t* labels, const Real* output_gradient, int64_t rows,
                                  Real* latents_gradient) {
  resize_all({&gradient_, &other_gradient_}, rows * shape_.hidden);
  for (size_t b = enlarging_.size(); b-- > 0;) {
    enlarged_gradient_[b].resize(enlarged_[b].size());
    enlarging_[b].backward(enlarged_[b].data(), output_gradient, rows, enlarged_gradient_[b].data());
    backward_relu(std::span<const Real>(enlarged_[b]), std::span(enlarged_gradient_[b]));
    output_gradient = enlarged_gradient_[b].data();
  }
  out_.backward(upper_.data(), output_gradient, rows, gradient_.data());
  backward_relu(std::span<const Real>(upper_), std::span(gradient_));
  hidden_.backward(lower_.data(), gradient_.data(), rows, other_gradient_.data());
  backward_relu(std::span<const Real>(lower_), std::span(other_gradient_));
  if (shape_.classes > 0) label_.backward(labels, other_gradient_.data(), rows);
  in_.backward(latents, other_gradient_.data(), rows, latents_gradient);
}

// ---- both

template <class Real>
ImageVaeNetwork<Real>::ImageVaeNetwork(const ImageVaeShape& shape, uint64_t seed)
    : in_(shape.reduced().size(), shape.hidden, kGain, seed, kUseEncoder),
      hidden_(shape.hidden, shape.hidden, kGain, seed, kUseEncoder + 1),
      heads_(shape.hidden, 2 * shape.latent, kHeadGain, seed, kUseEncoder + 2),
      label_(shape.classes, 1, shape.hidden, kLabelGain, seed, kUseEncoder + 3),
      decoder_(shape, seed) {
  for (const ConvShape& block : shape.blocks())
    reducing_.emplace_back(block, kGain, seed, kUseEncoder + 4 + static_cast<uint32_t>(reducing_.size()));
  reduced_.resize(reducing_.size());
  reduced_gradient_.resize(reducing_.size());
}

template <class Real>
std::vector<NetworkLayer<Real>> ImageVaeNetwork<Real>::encoder_layers() {
  std::vector<NetworkLayer<Real>> all;
  for (Conv2d<Real>& layer : reducing_) {
    all.push_back(list_layer(layer));
    all.push_back({{{"type", "relu"}}});
  }
  all.push_back({{{"type", "flatten"}}});
  all.push_back(list_layer(in_));
  all.back().image_in = shape().reduced();
  all.push_back({{{"type", "relu"}}});
  all.push_back(list_layer(hidden_));
  all.push_back({{{"type", "relu"}}});
  all.push_back(list_layer(heads_));
  return all;
}

template <class Real>
std::vector<Parameter<Real>*> ImageVaeNetwork<Real>::parameters() {
  std::vector<Parameter<Real>*> all = parameters_of(encoder_layers());
  const std::vector<Parameter<Real>*> decoding = parameters_of(decoder_.layers());
  all.insert(all.end(), decoding.begin(), decoding.end());
  for (Parameter<Real>* of_labels : {label_weight(), decoder_.label_weight()})
    if (of_labels) all.push_back(of_labels);
  return all;
}

template <class Real>
const Real* ImageVaeNetwork<Real>::encode(const Real* images, const int32_t* labels, int64_t rows) {
  for (size_t b = 0; b < reducing_.size(); ++b) {
    reduced_[b].resize(static_cast<size_t>(rows * reducing_[b].shape().output_size()));
    reducing_[b].forward(images, rows, Rectified::kYes, reduced_[b].data());
    images = reduced_[b].data();
  }
  resize_all({&lower_, &upper_}, rows * shape().hidden);
  resize_all({&gaussians_}, rows * 2 * shape().latent);
  in_.forward(images, rows, lower_.data());
  if (shape().classes > 0) label_.add(labels, rows, lower_.data());
  forward_relu(std::span(lower_));
  hidden_.forward(lower_.data(), rows, upper_.data());
  forward_relu(std::span(upper_));
  heads_.forward(upper_.data(), rows, gaussians_.data());
  return gaussians_.data();
}

template <class Real>
VaeLoss ImageVaeNetwork<Real>::forward(const Real* images, const int32_t* labels, const Real* noise, int64_t rows) {
  encode(images, labels, rows);
  resize_all({&latents_}, rows * shape().latent);
  forward_gaussian(gaussians_.data(), noise, rows, shape().latent, latents_.data());
  outputs_ = decoder_.forward(latents_.data(), labels, rows);
  const int64_t levels = rows * shape().image.size();
  const double reconstruction = shape().likelihood == PixelLikelihood::kBernoulli
                                    ? bernoulli_loss(outputs_, images, levels)
                                    : logistic_loss(outputs_, images, levels);
  return {reconstruction, kl_divergence(gaussians_.data(), rows, shape().latent)};
}

template <class Real>
void ImageVaeNetwork<Real>::backward(const Real* images, const int32_t* labels, const Real* noise, double kl_weight,
                                     int64_t rows) {
  const double weight = 1 / static_cast<double>(rows);
  const int64_t levels = rows * shape().image.size();
  resize_all({&lower_gradient_, &upper_gradient_}, rows * shape().hidden);
  resize_all({&latents_gradient_}, rows * shape().latent);
  resize_all({&gaussians_gradient_}, rows * 2 * shape().latent);
  if (shape().likelihood == PixelLikelihood::kBernoulli)
    backward_bernoulli(images, weight, levels, outputs_);
  else
    backward_logistic(images, weight, levels, outputs_);
  decoder_.backward(latents_.data(), labels, outputs_, rows, latents_gradient_.data());
  backward_gaussian(gaussians_.data(), noise, latents_gradient_.data(), kl_weight * weight, rows, shape().latent,
                    gaussians_gradient_.data());
  heads_.backward(upper_.data(), gaussians_gradient_.data(), rows, upper_gradient_.data());
  backward_relu(std::span<const Real>(upper_), std::span(upper_gradient_));
  hidden_.backward(lower_.data(), upper_gradient_.data(), rows, lower_gradient_.data());
  backward_relu(std::span<const Real>(lower_), std::span(lower_gradient_));
  if (shape().classes > 0) label_.backward(labels, lower_gradient_.data(), rows);
  for (size_t b = 0; b < reducing_.size(); ++b) reduced_gradient_[b].resize(reduced_[b].size());
  const bool has_blocks = !reducing_.empty();
  in_.backward(has_blocks ? reduced_.back().data() : images, lower_gradient_.data(), rows,
               has_blocks ? reduced_gradient_.back().data() : nullptr);
  for (size_t b = reducing_.size(); b-- > 0;) {
    backward_relu(std::span<const Real>(reduced_[b]), std::span(reduced_gradient_[b]));
    reducing_[b].backward(b > 0 ? reduced_[b - 1].data() : images, reduced_gradient_[b].data(), rows,
                          b > 0 ? reduced_gradient_[b - 1].data() : nullptr);
  }
}

template <class Real>
double ImageVaeNetwork<Real>::operations_to_decode(const ImageVaeShape& shape) {
  const std::vector<ConvShape> blocks = shape.blocks();
  const auto heads = static_cast<double>(shape.heads());
  double sum = static_cast<double>(shape.hidden * (shape.latent + shape.hidden));
  sum += static_cast<double>(shape.hidden * shape.reduced().size()) * (blocks.empty() ? heads : 1);
  for (size_t b = 0; b < blocks.size(); ++b) sum += blocks[b].operations() * (b == 0 ? heads : 1);
  return sum;
}

template <class Real>
double ImageVaeNetwork<Real>::operations_per_row(const ImageVaeShape& shape) {
  constexpr double kPasses = 3;  // forward, gradients of weights, gradients of inputs
  const std::vector<ConvShape> blocks = shape.blocks();
  double encode = static_cast<double>(shape.hidden * (shape.reduced().size() + shape.hidden + 2 * shape.latent));
  for (const ConvShape& block : blocks) encode += block.operations();
  const double of_images =  // which have no gradient
      blocks.empty() ? static_cast<double>(shape.hidden * shape.image.size()) : blocks.front().operations();
  return kPasses * (encode + operations_to_decode(shape)) - of_images;
}

template class ImageDecoder<float>;
template class ImageDecoder<double>;
template class ImageVaeNetwork<float>;
template class ImageVaeNetwork<double>;

}  // namespace doppel
