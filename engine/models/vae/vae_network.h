// The network of the tabular VAE (Kingma and Welling, "Auto-encoding variational Bayes", 2014): a row is codes, one of
// each field; an encoder of two hidden layers gives the mean and variance of its latents, a decoder of two hidden
// layers the probabilities of each field's codes given the latents.
//
//   codes -> sum of embeddings -> ReLU -> dense -> ReLU -> dense: means and log variances -> latents
//   latents -> dense -> ReLU -> dense -> ReLU -> dense -> a softmax a field
#pragma once

#include <cstdint>
#include <vector>

#include "engine/models/vae/vae_loss.h"
#include "engine/nn/adam.h"
#include "engine/nn/layers.h"

namespace doppel {

struct TrainableParameters;

struct VaeShape {
  std::vector<int32_t> codes;  // of each field
  int64_t hidden = 0, latent = 0;
  int64_t fields() const { return static_cast<int64_t>(codes.size()); }
};

template <class Real>
class VaeNetwork {
 public:
  VaeNetwork(const VaeShape& shape, uint64_t seed);
  std::vector<Parameter<Real>*> parameters();

  // Codes [rows, fields], a negative one is unknown; noise [rows, latent] of standard normals.
  VaeLoss forward(const int32_t* codes, const Real* noise, int64_t rows);
  // Of (reconstruction + kl_weight * divergence) / rows, after forward on the same rows: adds to the gradients.
  void backward(const int32_t* codes, const Real* noise, double kl_weight, int64_t rows);

  // Latents [rows, latent]: the encoder's means and deviations times noise.
  void encode(const int32_t* codes, const Real* noise, int64_t rows, Real* latents);
  // Probabilities [rows, codes of all fields], valid until the next call.
  const Real* decode(const Real* latents, int64_t rows);

  Dense<Real>& decoder_in() { return decoder_in_; }
  Dense<Real>& decoder_hidden() { return decoder_hidden_; }
  Dense<Real>& decoder_out() { return decoder_out_; }
  const SoftmaxGroups<Real>& outputs() const { return outputs_; }
  const VaeShape& shape() const { return shape_; }

  // Multiply-adds of a row of one step of training.
  static double operations_per_row(const VaeShape& shape);

 private:
  friend TrainableParameters trainable(VaeNetwork<float>& network);
  void reserve(int64_t rows);

  VaeShape shape_;
  EmbeddingSum<Real> embedding_;
  Dense<Real> encoder_hidden_, heads_, decoder_in_, decoder_hidden_, decoder_out_;
  SoftmaxGroups<Real> outputs_;
  std::vector<Real> embedded_, encoded_, gaussians_, latents_, lower_, upper_, probabilities_;  // what layers gave
  std::vector<Real> hidden_gradient_, other_gradient_, latent_gradient_, gaussian_gradient_;
};

extern template class VaeNetwork<float>;
extern template class VaeNetwork<double>;

}  // namespace doppel
