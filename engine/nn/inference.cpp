#include "engine/nn/inference.h"

#include <algorithm>
#include <optional>

#include "engine/nn/onednn.h"
#include "kernels/common/error.h"

namespace doppel {

using dnnl::memory;
using onednn::Step;
using Format = memory::format_tag;
using Type = memory::data_type;

struct InferenceLayer {
  enum class Kind : uint8_t { kDense, kConvolution, kTransposed, kPool, kPatches } kind;
  ConvShape shape;          // of images; of a pool `kernel` and `stride` are the window's
  int64_t inputs, outputs;  // values of a row
  Rectified rectified = Rectified::kNo;
  std::vector<float> weight, bias;
};

// What a block of so many rows goes through.
struct InferenceSteps {
  std::optional<Step> read;  // to the first layer's type, where that is another one than float
  std::vector<Step> layers;
  std::vector<dnnl::memory>
      values;            // [layers] what each takes; of the first one unless it takes the floats as they are
  dnnl::memory patches;  // of the last layer, where it is of that kind
};

namespace {

constexpr int64_t kBlockFloats = 192 << 10;            // of what one layer takes and gives: most of an L2 of 1 MiB
constexpr int64_t kFewestRows = 16, kMostRows = 1024;  // of a block
constexpr int64_t kFewChannels = 8;                    // of outputs of a transposed convolution: see make_transposed
constexpr size_t kMostSizes = 4;                       // numbers of rows whose steps are kept

InferenceLayer layer_of(InferenceLayer::Kind kind, const ConvShape& shape, int64_t inputs, int64_t outputs,
                        Rectified rectified, const Parameter<float>& weight, const Parameter<float>& bias) {
  return {kind, shape, inputs, outputs, rectified, weight.value, bias.value};
}

dnnl::primitive_attr attributes(Rectified rectified) {
  dnnl::primitive_attr how = onednn::attributes();
  if (rectified == Rectified::kNo) return how;
  dnnl::post_ops relu;
  relu.append_eltwise(dnnl::algorithm::eltwise_relu, 0, 0);
  how.set_post_ops(relu);
  return how;
}

void take_values(Step& step, const memory::desc& x, const memory::desc& y) {
  step.take(DNNL_ARG_SRC, x);
  step.take(DNNL_ARG_DST, y);
}

// The primitive's own copy of the weights, from their layout as the layers hold it.
void own_weights(Step& step, const std::vector<float>& weight, const memory::desc& from, const memory::desc& to) {
  step.own(DNNL_ARG_WEIGHTS, to);
  Step reorder = onednn::make_reorder(from, to);
  reorder.take(DNNL_ARG_FROM, from);
  reorder.share(DNNL_ARG_TO, step.memory(DNNL_ARG_WEIGHTS));
  reorder.run({{DNNL_ARG_FROM, weight.data()}});
}

void own_bias(Step& step, const std::vector<float>& bias, const memory::desc& layout) {
  step.own(DNNL_ARG_BIAS, layout);
  std::copy(bias.begin(), bias.end(), static_cast<float*>(step.memory(DNNL_ARG_BIAS).get_data_handle()));
}

Step make_dense(const InferenceLayer& layer, int64_t rows, Type from, Type to) {
  const memory::desc x({rows, layer.inputs}, from, Format::ab), y({rows, layer.outputs}, to, Format::ab);
  const memory::desc weight({layer.inputs, layer.outputs}, from, Format::any);
  const memory::desc bias({1, layer.outputs}, Type::f32, Format::ab);
  const dnnl::matmul::primitive_desc description(onednn::processor(), x, weight, bias, y, attributes(layer.rectified));
  Step step(dnnl::matmul(description), description);
  own_weights(step, layer.weight, onednn::floats({layer.inputs, layer.outputs}, Format::ba),
              description.weights_desc());
  own_bias(step, layer.bias, bias);
  take_values(step, x, y);
  return step;
}

struct ConvolutionArguments {
  explicit ConvolutionArguments(const ConvShape& s)
      : strides{s.stride, s.stride},
        before{s.padding, s.padding},
        after{(s.output_height() - 1) * s.stride + s.kernel - s.height - s.padding,
              (s.output_width() - 1) * s.stride + s.kernel - s.width - s.padding} {}
  memory::dims strides, before, after;
};

memory::desc small_images(const ConvShape& s, int64_t rows, Type type) {  // what the convolution gives
  return {{rows, s.outputs, s.output_height(), s.output_width()}, type, Format::nhwc};
}
memory::desc large_images(const ConvShape& s, int64_t rows, Type type) {
  return {{rows, s.inputs, s.height, s.width}, type, Format::nhwc};
}

Step make_convolution(const InferenceLayer& layer, int64_t rows, Type from, Type to) {
  const ConvShape& s = layer.shape;
  const ConvolutionArguments arguments(s);
  const memory::dims extents{s.outputs, s.inputs, s.kernel, s.kernel};
  const memory::desc bias({s.outputs}, Type::f32, Format::a);
  const dnnl::convolution_forward::primitive_desc description(
      onednn::processor(), dnnl::prop_kind::forward_inference, dnnl::algorithm::convolution_direct,
      large_images(s, rows, from), {extents, from, Format::any}, bias, small_images(s, rows, to), arguments.strides,
      arguments.before, arguments.after, attributes(layer.rectified));
  Step step(dnnl::convolution_forward(description), description);
  own_weights(step, layer.weight, onednn::floats(extents, Format::oihw), description.weights_desc());
  own_bias(step, layer.bias, bias);
  take_values(step, description.src_desc(), description.dst_desc());
  return step;
}

Step make_transposed(const InferenceLayer& layer, int64_t rows, Type from, Type to) {
  const ConvShape& s = layer.shape;
  const ConvolutionArguments arguments(s);
  const memory::dims extents{s.inputs, s.outputs, s.kernel, s.kernel};
  const memory::desc bias({s.inputs}, Type::f32, Format::a);
  const dnnl::deconvolution_forward::primitive_desc description(
      onednn::processor(), dnnl::prop_kind::forward_inference, dnnl::algorithm::deconvolution_direct,
      small_images(s, rows, from), {extents, from, Format::any}, bias, large_images(s, rows, to), arguments.strides,
      arguments.before, arguments.after, attributes(layer.rectified));
  Step step(dnnl::deconvolution_forward(description), description);
  own_weights(step, layer.weight, onednn::floats(extents, Format::iohw), description.weights_desc());
  own_bias(step, layer.bias, bias);
  take_values(step, description.src_desc(), description.dst_desc());
  return step;
}

Step make_pool(const InferenceLayer& layer, int64_t rows, Type type) {
  const ConvShape& s = layer.shape;
  const memory::dims window{s.kernel, s.kernel}, none{0, 0};
  const memory::dims after{s.output_height() * s.kernel - s.height, s.output_width() * s.kernel - s.width};
  const dnnl::pooling_forward::primitive_desc description(onednn::processor(), dnnl::prop_kind::forward_inference,
                                                          dnnl::algorithm::pooling_max, large_images(s, rows, type),
                                                          small_images(s, rows, type), window, window, none, none,
                                                          after, onednn::attributes());
  Step step(dnnl::pooling_forward(description), description);
  take_values(step, description.src_desc(), description.dst_desc());
  return step;
}

// The product that makes the patches of few channels, for which oneDNN's deconvolutions leave most lanes idle.
Step make_patches(const InferenceLayer& layer, int64_t rows, Type from) {
  const ConvShape& s = layer.shape;
  const int64_t pixels = rows * s.output_height() * s.output_width(), width = s.inputs * s.kernel * s.kernel;
  const memory::desc y({pixels, s.outputs}, from, Format::ab);
  const dnnl::matmul::primitive_desc description(onednn::processor(), y, {{s.outputs, width}, from, Format::any},
                                                 onednn::floats({pixels, width}, Format::ab), onednn::attributes());
  Step step(dnnl::matmul(description), description);
  own_weights(step, layer.weight, onednn::floats({s.outputs, width}, Format::ab), description.weights_desc());
  take_values(step, y, description.dst_desc());
  return step;
}

Step make_step(const InferenceLayer& layer, int64_t rows, Type from, Type to) {
  switch (layer.kind) {
    case InferenceLayer::Kind::kDense:
      return make_dense(layer, rows, from, to);
    case InferenceLayer::Kind::kConvolution:
      return make_convolution(layer, rows, from, to);
    case InferenceLayer::Kind::kTransposed:
      return make_transposed(layer, rows, from, to);
    case InferenceLayer::Kind::kPool:
      return make_pool(layer, rows, from);
    case InferenceLayer::Kind::kPatches:
      return make_patches(layer, rows, from);
  }
  throw Error("a layer of no kind");
}

memory buffer(int64_t rows, int64_t width, Type type) {
  return {{{rows * width}, type, Format::a}, onednn::processor()};
}

InferenceSteps make_steps(const std::vector<std::shared_ptr<const InferenceLayer>>& layers, int64_t rows,
                          Precision precision) {
  const Type between = precision == Precision::kBfloat16 ? Type::bf16 : Type::f32;
  InferenceSteps steps;
  if (between != Type::f32) {
    const memory::desc given = onednn::floats({rows * layers.front()->inputs}, Format::a);
    steps.read = onednn::make_reorder(given, {{rows * layers.front()->inputs}, between, Format::a});
    steps.read->take(DNNL_ARG_FROM, given);
    steps.read->take(DNNL_ARG_TO, {{rows * layers.front()->inputs}, between, Format::a});
  }
  for (const auto& layer : layers) {
    const bool is_last = &layer == &layers.back();
    steps.layers.push_back(make_step(*layer, rows, between, is_last ? Type::f32 : between));
    steps.values.push_back(buffer(rows, layer->inputs, between));
  }
  const InferenceLayer& last = *layers.back();
  if (last.kind == InferenceLayer::Kind::kPatches)
    steps.patches = buffer(rows * last.shape.output_height() * last.shape.output_width(),
                           last.shape.inputs * last.shape.kernel * last.shape.kernel, Type::f32);
  return steps;
}

// Images of patches, each pixel with its channel's bias.
void sum_patches(const InferenceLayer& layer, const float* patches, int64_t rows, float* y) {
  const auto channels = static_cast<int64_t>(layer.bias.size());
  for (int64_t i = 0; i < rows * layer.outputs; ++i) y[i] = layer.bias[static_cast<size_t>(i % channels)];
  add_patches(layer.shape, patches, rows, y);
  if (layer.rectified == Rectified::kYes) forward_relu(std::span(y, static_cast<size_t>(rows * layer.outputs)));
}

}  // namespace

bool has_fast_bfloat16() {
  constexpr auto kNeeded = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);  // bits: of what it is made of
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kNeeded) == kNeeded;
}

InferenceNetwork::InferenceNetwork(Precision precision) : precision_(precision) {
  if (precision == Precision::kBfloat16 && !has_fast_bfloat16())
    throw UsageError("this processor has no instructions for bfloat16 (AVX-512 BF16): f32 is faster here");
}

void InferenceNetwork::add(const Dense<float>& layer, Rectified rectified) {
  layers_.push_back(std::make_shared<InferenceLayer>(layer_of(InferenceLayer::Kind::kDense, {}, layer.inputs(),
                                                              layer.outputs(), rectified, layer.weight, layer.bias)));
}

void InferenceNetwork::add(const Conv2d<float>& layer, Rectified rectified) {
  const ConvShape& shape = layer.shape();
  layers_.push_back(
      std::make_shared<InferenceLayer>(layer_of(InferenceLayer::Kind::kConvolution, shape, shape.input_size(),
                                                shape.output_size(), rectified, layer.weight, layer.bias)));
}

void InferenceNetwork::add(const ConvTranspose2d<float>& layer, Rectified rectified) {
  const ConvShape& shape = layer.shape();
  const auto kind = shape.inputs < kFewChannels ? InferenceLayer::Kind::kPatches : InferenceLayer::Kind::kTransposed;
  layers_.push_back(std::make_shared<InferenceLayer>(
      layer_of(kind, shape, shape.output_size(), shape.input_size(), rectified, layer.weight, layer.bias)));
}

void InferenceNetwork::add(const MaxPool<float>& layer) {
  const ConvShape shape = layer.shape();
  layers_.push_back(std::make_shared<InferenceLayer>(InferenceLayer{
      InferenceLayer::Kind::kPool, shape, shape.input_size(), shape.output_size(), Rectified::kNo, {}, {}}));
}

int64_t InferenceNetwork::block_rows() const {
  int64_t floats = 1;
  for (const auto& layer : layers_) floats = std::max(floats, layer->inputs + layer->outputs);
  return std::clamp(kBlockFloats / floats / kFewestRows * kFewestRows, kFewestRows, kMostRows);
}

void InferenceNetwork::run_block(const float* x, int64_t rows, float* y) {
  if (steps_.kept.size() >= kMostSizes && !steps_.kept.contains(rows)) steps_.kept.clear();
  std::shared_ptr<InferenceSteps>& steps = steps_.kept[rows];
  if (!steps) steps = std::make_shared<InferenceSteps>(make_steps(layers_, rows, precision_));
  const void* values = x;
  if (steps->read) {
    steps->read->run({{DNNL_ARG_FROM, x}, {DNNL_ARG_TO, steps->values[0].get_data_handle()}});
    values = steps->values[0].get_data_handle();
  }
  const bool ends_in_patches = layers_.back()->kind == InferenceLayer::Kind::kPatches;
  for (size_t i = 0; i < layers_.size(); ++i) {
    const void* next = y;
    if (i + 1 < layers_.size())
      next = steps->values[i + 1].get_data_handle();
    else if (ends_in_patches)
      next = steps->patches.get_data_handle();
    steps->layers[i].run({{DNNL_ARG_SRC, values}, {DNNL_ARG_DST, next}});
    values = next;
  }
  if (ends_in_patches) sum_patches(*layers_.back(), static_cast<const float*>(values), rows, y);
}

void InferenceNetwork::run(const float* x, int64_t rows, float* y) {
  const int64_t block = block_rows(), inputs = layers_.front()->inputs, outputs = layers_.back()->outputs;
  for (int64_t first = 0; first < rows; first += block)
    run_block(x + first * inputs, std::min(block, rows - first), y + first * outputs);
}

}  // namespace doppel
