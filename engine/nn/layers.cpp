#include "engine/nn/layers.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/elementary.h"
#include "kernels/cpu/product.h"
#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/random.h"

namespace doppel {
namespace {

template <class Real>
void add_row(const Real* from, int64_t count, Real* to) {
  for (int64_t i = 0; i < count; ++i) to[i] += from[i];
}

template <class Real>
void add_rows(const Real* matrix, int64_t rows, std::vector<Real>& sums) {
  const auto width = static_cast<int64_t>(sums.size());
  for (int64_t row = 0; row < rows; ++row) add_row(matrix + row * width, width, sums.data());
}

template <class Real>
void repeat_row(const std::vector<Real>& values, int64_t rows, Real* matrix) {
  for (int64_t row = 0; row < rows; ++row) matrix = std::copy(values.begin(), values.end(), matrix);
}

}  // namespace

template <class Real>
void fill_with_normals(uint64_t seed, uint32_t use, double deviation, std::vector<Real>& values) {
  for (size_t i = 0; i < values.size(); i += 2) {
    const auto words = philox_words(seed, i / 2, use, Stream::kFit);
    float first, second;
    portable::box_muller<PlainLanes>(static_cast<int32_t>(words[0]), static_cast<int32_t>(words[1]), first, second);
    values[i] = static_cast<Real>(deviation * static_cast<double>(first));
    if (i + 1 < values.size()) values[i + 1] = static_cast<Real>(deviation * static_cast<double>(second));
  }
}
template void fill_with_normals(uint64_t, uint32_t, double, std::vector<float>&);
template void fill_with_normals(uint64_t, uint32_t, double, std::vector<double>&);

// ---- dense

template <class Real>
Dense<Real>::Dense(int64_t inputs, int64_t outputs, double gain, uint64_t seed, uint32_t use)
    : weight(static_cast<size_t>(inputs * outputs)),
      bias(static_cast<size_t>(outputs)),
      inputs_(inputs),
      outputs_(outputs) {
  fill_with_normals(seed, use, std::sqrt(gain / static_cast<double>(std::max<int64_t>(inputs, 1))), weight.value);
}

template <class Real>
void Dense<Real>::forward(const Real* x, int64_t rows, Real* y) const {
  repeat_row(bias.value, rows, y);
  multiply(CblasNoTrans, CblasTrans, rows, outputs_, inputs_, x, weight.value.data(), Real{1}, y);
}

template <class Real>
void Dense<Real>::backward(const Real* x, const Real* y_gradient, int64_t rows, Real* x_gradient) {
  multiply(CblasTrans, CblasNoTrans, outputs_, inputs_, rows, y_gradient, x, Real{1}, weight.gradient.data());
  add_rows(y_gradient, rows, bias.gradient);
  if (x_gradient)
    multiply(CblasNoTrans, CblasNoTrans, rows, inputs_, outputs_, y_gradient, weight.value.data(), Real{0}, x_gradient);
}

// ---- embeddings

template <class Real>
EmbeddingSum<Real>::EmbeddingSum(const std::vector<int32_t>& codes_of_field, int64_t outputs, double gain,
                                 uint64_t seed, uint32_t use)
    : weight(0), bias(static_cast<size_t>(outputs)), outputs_(outputs) {
  int64_t codes = 0;
  for (const int32_t of_field : codes_of_field) {
    first_.push_back(codes);
    codes += of_field;
  }
  weight = Parameter<Real>(static_cast<size_t>(codes * outputs));
  const auto fields = static_cast<double>(std::max<size_t>(codes_of_field.size(), 1));
  fill_with_normals(seed, use, std::sqrt(gain / fields), weight.value);
}

template <class Real>
void EmbeddingSum<Real>::forward(const int32_t* codes, int64_t rows, Real* y) const {
  repeat_row(bias.value, rows, y);
  for (int64_t row = 0; row < rows; ++row, y += outputs_)
    for (const int64_t first : first_)
      if (const int32_t code = *codes++; code >= 0) add_row(weight.value.data() + (first + code) * outputs_, outputs_, y);
}

template <class Real>
void EmbeddingSum<Real>::backward(const int32_t* codes, const Real* y_gradient, int64_t rows) {
  add_rows(y_gradient, rows, bias.gradient);
  for (int64_t row = 0; row < rows; ++row, y_gradient += outputs_)
    for (const int64_t first : first_)
      if (const int32_t code = *codes++; code >= 0)
        add_row(y_gradient, outputs_, weight.gradient.data() + (first + code) * outputs_);
}

template <class Real>
Embedding<Real>::Embedding(int32_t codes, int64_t inputs, int64_t outputs, double gain, uint64_t seed, uint32_t use)
    : weight(static_cast<size_t>(codes * outputs)), outputs_(outputs) {
  fill_with_normals(seed, use, std::sqrt(gain / static_cast<double>(std::max<int64_t>(inputs, 1))), weight.value);
}

template <class Real>
void Embedding<Real>::add(const int32_t* codes, int64_t rows, Real* y) const {
  for (int64_t row = 0; row < rows; ++row, y += outputs_)
    if (codes[row] >= 0) add_row(weight.value.data() + codes[row] * outputs_, outputs_, y);
}

template <class Real>
void Embedding<Real>::backward(const int32_t* codes, const Real* y_gradient, int64_t rows) {
  for (int64_t row = 0; row < rows; ++row, y_gradient += outputs_)
    if (codes[row] >= 0) add_row(y_gradient, outputs_, weight.gradient.data() + codes[row] * outputs_);
}

// ---- ReLU

template <class Real>
void forward_relu(std::span<Real> x) {
  for (Real& value : x) value = value > 0 ? value : 0;
}
template <class Real>
void backward_relu(std::span<const Real> y, std::span<Real> gradient) {
  for (size_t i = 0; i < y.size(); ++i) gradient[i] = y[i] > 0 ? gradient[i] : 0;
}
template void forward_relu(std::span<float>);
template void forward_relu(std::span<double>);
template void backward_relu(std::span<const float>, std::span<float>);
template void backward_relu(std::span<const double>, std::span<double>);

// ---- Gaussian latents

template <class Real>
void forward_gaussian(const Real* heads, const Real* noise, int64_t rows, int64_t latent, Real* z) {
  for (int64_t row = 0; row < rows; ++row, heads += 2 * latent, noise += latent, z += latent)
    for (int64_t k = 0; k < latent; ++k) z[k] = heads[k] + std::exp(heads[latent + k] / 2) * noise[k];
}

template <class Real>
void backward_gaussian(const Real* heads, const Real* noise, const Real* z_gradient, double kl_weight, int64_t rows,
                       int64_t latent, Real* heads_gradient) {
  const auto weight = static_cast<Real>(kl_weight);
  for (int64_t row = 0; row < rows; ++row) {
    for (int64_t k = 0; k < latent; ++k) {
      const Real deviation = std::exp(heads[latent + k] / 2);
      heads_gradient[k] = z_gradient[k] + weight * heads[k];
      heads_gradient[latent + k] = (z_gradient[k] * noise[k] * deviation + weight * (deviation * deviation - 1)) / 2;
    }
    heads += 2 * latent, heads_gradient += 2 * latent, noise += latent, z_gradient += latent;
  }
}

template <class Real>
double kl_divergence(const Real* heads, int64_t rows, int64_t latent) {
  double sum = 0;
  for (int64_t row = 0; row < rows; ++row, heads += 2 * latent)
    for (int64_t k = 0; k < latent; ++k) {
      const auto mean = static_cast<double>(heads[k]), log_variance = static_cast<double>(heads[latent + k]);
      sum += 0.5 * (mean * mean + std::exp(log_variance) - 1 - log_variance);
    }
  return sum;
}
template void forward_gaussian(const float*, const float*, int64_t, int64_t, float*);
template void forward_gaussian(const double*, const double*, int64_t, int64_t, double*);
template void backward_gaussian(const float*, const float*, const float*, double, int64_t, int64_t, float*);
template void backward_gaussian(const double*, const double*, const double*, double, int64_t, int64_t, double*);
template double kl_divergence(const float*, int64_t, int64_t);
template double kl_divergence(const double*, int64_t, int64_t);

// ---- softmax cross-entropies

template <class Real>
SoftmaxGroups<Real>::SoftmaxGroups(std::vector<int32_t> sizes) : sizes_(std::move(sizes)) {
  for (const int32_t size : sizes_) outputs_ += size;
}

template <class Real>
void SoftmaxGroups<Real>::forward(Real* logits, int64_t rows) const {
  for (int64_t row = 0; row < rows; ++row)
    for (const int32_t size : sizes_) {
      const Real most = *std::max_element(logits, logits + size);
      double sum = 0;
      for (int32_t i = 0; i < size; ++i)
        logits[i] = static_cast<Real>(exp_below_zero(static_cast<double>(logits[i] - most)));
      for (int32_t i = 0; i < size; ++i) sum += static_cast<double>(logits[i]);
      const auto scale = static_cast<Real>(1 / sum);
      for (int32_t i = 0; i < size; ++i) logits[i] *= scale;
      logits += size;
    }
}

template <class Real>
double SoftmaxGroups<Real>::loss(const Real* probabilities, const int32_t* targets, int64_t rows) const {
  constexpr double kLeast = 1e-30;
  double sum = 0;
  for (int64_t row = 0; row < rows; ++row)
    for (const int32_t size : sizes_) {
      if (const int32_t target = *targets++; target >= 0)
        sum -= std::log(std::max(static_cast<double>(probabilities[target]), kLeast));
      probabilities += size;
    }
  return sum;
}

template <class Real>
void SoftmaxGroups<Real>::backward(const int32_t* targets, double weight, int64_t rows, Real* probabilities) const {
  for (int64_t row = 0; row < rows; ++row)
    for (const int32_t size : sizes_) {
      const int32_t target = *targets++;
      const auto scale = static_cast<Real>(target >= 0 ? weight : 0);
      for (int32_t i = 0; i < size; ++i) probabilities[i] *= scale;
      if (target >= 0) probabilities[target] -= scale;
      probabilities += size;
    }
}

template class Dense<float>;
template class Dense<double>;
template class EmbeddingSum<float>;
template class EmbeddingSum<double>;
template class Embedding<float>;
template class Embedding<double>;
template class SoftmaxGroups<float>;
template class SoftmaxGroups<double>;

}  // namespace doppel
