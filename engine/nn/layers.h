// Layers of neural networks. A network is a static list of them that calls forward in order and backward in reverse;
// there is no graph. All matrices are row-major [rows, width], products are oneDNN's or BLAS's (product.h), sums over
// rows of losses are in double. Layers are templates on the scalar: float to train, double to check gradients.
//
// backward(...) takes the gradient of the loss with respect to the layer's output, ADDS to the gradients of the layer's
// parameters, and writes the gradient with respect to its input. Backward needs what forward saw; the network keeps it.
// Layers of images are in convolution.h, likelihoods of pixels in likelihoods.h.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace doppel {

template <class Real>
struct Parameter {
  std::vector<Real> value, gradient;
  explicit Parameter(size_t size) : value(size), gradient(size) {}
};

// Normals of this deviation, a function of (seed, use): what weights start as.
template <class Real>
void fill_with_normals(uint64_t seed, uint32_t use, double deviation, std::vector<Real>& values);

// y = x W^T + b.
template <class Real>
class Dense {
 public:
  // Weights start as normals of variance `gain` / inputs (2 before a ReLU: He et al., 2015), biases as 0.
  Dense(int64_t inputs, int64_t outputs, double gain, uint64_t seed, uint32_t use);
  int64_t inputs() const { return inputs_; }
  int64_t outputs() const { return outputs_; }
  void forward(const Real* x, int64_t rows, Real* y) const;
  // x_gradient may be null: then it is not needed.
  void backward(const Real* x, const Real* y_gradient, int64_t rows, Real* x_gradient);

  Parameter<Real> weight;  // [outputs, inputs]
  Parameter<Real> bias;    // [outputs]

 private:
  int64_t inputs_, outputs_;
};

// y = b + the sum of the embeddings of a row's codes: the product of a dense layer with indicators, without the zeros.
// Codes [rows, fields] are within their field; a negative one adds nothing.
template <class Real>
class EmbeddingSum {
 public:
  // Embeddings start as normals of variance `gain` / fields.
  EmbeddingSum(const std::vector<int32_t>& codes_of_field, int64_t outputs, double gain, uint64_t seed, uint32_t use);
  int64_t outputs() const { return outputs_; }
  void forward(const int32_t* codes, int64_t rows, Real* y) const;
  void backward(const int32_t* codes, const Real* y_gradient, int64_t rows);  // codes have no gradient

  Parameter<Real> weight;  // [codes of all fields, outputs]
  Parameter<Real> bias;    // [outputs]

 private:
  std::vector<int64_t> first_;  // [fields] number of each field's first embedding
  int64_t outputs_;
};

// y += the embedding of a row's code: what an indicator adds to a dense layer. A negative code adds nothing.
template <class Real>
class Embedding {
 public:
  // Embeddings start as normals of variance `gain` / inputs, `inputs` those of the dense layer with the indicators.
  Embedding(int32_t codes, int64_t inputs, int64_t outputs, double gain, uint64_t seed, uint32_t use);
  void add(const int32_t* codes, int64_t rows, Real* y) const;
  void backward(const int32_t* codes, const Real* y_gradient, int64_t rows);  // codes have no gradient

  Parameter<Real> weight;  // [codes, outputs]

 private:
  int64_t outputs_;
};

// max(x, 0), in place. Backward takes forward's result.
template <class Real>
void forward_relu(std::span<Real> x);
template <class Real>
void backward_relu(std::span<const Real> y, std::span<Real> gradient);

// z = mean + exp(log variance / 2) noise (Kingma and Welling, "Auto-encoding variational Bayes", 2014). heads [rows, 2
// latent]: means, then log variances; noise and z [rows, latent].
template <class Real>
void forward_gaussian(const Real* heads, const Real* noise, int64_t rows, int64_t latent, Real* z);
// Of loss + kl_weight * divergence from the standard normal.
template <class Real>
void backward_gaussian(const Real* heads, const Real* noise, const Real* z_gradient, double kl_weight, int64_t rows,
                       int64_t latent, Real* heads_gradient);
// Sum over the rows of KL(N(mean, variance) | N(0, 1)), in nats.
template <class Real>
double kl_divergence(const Real* heads, int64_t rows, int64_t latent);

// Softmax cross-entropies of groups of neighbouring outputs, a category each. targets [rows, groups]; a negative one
// says nothing.
template <class Real>
class SoftmaxGroups {
 public:
  explicit SoftmaxGroups(std::vector<int32_t> sizes);
  int64_t outputs() const { return outputs_; }
  int64_t groups() const { return static_cast<int64_t>(sizes_.size()); }
  // Logits become probabilities, in place.
  void forward(Real* logits, int64_t rows) const;
  // Sum over rows and groups of -log probability of the target, in nats.
  double loss(const Real* probabilities, const int32_t* targets, int64_t rows) const;
  // Probabilities become the gradient of `weight` * loss with respect to the logits, in place.
  void backward(const int32_t* targets, double weight, int64_t rows, Real* probabilities) const;

 private:
  std::vector<int32_t> sizes_;
  int64_t outputs_ = 0;
};

extern template class Dense<float>;
extern template class Dense<double>;
extern template class EmbeddingSum<float>;
extern template class EmbeddingSum<double>;
extern template class Embedding<float>;
extern template class Embedding<double>;
extern template class SoftmaxGroups<float>;
extern template class SoftmaxGroups<double>;

}  // namespace doppel
