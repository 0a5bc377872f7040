// Layers of images: convolution, transposed convolution, largest of a window. Images lie as rows of the matrices of
// layers.h: [rows, height, width, channels], channels last, so that no layer but these has to know of images, and the
// output of one is the input of a dense layer as it is. In single precision oneDNN does the work (its kernels for
// channels last were as fast as those for its blocked layouts, within a tenth); in double, plain sums over the
// definition, to check gradients by.
//
// Primitives are made once for each number of rows, and kept: a layer is for one thread at a time. backward(...) is as
// in layers.h, except that no gradient with respect to the input is written where `x_gradient` is null.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "engine/nn/layers.h"
#include "kernels/network.h"

namespace doppel {

enum class Rectified : uint8_t { kNo, kYes };  // whether max(., 0) follows, in the same pass

// Primitives by the number of rows that they are for. A copy of a layer makes its own: copies are for other threads.
template <class Steps>
struct StepsByRows {
  std::map<int64_t, std::shared_ptr<Steps>> kept;
  StepsByRows() = default;
  StepsByRows(const StepsByRows&) {}
  StepsByRows& operator=(const StepsByRows&) { return kept.clear(), *this; }
};

struct ConvolutionSteps;

// The map y = W * x that both layers are made of, its transpose, and the gradient of its weights. W is [outputs,
// inputs, kernel, kernel], as PyTorch has it.
template <class Real>
class Convolution {
 public:
  explicit Convolution(const ConvShape& shape) : shape_(shape) {}
  const ConvShape& shape() const { return shape_; }
  void apply(const Real* x, const Real* weight, const Real* bias, Rectified rectified, int64_t rows, Real* y);
  void transpose(const Real* y, const Real* weight, int64_t rows, Real* x);
  // Adds to the gradients; bias_gradient may be null.
  void add_gradient(const Real* x, const Real* y_gradient, int64_t rows, Real* weight_gradient, Real* bias_gradient);

 private:
  ConvolutionSteps& steps(int64_t rows);

  ConvShape shape_;
  StepsByRows<ConvolutionSteps> steps_;
};

// y = W * x + b.
template <class Real>
class Conv2d {
 public:
  // Weights start as normals of variance `gain` / (inputs kernel^2), biases as 0.
  Conv2d(const ConvShape& shape, double gain, uint64_t seed, uint32_t use);
  const ConvShape& shape() const { return map_.shape(); }
  void forward(const Real* x, int64_t rows, Rectified rectified, Real* y);
  // y_gradient is that of the sums: after backward_relu, where they were rectified.
  void backward(const Real* x, const Real* y_gradient, int64_t rows, Real* x_gradient);

  Parameter<Real> weight;  // [outputs, inputs, kernel, kernel]
  Parameter<Real> bias;    // [outputs]

 private:
  Convolution<Real> map_;
};

// The transpose of a convolution, which makes images larger: x has the shape of the convolution's outputs, y that of
// its inputs. PyTorch's ConvTranspose2d(shape.outputs, shape.inputs, kernel, stride, padding).
template <class Real>
class ConvTranspose2d {
 public:
  // Weights start as normals of variance `gain` / (the mean number of sums that an output takes part in).
  ConvTranspose2d(const ConvShape& shape, double gain, uint64_t seed, uint32_t use);
  const ConvShape& shape() const { return map_.shape(); }
  void forward(const Real* x, int64_t rows, Rectified rectified, Real* y);
  void backward(const Real* x, const Real* y_gradient, int64_t rows, Real* x_gradient);

  Parameter<Real> weight;  // [shape.outputs, shape.inputs, kernel, kernel]
  Parameter<Real> bias;    // [shape.inputs]

 private:
  Convolution<Real> map_;
};

struct PoolSteps;

// The largest of each window of size x size, side by side; what is left over at the right and below is dropped.
template <class Real>
class MaxPool {
 public:
  MaxPool(int64_t channels, int64_t height, int64_t width, int64_t size);
  int64_t output_height() const { return height_ / size_; }
  int64_t output_width() const { return width_ / size_; }
  int64_t output_size() const { return output_height() * output_width() * channels_; }
  ConvShape shape() const {
    return {channels_, channels_, height_, width_, size_, size_, 0};
  }  // a convolution's of its windows
  void forward(const Real* x, int64_t rows, Real* y);
  // After forward on as many rows: the first of the largest gets the gradient.
  void backward(const Real* y_gradient, int64_t rows, Real* x_gradient);

 private:
  PoolSteps& steps(int64_t rows);

  int64_t channels_, height_, width_, size_;
  StepsByRows<PoolSteps> steps_;  // in single precision
  std::vector<int32_t> largest_;  // in double: where each output was found
};

template <>
void Convolution<float>::apply(const float*, const float*, const float*, Rectified, int64_t, float*);
template <>
void Convolution<double>::apply(const double*, const double*, const double*, Rectified, int64_t, double*);
template <>
void Convolution<float>::transpose(const float*, const float*, int64_t, float*);
template <>
void Convolution<double>::transpose(const double*, const double*, int64_t, double*);
template <>
void Convolution<float>::add_gradient(const float*, const float*, int64_t, float*, float*);
template <>
void Convolution<double>::add_gradient(const double*, const double*, int64_t, double*, double*);
template <>
void MaxPool<float>::forward(const float*, int64_t, float*);
template <>
void MaxPool<double>::forward(const double*, int64_t, double*);
template <>
void MaxPool<float>::backward(const float*, int64_t, float*);
template <>
void MaxPool<double>::backward(const double*, int64_t, double*);
extern template class Convolution<float>;
extern template class Convolution<double>;
extern template class Conv2d<float>;
extern template class Conv2d<double>;
extern template class ConvTranspose2d<float>;
extern template class ConvTranspose2d<double>;
extern template class MaxPool<float>;
extern template class MaxPool<double>;

}  // namespace doppel
