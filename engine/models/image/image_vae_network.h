// The network of the image VAE (Kingma and Welling, "Auto-encoding variational Bayes", 2014): an encoder gives the mean
// and variance of an image's latents, a decoder the distribution of each pixel given the latents. Where images have
// labels, both are told the label.
//
//   image -> [convolution 4x4, stride 2 -> ReLU] x blocks -> dense + label -> ReLU -> dense -> ReLU -> dense: heads
//   latents -> dense + label -> ReLU -> dense -> ReLU -> dense [-> ReLU -> transposed convolution 4x4, stride 2] x
//   blocks
//
// A network without blocks is made of dense layers alone. Blocks halve an image until it is at most 8 pixels high or
// wide, each with twice the channels of the one before.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/image/images.h"
#include "engine/models/networks/layer_list.h"
#include "engine/models/vae/vae_loss.h"
#include "engine/nn/convolution.h"
#include "engine/nn/layers.h"
#include "kernels/image_sampler.h"

namespace doppel {

struct ImageVaeShape {
  ImageShape image;
  int32_t classes = 0;  // 0: images have no labels
  bool is_convolutional = true;
  int64_t latent = 24, hidden = 512;
  int64_t channels = 32;  // of the first block
  PixelLikelihood likelihood = PixelLikelihood::kBernoulli;

  std::vector<ConvShape> blocks() const;
  // Values of an image after the blocks: [height, width, channels].
  ImageShape reduced() const;
  int64_t heads() const { return outputs_of_level(likelihood); }
};

struct TrainableParameters;
template <class Real>
class ImageVaeNetwork;

// Latents to pixels, apart from the encoder: all that is needed to make images.
template <class Real>
class ImageDecoder {
 public:
  ImageDecoder(const ImageVaeShape& shape, uint64_t seed);
  const ImageVaeShape& shape() const { return shape_; }
  std::vector<NetworkLayer<Real>> layers();
  Parameter<Real>* label_weight() { return shape_.classes > 0 ? &label_.weight : nullptr; }

  // What the likelihood takes, [rows, height, width, channels, heads], valid until the next call; `backward` may
  // overwrite it. Labels [rows] are not looked at where there are no classes.
  Real* forward(const Real* latents, const int32_t* labels, int64_t rows);
  // output_gradient is that of what forward gave, which it may be.
  void backward(const Real* latents, const int32_t* labels, const Real* output_gradient, int64_t rows,
                Real* latents_gradient);

 private:
  friend TrainedNetwork trained_decoder(const ImageDecoder<float>& decoder);
  friend TrainableParameters trainable(ImageVaeNetwork<float>& network);
  ImageVaeShape shape_;
  Dense<Real> in_, hidden_, out_;
  Embedding<Real> label_;
  std::vector<ConvTranspose2d<Real>> enlarging_;
  std::vector<Real> lower_, upper_, gradient_, other_gradient_;
  std::vector<std::vector<Real>> enlarged_, enlarged_gradient_;  // before each transposed convolution, and the last
};

template <class Real>
class ImageVaeNetwork {
 public:
  ImageVaeNetwork(const ImageVaeShape& shape, uint64_t seed);
  const ImageVaeShape& shape() const { return decoder_.shape(); }
  ImageDecoder<Real>& decoder() { return decoder_; }
  std::vector<NetworkLayer<Real>> encoder_layers();
  Parameter<Real>* label_weight() { return shape().classes > 0 ? &label_.weight : nullptr; }  // of the encoder
  std::vector<Parameter<Real>*> parameters();

  // Images [rows, height, width, channels] of levels / 255, noise [rows, latent] of standard normals. Sums over rows.
  VaeLoss forward(const Real* images, const int32_t* labels, const Real* noise, int64_t rows);
  // Of (reconstruction + kl_weight * divergence) / rows, after forward on the same rows: adds to the gradients.
  void backward(const Real* images, const int32_t* labels, const Real* noise, double kl_weight, int64_t rows);
  // Means, then log variances [rows, 2 latent], valid until the next call.
  const Real* encode(const Real* images, const int32_t* labels, int64_t rows);

  // Multiply-adds of a row of one step of training, and of decoding.
  static double operations_per_row(const ImageVaeShape& shape);
  static double operations_to_decode(const ImageVaeShape& shape);

 private:
  friend TrainableParameters trainable(ImageVaeNetwork<float>& network);
  friend TrainedNetwork trained_encoder(const ImageVaeNetwork<float>& network);
  std::vector<Conv2d<Real>> reducing_;
  Dense<Real> in_, hidden_, heads_;
  Embedding<Real> label_;
  ImageDecoder<Real> decoder_;
  std::vector<std::vector<Real>> reduced_, reduced_gradient_;
  std::vector<Real> lower_, upper_, gaussians_, latents_;
  std::vector<Real> lower_gradient_, upper_gradient_, gaussians_gradient_, latents_gradient_;
  Real* outputs_ = nullptr;
};

extern template class ImageDecoder<float>;
extern template class ImageDecoder<double>;
extern template class ImageVaeNetwork<float>;
extern template class ImageVaeNetwork<double>;

}  // namespace doppel
