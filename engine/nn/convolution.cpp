#include "engine/nn/convolution.h"

#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/cpu/product.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/patches.h"

namespace doppel {
namespace {

using dnnl::memory;
using onednn::Step;

constexpr size_t kMostSizes = 8;             // numbers of rows whose primitives are kept
constexpr int64_t kFewChannels = 8;          // of outputs: then a transposed convolution is a product (see transpose)
constexpr int64_t kPatchFloats = 128 << 10;  // of that product at a time: they stay in the cache

memory::desc images(int64_t rows, int64_t channels, int64_t height, int64_t width) {
  return onednn::floats({rows, channels, height, width}, memory::format_tag::nhwc);
}

template <class Steps>
Steps& steps_of(StepsByRows<Steps>& all, int64_t rows) {
  if (all.kept.size() >= kMostSizes && !all.kept.contains(rows)) all.kept.clear();
  std::shared_ptr<Steps>& steps = all.kept[rows];
  if (!steps) steps = std::make_shared<Steps>();
  return *steps;
}

template <class Real>
void add_bias(const std::vector<Real>& bias, Rectified rectified, int64_t pixels, Real* y) {
  const size_t channels = bias.size();
  for (int64_t pixel = 0; pixel < pixels; ++pixel, y += channels)
    for (size_t c = 0; c < channels; ++c) y[c] += bias[c];
  y -= pixels * static_cast<int64_t>(channels);
  if (rectified == Rectified::kYes) forward_relu(std::span(y, static_cast<size_t>(pixels) * channels));
}

// Adds the sums over pixels: of a block in Real, of blocks in double, or single precision would lose digits.
template <class Real>
void add_pixels(const Real* y, int64_t pixels, std::vector<Real>& sums) {
  constexpr int64_t kBlock = 256;
  const size_t channels = sums.size();
  std::vector<Real> block(channels);
  std::vector<double> total(channels);
  for (int64_t first = 0; first < pixels; first += kBlock) {
    std::fill(block.begin(), block.end(), Real{0});
    for (int64_t pixel = first; pixel < std::min(first + kBlock, pixels); ++pixel, y += channels)
      for (size_t c = 0; c < channels; ++c) block[c] += y[c];
    for (size_t c = 0; c < channels; ++c) total[c] += static_cast<double>(block[c]);
  }
  for (size_t c = 0; c < channels; ++c) sums[c] += static_cast<Real>(total[c]);
}

}  // namespace

// ---- convolution

// The primitives of one number of rows, and the weights in the layouts that they want.
struct ConvolutionSteps {
  struct Weighted {
    Step step, reorder;
  };
  std::optional<Weighted> apply[2][2];  // with a bias; rectified
  std::optional<Weighted> transpose;
  std::optional<Weighted> gradient[2];  // with a bias
  std::optional<PatchSums> patch_sums;  // of a transposed convolution that is a product
};

namespace {

struct ConvLayouts {
  ConvLayouts(const ConvShape& s, int64_t rows)
      : x(images(rows, s.inputs, s.height, s.width)),
        y(images(rows, s.outputs, s.output_height(), s.output_width())),
        weight(onednn::floats({s.outputs, s.inputs, s.kernel, s.kernel}, memory::format_tag::oihw)),
        any_weight(onednn::floats({s.outputs, s.inputs, s.kernel, s.kernel}, memory::format_tag::any)),
        bias(onednn::floats({s.outputs}, memory::format_tag::a)),
        strides{s.stride, s.stride},
        before{s.padding, s.padding},
        after{(s.output_height() - 1) * s.stride + s.kernel - s.height - s.padding,
              (s.output_width() - 1) * s.stride + s.kernel - s.width - s.padding} {}
  dnnl::convolution_forward::primitive_desc describe(bool biased, bool rectified) const {
    dnnl::primitive_attr how = onednn::attributes();
    if (rectified) {
      dnnl::post_ops relu;
      relu.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
      how.set_post_ops(relu);
    }
    return {onednn::processor(),
            dnnl::prop_kind::forward_training,
            dnnl::algorithm::convolution_direct,
            x,
            any_weight,
            biased ? bias : memory::desc(),
            y,
            strides,
            before,
            after,
            how};
  }
  memory::desc x, y, weight, any_weight, bias;
  memory::dims strides, before, after;
};

ConvolutionSteps::Weighted make_apply(const ConvLayouts& layouts, bool biased, bool rectified) {
  const auto description = layouts.describe(biased, rectified);
  Step step(dnnl::convolution_forward(description), description);
  Step reorder = onednn::make_reorder(layouts.weight, description.weights_desc());
  step.take(DNNL_ARG_SRC, layouts.x);
  step.take(DNNL_ARG_DST, layouts.y);
  if (biased) step.take(DNNL_ARG_BIAS, layouts.bias);
  step.own(DNNL_ARG_WEIGHTS, description.weights_desc());
  reorder.take(DNNL_ARG_FROM, layouts.weight);
  reorder.share(DNNL_ARG_TO, step.memory(DNNL_ARG_WEIGHTS));
  return {std::move(step), std::move(reorder)};
}

ConvolutionSteps::Weighted make_transpose(const ConvLayouts& layouts) {
  const dnnl::convolution_backward_data::primitive_desc description(
      onednn::processor(), dnnl::algorithm::convolution_direct, layouts.x, layouts.any_weight, layouts.y,
      layouts.strides, layouts.before, layouts.after, layouts.describe(false, false), onednn::attributes());
  Step step(dnnl::convolution_backward_data(description), description);
  Step reorder = onednn::make_reorder(layouts.weight, description.weights_desc());
  step.take(DNNL_ARG_DIFF_DST, layouts.y);
  step.take(DNNL_ARG_DIFF_SRC, layouts.x);
  step.own(DNNL_ARG_WEIGHTS, description.weights_desc());
  reorder.take(DNNL_ARG_FROM, layouts.weight);
  reorder.share(DNNL_ARG_TO, step.memory(DNNL_ARG_WEIGHTS));
  return {std::move(step), std::move(reorder)};
}

ConvolutionSteps::Weighted make_gradient(const ConvLayouts& layouts, bool biased) {
  const dnnl::convolution_backward_weights::primitive_desc description(
      onednn::processor(), dnnl::algorithm::convolution_direct, layouts.x, layouts.any_weight,
      biased ? layouts.bias : memory::desc(), layouts.y, layouts.strides, layouts.before, layouts.after,
      layouts.describe(biased, false), onednn::attributes());
  Step step(dnnl::convolution_backward_weights(description), description);
  Step reorder = onednn::make_reorder(description.diff_weights_desc(), layouts.weight, true);
  step.take(DNNL_ARG_SRC, layouts.x);
  step.take(DNNL_ARG_DIFF_DST, layouts.y);
  step.own(DNNL_ARG_DIFF_WEIGHTS, description.diff_weights_desc());
  if (biased) step.own(DNNL_ARG_DIFF_BIAS, layouts.bias);
  reorder.share(DNNL_ARG_FROM, step.memory(DNNL_ARG_DIFF_WEIGHTS));
  reorder.take(DNNL_ARG_TO, layouts.weight);
  return {std::move(step), std::move(reorder)};
}

// x by patches = y W, a few images at a time. oneDNN's kernels leave most lanes idle where an image has few channels
// (of 32 channels to 1, they took ten times as long).
void transpose_by_patches(const ConvShape& s, const PatchSums& sums, const float* y, const float* weight, int64_t rows,
                          float* x) {
  const std::vector<float> weights = weights_of_patches(s, weight);
  const int64_t pixels = s.output_pixels(), width = s.inputs * s.taps();
  const int64_t block = std::max<int64_t>(1, kPatchFloats / sums.image_floats());
  std::vector<float> patches(static_cast<size_t>(std::min(block, rows) * sums.image_floats()));
  for (int64_t first = 0; first < rows; first += block) {
    const int64_t some = std::min(block, rows - first);
    multiply(CblasNoTrans, CblasNoTrans, some * pixels, width, s.outputs, y + first * s.output_size(), weights.data(),
             0.0f, patches.data());
    sums.sum(patches.data(), some, nullptr, false, x + first * s.input_size());
  }
}

}  // namespace

template <class Real>
ConvolutionSteps& Convolution<Real>::steps(int64_t rows) {
  return steps_of(steps_, rows);
}

template <>
void Convolution<float>::apply(const float* x, const float* weight, const float* bias, Rectified rectified,
                               int64_t rows, float* y) {
  if (rows == 0) return;
  const bool biased = bias != nullptr, is_rectified = rectified == Rectified::kYes;
  auto& kept = steps(rows).apply[biased][is_rectified];
  if (!kept) kept = make_apply(ConvLayouts(shape_, rows), biased, is_rectified);
  kept->reorder.run({{DNNL_ARG_FROM, weight}});
  if (biased)
    kept->step.run({{DNNL_ARG_SRC, x}, {DNNL_ARG_BIAS, bias}, {DNNL_ARG_DST, y}});
  else
    kept->step.run({{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}});
}

template <>
void Convolution<float>::transpose(const float* y, const float* weight, int64_t rows, float* x) {
  if (rows == 0) return;
  if (shape_.inputs < kFewChannels) {
    auto& sums = steps(rows).patch_sums;
    if (!sums) sums.emplace(shape_);
    transpose_by_patches(shape_, *sums, y, weight, rows, x);
    return;
  }
  auto& kept = steps(rows).transpose;
  if (!kept) kept = make_transpose(ConvLayouts(shape_, rows));
  kept->reorder.run({{DNNL_ARG_FROM, weight}});
  kept->step.run({{DNNL_ARG_DIFF_DST, y}, {DNNL_ARG_DIFF_SRC, x}});
}

template <>
void Convolution<float>::add_gradient(const float* x, const float* y_gradient, int64_t rows, float* weight_gradient,
                                      float* bias_gradient) {
  if (rows == 0) return;
  const bool biased = bias_gradient != nullptr;
  auto& kept = steps(rows).gradient[biased];
  if (!kept) kept = make_gradient(ConvLayouts(shape_, rows), biased);
  kept->step.run({{DNNL_ARG_SRC, x}, {DNNL_ARG_DIFF_DST, y_gradient}});
  kept->reorder.run({{DNNL_ARG_TO, weight_gradient}});
  if (!biased) return;
  const auto* sums = static_cast<const float*>(kept->step.memory(DNNL_ARG_DIFF_BIAS).get_data_handle());
  for (int64_t o = 0; o < shape_.outputs; ++o) bias_gradient[o] += sums[o];
}

template <>
void Convolution<double>::apply(const double* x, const double* weight, const double* bias, Rectified rectified,
                                int64_t rows, double* y) {
  const ConvShape& s = shape_;
  const int64_t taps = s.kernel * s.kernel;
  for (int64_t row = 0; row < rows; ++row, x += s.input_size(), y += s.output_size()) {
    for (int64_t i = 0; i < s.output_size(); ++i) y[i] = bias ? bias[i % s.outputs] : 0;
    for_each_tap(s, [&](int64_t output, int64_t input, int64_t tap) {
      for (int64_t o = 0; o < s.outputs; ++o)
        for (int64_t i = 0; i < s.inputs; ++i)
          y[output * s.outputs + o] += weight[(o * s.inputs + i) * taps + tap] * x[input * s.inputs + i];
    });
    if (rectified == Rectified::kYes) forward_relu(std::span(y, static_cast<size_t>(s.output_size())));
  }
}

template <>
void Convolution<double>::transpose(const double* y, const double* weight, int64_t rows, double* x) {
  const ConvShape& s = shape_;
  const int64_t taps = s.kernel * s.kernel;
  for (int64_t row = 0; row < rows; ++row, x += s.input_size(), y += s.output_size()) {
    std::fill_n(x, s.input_size(), 0.0);
    for_each_tap(s, [&](int64_t output, int64_t input, int64_t tap) {
      for (int64_t o = 0; o < s.outputs; ++o)
        for (int64_t i = 0; i < s.inputs; ++i)
          x[input * s.inputs + i] += weight[(o * s.inputs + i) * taps + tap] * y[output * s.outputs + o];
    });
  }
}

template <>
void Convolution<double>::add_gradient(const double* x, const double* y_gradient, int64_t rows, double* weight_gradient,
                                       double* bias_gradient) {
  const ConvShape& s = shape_;
  const int64_t taps = s.kernel * s.kernel;
  for (int64_t row = 0; row < rows; ++row, x += s.input_size(), y_gradient += s.output_size()) {
    for (int64_t i = 0; bias_gradient && i < s.output_size(); ++i) bias_gradient[i % s.outputs] += y_gradient[i];
    for_each_tap(s, [&](int64_t output, int64_t input, int64_t tap) {
      for (int64_t o = 0; o < s.outputs; ++o)
        for (int64_t i = 0; i < s.inputs; ++i)
          weight_gradient[(o * s.inputs + i) * taps + tap] +=
              y_gradient[output * s.outputs + o] * x[input * s.inputs + i];
    });
  }
}

// ---- layers of it

template <class Real>
Conv2d<Real>::Conv2d(const ConvShape& shape, double gain, uint64_t seed, uint32_t use)
    : weight(static_cast<size_t>(shape.weights())), bias(static_cast<size_t>(shape.outputs)), map_(shape) {
  const auto summands = static_cast<double>(shape.inputs * shape.kernel * shape.kernel);
  fill_with_normals(seed, use, std::sqrt(gain / summands), weight.value);
}

template <class Real>
void Conv2d<Real>::forward(const Real* x, int64_t rows, Rectified rectified, Real* y) {
  map_.apply(x, weight.value.data(), bias.value.data(), rectified, rows, y);
}

template <class Real>
void Conv2d<Real>::backward(const Real* x, const Real* y_gradient, int64_t rows, Real* x_gradient) {
  map_.add_gradient(x, y_gradient, rows, weight.gradient.data(), bias.gradient.data());
  if (x_gradient) map_.transpose(y_gradient, weight.value.data(), rows, x_gradient);
}

template <class Real>
ConvTranspose2d<Real>::ConvTranspose2d(const ConvShape& shape, double gain, uint64_t seed, uint32_t use)
    : weight(static_cast<size_t>(shape.weights())), bias(static_cast<size_t>(shape.inputs)), map_(shape) {
  const double reached = static_cast<double>(shape.kernel) / static_cast<double>(shape.stride);
  fill_with_normals(seed, use, std::sqrt(gain / (static_cast<double>(shape.outputs) * reached * reached)),
                    weight.value);
}

template <class Real>
void ConvTranspose2d<Real>::forward(const Real* x, int64_t rows, Rectified rectified, Real* y) {
  map_.transpose(x, weight.value.data(), rows, y);
  add_bias(bias.value, rectified, rows * shape().height * shape().width, y);
}

template <class Real>
void ConvTranspose2d<Real>::backward(const Real* x, const Real* y_gradient, int64_t rows, Real* x_gradient) {
  map_.add_gradient(y_gradient, x, rows, weight.gradient.data(), nullptr);
  add_pixels(y_gradient, rows * shape().height * shape().width, bias.gradient);
  if (x_gradient) map_.apply(y_gradient, weight.value.data(), nullptr, Rectified::kNo, rows, x_gradient);
}

// ---- largest of a window

struct PoolSteps {
  std::optional<Step> forward, backward;
};

template <class Real>
MaxPool<Real>::MaxPool(int64_t channels, int64_t height, int64_t width, int64_t size)
    : channels_(channels), height_(height), width_(width), size_(size) {}

template <class Real>
PoolSteps& MaxPool<Real>::steps(int64_t rows) {
  PoolSteps& steps = steps_of(steps_, rows);
  if (steps.forward) return steps;
  const memory::desc x = images(rows, channels_, height_, width_);
  const memory::desc y = images(rows, channels_, output_height(), output_width());
  const memory::dims window{size_, size_}, none{0, 0};
  const memory::dims after{output_height() * size_ - height_, output_width() * size_ - width_};  // what is dropped
  const dnnl::pooling_forward::primitive_desc forward(onednn::processor(), dnnl::prop_kind::forward_training,
                                                      dnnl::algorithm::pooling_max, x, y, window, window, none, none,
                                                      after, onednn::attributes());
  const dnnl::pooling_backward::primitive_desc backward(onednn::processor(), dnnl::algorithm::pooling_max, x, y, window,
                                                        window, none, none, after, forward, onednn::attributes());
  steps.forward.emplace(dnnl::pooling_forward(forward), forward);
  steps.forward->take(DNNL_ARG_SRC, x);
  steps.forward->take(DNNL_ARG_DST, y);
  steps.forward->own(DNNL_ARG_WORKSPACE, forward.workspace_desc());
  steps.backward.emplace(dnnl::pooling_backward(backward), backward);
  steps.backward->take(DNNL_ARG_DIFF_DST, y);
  steps.backward->take(DNNL_ARG_DIFF_SRC, x);
  steps.backward->share(DNNL_ARG_WORKSPACE, steps.forward->memory(DNNL_ARG_WORKSPACE));
  return steps;
}

template <>
void MaxPool<float>::forward(const float* x, int64_t rows, float* y) {
  if (rows > 0) steps(rows).forward->run({{DNNL_ARG_SRC, x}, {DNNL_ARG_DST, y}});
}

template <>
void MaxPool<float>::backward(const float* y_gradient, int64_t rows, float* x_gradient) {
  if (rows > 0) steps(rows).backward->run({{DNNL_ARG_DIFF_DST, y_gradient}, {DNNL_ARG_DIFF_SRC, x_gradient}});
}

template <>
void MaxPool<double>::forward(const double* x, int64_t rows, double* y) {
  largest_.clear();
  for (int64_t row = 0; row < rows; ++row, x += height_ * width_ * channels_)
    for (int64_t oy = 0; oy < output_height(); ++oy)
      for (int64_t ox = 0; ox < output_width(); ++ox)
        for (int64_t c = 0; c < channels_; ++c) {
          int64_t largest = (oy * size_ * width_ + ox * size_) * channels_ + c;
          for (int64_t part = 1; part < size_ * size_; ++part) {
            const int64_t at = ((oy * size_ + part / size_) * width_ + ox * size_ + part % size_) * channels_ + c;
            if (x[at] > x[largest]) largest = at;
          }
          largest_.push_back(static_cast<int32_t>(largest));
          *y++ = x[largest];
        }
}

template <>
void MaxPool<double>::backward(const double* y_gradient, int64_t rows, double* x_gradient) {
  const int64_t image = height_ * width_ * channels_;
  std::fill_n(x_gradient, rows * image, 0.0);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < output_size(); ++i, ++y_gradient)
      x_gradient[row * image + largest_[static_cast<size_t>(row * output_size() + i)]] += *y_gradient;
}

template class Convolution<float>;
template class Convolution<double>;
template class Conv2d<float>;
template class Conv2d<double>;
template class ConvTranspose2d<float>;
template class ConvTranspose2d<double>;
template class MaxPool<float>;
template class MaxPool<double>;

}  // namespace doppel
