#include "kernels/cpu/network.h"

#include <algorithm>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cpu/onednn.h"
#include "kernels/cpu/patches.h"

namespace doppel {

using dnnl::memory;
using onednn::Step;
using Format = memory::format_tag;
using Type = memory::data_type;

namespace {

struct PlainLayer : TrainedLayer {
  explicit PlainLayer(const TrainedLayer& layer) : TrainedLayer(layer) {
    if (kind != Kind::kTransposed) return;
    weight = weights_of_patches(shape, weight.data());
    patch_sums.emplace(shape);
  }
  std::optional<PatchSums> patch_sums;  // of a transposed convolution, whose weights are of patches
};

// What a block of so many rows goes through.
struct Steps {
  std::optional<Step> read;  // to the first layer's type, where that is another one than float
  std::vector<Step> layers;
  std::vector<memory> values;  // [layers] what each takes; of the first one unless it takes the floats as they are
  memory patches;              // of transposed convolutions: lines of the cache begin where oneDNN's memory does
};

constexpr int64_t kBlockFloats = 192 << 10;            // of what one layer takes and gives: most of an L2 of 1 MiB
constexpr int64_t kFewestRows = 16, kMostRows = 1024;  // of a block
constexpr int64_t kPatchFloats = 128 << 10;            // of the patches of some images, which are soon summed
constexpr size_t kMostSizes = 4;                       // numbers of rows whose steps are kept

dnnl::primitive_attr attributes(bool rectified) {
  dnnl::primitive_attr how = onednn::attributes();
  if (!rectified) return how;
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

Step make_dense(const PlainLayer& layer, int64_t rows, Type from, Type to) {
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

Step make_convolution(const PlainLayer& layer, int64_t rows, Type from, Type to) {
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

Step make_pool(const PlainLayer& layer, int64_t rows, Type type) {
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

// The product that makes the patches of so many images. oneDNN's deconvolutions were slower by half, and by far where
// there are few channels.
Step make_patches(const PlainLayer& layer, int64_t images, Type from) {
  const ConvShape& s = layer.shape;
  const int64_t pixels = images * s.output_pixels(), width = s.inputs * s.taps();
  const memory::desc y({pixels, s.outputs}, from, Format::ab);
  const dnnl::matmul::primitive_desc description(onednn::processor(), y, {{s.outputs, width}, from, Format::any},
                                                 onednn::floats({pixels, width}, Format::ab), onednn::attributes());
  Step step(dnnl::matmul(description), description);
  own_weights(step, layer.weight, onednn::floats({s.outputs, width}, Format::ab), description.weights_desc());
  take_values(step, y, description.dst_desc());
  return step;
}

// The largest divisor of `rows` whose patches stay in the cache.
int64_t images_of_patches(const PlainLayer& layer, int64_t rows) {
  int64_t images = std::clamp(kPatchFloats / layer.patch_sums->image_floats(), int64_t{1}, rows);
  while (rows % images != 0) --images;
  return images;
}

Step make_step(const PlainLayer& layer, int64_t rows, Type from, Type to) {
  switch (layer.kind) {
    case TrainedLayer::Kind::kDense:
      return make_dense(layer, rows, from, to);
    case TrainedLayer::Kind::kConvolution:
      return make_convolution(layer, rows, from, to);
    case TrainedLayer::Kind::kTransposed:
      return make_patches(layer, images_of_patches(layer, rows), from);
    case TrainedLayer::Kind::kMaxPool:
      return make_pool(layer, rows, from);
  }
  throw Error("a layer of no kind");
}

// Of what layers hand on.
Type type_between(Precision precision) {
  return precision == Precision::kBfloat16 ? Type::bf16 : Type::f32;
}

memory buffer(int64_t rows, int64_t width, Type type) {
  return {{{rows * width}, type, Format::a}, onednn::processor()};
}

Steps make_steps(const std::vector<PlainLayer>& layers, int64_t rows, Precision precision) {
  const Type between = type_between(precision);
  Steps steps;
  if (between != Type::f32) {
    const memory::desc given = onednn::floats({rows * layers.front().inputs}, Format::a);
    steps.read = onednn::make_reorder(given, {{rows * layers.front().inputs}, between, Format::a});
    steps.read->take(DNNL_ARG_FROM, given);
    steps.read->take(DNNL_ARG_TO, {{rows * layers.front().inputs}, between, Format::a});
  }
  int64_t patches = 0;  // floats
  for (const PlainLayer& layer : layers) {
    const bool is_last = &layer == &layers.back();
    steps.layers.push_back(make_step(layer, rows, between, is_last ? Type::f32 : between));
    steps.values.push_back(buffer(rows, layer.inputs, between));
    if (layer.patch_sums)
      patches = std::max(patches, images_of_patches(layer, rows) * layer.patch_sums->image_floats());
  }
  if (patches > 0) steps.patches = buffer(1, patches, Type::f32);
  return steps;
}

void rectify(float* values, int64_t count) {
  for (int64_t i = 0; i < count; ++i) values[i] = std::max(values[i], 0.0f);
}

// Values of these types lie at x and y.
void transpose(const PlainLayer& layer, Step& product, Type from, Type to, const void* x, int64_t rows, float* patches,
               void* y) {
  const int64_t images = images_of_patches(layer, rows);
  const auto* values = static_cast<const std::byte*>(x);
  for (int64_t first = 0; first < rows; first += images) {
    product.run({{DNNL_ARG_SRC, values + static_cast<size_t>(first * layer.inputs) * memory::data_type_size(from)},
                 {DNNL_ARG_DST, patches}});
    if (to == Type::f32)
      layer.patch_sums->sum(patches, images, layer.bias.data(), layer.rectified,
                            static_cast<float*>(y) + first * layer.outputs);
    else
      layer.patch_sums->sum(patches, images, layer.bias.data(), layer.rectified,
                            static_cast<uint16_t*>(y) + first * layer.outputs);
  }
}

// Layers that labels add nothing to.
class PlainLayers {
 public:
  explicit PlainLayers(Precision precision) : precision_(precision) {}
  void add(const TrainedLayer& layer) { layers_.emplace_back(layer); }
  int64_t outputs() const { return layers_.back().outputs; }
  void run(const float* x, int64_t rows, float* y) {
    const int64_t block = block_rows(), inputs = layers_.front().inputs;
    for (int64_t first = 0; first < rows; first += block)
      run_block(x + first * inputs, std::min(block, rows - first), y + first * outputs());
  }

 private:
  int64_t block_rows() const;
  void run_block(const float* x, int64_t rows, float* y);

  Precision precision_;
  std::vector<PlainLayer> layers_;
  std::map<int64_t, Steps> steps_;  // by the number of rows that they are for
};

int64_t PlainLayers::block_rows() const {
  int64_t floats = 1;
  for (const PlainLayer& layer : layers_) floats = std::max(floats, layer.inputs + layer.outputs);
  return std::clamp(kBlockFloats / floats / kFewestRows * kFewestRows, kFewestRows, kMostRows);
}

void PlainLayers::run_block(const float* x, int64_t rows, float* y) {
  if (steps_.size() >= kMostSizes && !steps_.contains(rows)) steps_.clear();
  if (!steps_.contains(rows)) steps_.emplace(rows, make_steps(layers_, rows, precision_));
  Steps& steps = steps_.at(rows);
  const void* values = x;
  if (steps.read) {
    steps.read->run({{DNNL_ARG_FROM, x}, {DNNL_ARG_TO, steps.values[0].get_data_handle()}});
    values = steps.values[0].get_data_handle();
  }
  const Type between = type_between(precision_);
  for (size_t i = 0; i < layers_.size(); ++i) {
    const bool is_last = i + 1 == layers_.size();
    void* next = is_last ? y : steps.values[i + 1].get_data_handle();
    if (layers_[i].patch_sums)
      transpose(layers_[i], steps.layers[i], between, is_last ? Type::f32 : between, values, rows,
                static_cast<float*>(steps.patches.get_data_handle()), next);
    else
      steps.layers[i].run({{DNNL_ARG_SRC, values}, {DNNL_ARG_DST, next}});
    values = next;
  }
}

// Ends where labels add something, or at the end: that layer is alone, in single precision, its ReLU after the sum.
struct Part {
  PlainLayers layers;
  std::vector<float> label_weight;
  bool rectified = false;
  std::vector<float> values = {};  // that it gives, unless it is the last
};

void add_labels(const Part& part, const int32_t* labels, int64_t rows, float* y) {
  const int64_t outputs = part.layers.outputs();
  for (int64_t row = 0; row < rows; ++row) {
    const float* weight = part.label_weight.data() + labels[row] * outputs;
    for (int64_t o = 0; o < outputs; ++o) y[row * outputs + o] += weight[o];
  }
  if (part.rectified) rectify(y, rows * outputs);
}

class CpuNetwork : public PreparedNetwork {
 public:
  CpuNetwork(const TrainedNetwork& network, Precision precision) {
    check_trained_network(network);
    if (precision == Precision::kBfloat16 && !has_fast_bfloat16())
      throw UsageError("this processor has no instructions for bfloat16 (AVX-512 BF16): f32 is faster here");
    bool is_open = false;
    for (TrainedLayer layer : network.layers) {
      const bool is_labelled = !layer.label_weight.empty();
      if (!is_open || is_labelled) parts_.push_back({PlainLayers(is_labelled ? Precision::kSingle : precision), {}});
      is_open = !is_labelled;
      if (is_labelled) {
        parts_.back().label_weight = std::exchange(layer.label_weight, {});
        parts_.back().rectified = std::exchange(layer.rectified, false);
      }
      parts_.back().layers.add(layer);
    }
  }

  void run(const float* x, const int32_t* labels, int64_t rows, float* y) override {
    if (rows <= 0) return;
    for (Part& part : parts_) {
      float* to = y;
      if (&part != &parts_.back()) {
        part.values.resize(static_cast<size_t>(rows * part.layers.outputs()));
        to = part.values.data();
      }
      part.layers.run(x, rows, to);
      if (!part.label_weight.empty()) add_labels(part, labels, rows, to);
      x = to;
    }
  }

 private:
  std::vector<Part> parts_;
};

}  // namespace

bool has_fast_bfloat16() {
  constexpr auto kNeeded = static_cast<unsigned>(dnnl::cpu_isa::avx512_core_bf16);  // bits: of what it is made of
  return (static_cast<unsigned>(dnnl::get_effective_cpu_isa()) & kNeeded) == kNeeded;
}

std::unique_ptr<PreparedNetwork> prepare_network_on_cpu(const TrainedNetwork& network, Precision precision) {
  return std::make_unique<CpuNetwork>(network, precision);
}

}  // namespace doppel
