#include "engine/models/vae/vae_network.h"

#include <numeric>

namespace doppel {
namespace {

constexpr uint32_t kUseWeights = 0x60000000u;  // and the layer: of fill_with_normals
constexpr double kGain = 2, kHeadGain = 0.1;   // heads start near the prior

int64_t count_codes(const VaeShape& shape) {
  return std::accumulate(shape.codes.begin(), shape.codes.end(), int64_t{0});
}

}  // namespace

template <class Real>
VaeNetwork<Real>::VaeNetwork(const VaeShape& shape, uint64_t seed)
    : shape_(shape),
      embedding_(shape.codes, shape.hidden, kGain, seed, kUseWeights),
      encoder_hidden_(shape.hidden, shape.hidden, kGain, seed, kUseWeights + 1),
      heads_(shape.hidden, 2 * shape.latent, kHeadGain, seed, kUseWeights + 2),
      decoder_in_(shape.latent, shape.hidden, kGain, seed, kUseWeights + 3),
      decoder_hidden_(shape.hidden, shape.hidden, kGain, seed, kUseWeights + 4),
      decoder_out_(shape.hidden, count_codes(shape), kHeadGain, seed, kUseWeights + 5),
      outputs_(shape.codes) {}

template <class Real>
std::vector<Parameter<Real>*> VaeNetwork<Real>::parameters() {
  std::vector<Parameter<Real>*> all = {&embedding_.weight, &embedding_.bias};
  for (Dense<Real>* layer : {&encoder_hidden_, &heads_, &decoder_in_, &decoder_hidden_, &decoder_out_})
    all.insert(all.end(), {&layer->weight, &layer->bias});
  return all;
}

template <class Real>
void VaeNetwork<Real>::reserve(int64_t rows) {
  const auto hidden = static_cast<size_t>(rows * shape_.hidden), latent = static_cast<size_t>(rows * shape_.latent);
  for (auto* of_hidden : {&embedded_, &encoded_, &lower_, &upper_, &hidden_gradient_, &other_gradient_})
    of_hidden->resize(hidden);
  for (auto* of_latent : {&latents_, &latent_gradient_}) of_latent->resize(latent);
  for (auto* of_gaussian : {&gaussians_, &gaussian_gradient_}) of_gaussian->resize(2 * latent);
  probabilities_.resize(static_cast<size_t>(rows * outputs_.outputs()));
}

template <class Real>
void VaeNetwork<Real>::encode(const int32_t* codes, const Real* noise, int64_t rows, Real* latents) {
  reserve(rows);
  embedding_.forward(codes, rows, embedded_.data());
  forward_relu(std::span(embedded_));
  encoder_hidden_.forward(embedded_.data(), rows, encoded_.data());
  forward_relu(std::span(encoded_));
  heads_.forward(encoded_.data(), rows, gaussians_.data());
  forward_gaussian(gaussians_.data(), noise, rows, shape_.latent, latents);
}

template <class Real>
const Real* VaeNetwork<Real>::decode(const Real* latents, int64_t rows) {
  reserve(rows);
  decoder_in_.forward(latents, rows, lower_.data());
  forward_relu(std::span(lower_));
  decoder_hidden_.forward(lower_.data(), rows, upper_.data());
  forward_relu(std::span(upper_));
  decoder_out_.forward(upper_.data(), rows, probabilities_.data());
  outputs_.forward(probabilities_.data(), rows);
  return probabilities_.data();
}

template <class Real>
VaeLoss VaeNetwork<Real>::forward(const int32_t* codes, const Real* noise, int64_t rows) {
  reserve(rows);
  encode(codes, noise, rows, latents_.data());
  decode(latents_.data(), rows);
  return {outputs_.loss(probabilities_.data(), codes, rows), kl_divergence(gaussians_.data(), rows, shape_.latent)};
}

template <class Real>
void VaeNetwork<Real>::backward(const int32_t* codes, const Real* noise, double kl_weight, int64_t rows) {
  const double weight = 1 / static_cast<double>(rows);
  Real* gradient = hidden_gradient_.data();
  Real* other = other_gradient_.data();
  outputs_.backward(codes, weight, rows, probabilities_.data());
  decoder_out_.backward(upper_.data(), probabilities_.data(), rows, gradient);
  backward_relu(std::span<const Real>(upper_), std::span(hidden_gradient_));
  decoder_hidden_.backward(lower_.data(), gradient, rows, other);
  backward_relu(std::span<const Real>(lower_), std::span(other_gradient_));
  decoder_in_.backward(latents_.data(), other, rows, latent_gradient_.data());
  backward_gaussian(gaussians_.data(), noise, latent_gradient_.data(), kl_weight * weight, rows, shape_.latent,
                    gaussian_gradient_.data());
  heads_.backward(encoded_.data(), gaussian_gradient_.data(), rows, gradient);
  backward_relu(std::span<const Real>(encoded_), std::span(hidden_gradient_));
  encoder_hidden_.backward(embedded_.data(), gradient, rows, other);
  backward_relu(std::span<const Real>(embedded_), std::span(other_gradient_));
  embedding_.backward(codes, other, rows);
}

template <class Real>
double VaeNetwork<Real>::operations_per_row(const VaeShape& shape) {
  const auto hidden = static_cast<double>(shape.hidden), latent = static_cast<double>(shape.latent);
  const double forward = hidden * (2 * hidden + 3 * latent + static_cast<double>(count_codes(shape)));
  constexpr double kPasses = 3;  // forward, gradients of weights, gradients of inputs
  return kPasses * forward;
}

template class VaeNetwork<float>;
template class VaeNetwork<double>;

}  // namespace doppel
