// A pass over a batch: forward, the loss, backward, Adam; and parameters on their way from and to the caller.
#include "kernels/cuda/training_chain.h"

#include <algorithm>
#include <limits>

#include "kernels/common/error.h"

namespace doppel::cuda {
namespace {

using Kind = TrainedLayer::Kind;

constexpr int64_t kVector = 4;  // floats

TrainedLayer without_weights(const TrainedLayer& layer) {
  return {layer.kind, layer.shape, layer.inputs, layer.outputs, layer.rectified, {}, {}, {}};
}

}  // namespace

TrainingChain::TrainingChain(const TrainableNetwork& network, int64_t batch_rows, int device, int64_t patch_bytes,
                             cudaStream_t stream)
    : stream_(stream),
      loss_(network.loss),
      codes_(network.codes),
      rows_(rows_to_compute(std::max<int64_t>(batch_rows, 1))),
      products_(device, stream, network.codes.empty()) {
  check_trainable_network(network);
  place_parameters(network);
  if (fields() > 0) place_codes();
  make_convolutions(patch_bytes);
  make_buffers();
  std::vector<ParameterState> start;
  std::vector<std::vector<float>> values;
  for (const TrainableLayer& of_chain : network.layers)
    for (const std::vector<float>* some : {&of_chain.layer.weight, &of_chain.layer.bias, &of_chain.layer.label_weight})
      if (!some->empty()) values.push_back(*some);
  for (std::vector<float>& some : values) start.push_back({some, {}, {}, {}});
  write(start);
}

// Layer by layer; each begins at a vector.
void TrainingChain::place_parameters(const TrainableNetwork& network) {
  const auto place = [this](const std::vector<float>& values) {
    const Place at{parameters_, static_cast<int64_t>(values.size())};
    parameters_ += (at.count + kVector - 1) / kVector * kVector;
    return at;
  };
  for (const TrainableLayer& of_chain : network.layers) descriptions_.push_back(without_weights(of_chain.layer));
  for (size_t i = 0; i < network.layers.size(); ++i) {
    const TrainableLayer& of_chain = network.layers[i];
    Layer layer;
    layer.description = &descriptions_[i];
    layer.is_gaussian = of_chain.is_gaussian;
    layer.dropped = of_chain.dropped;
    layer.use = of_chain.use;
    if (of_chain.layer.kind != Kind::kDense) layer.map = map_of(of_chain.layer.shape);
    layer.labels = static_cast<int32_t>(static_cast<int64_t>(of_chain.layer.label_weight.size()) / layer.outputs());
    layer.weight = place(of_chain.layer.weight);
    layer.bias = place(of_chain.layer.bias);
    layer.label_weight = place(of_chain.layer.label_weight);
    has_labels_ |= layer.labels > 0;
    layers_.push_back(std::move(layer));
  }
  has_labels_ |= loss_ == TrainingLoss::kSoftmax;
}

void TrainingChain::place_codes() {
  std::vector<int32_t> first = {0}, field;
  for (size_t f = 0; f < codes_.size(); ++f) {
    first.push_back(first.back() + codes_[f]);
    field.insert(field.end(), static_cast<size_t>(codes_[f]), static_cast<int32_t>(f));
  }
  first_code_ = upload(first, stream_);
  field_of_code_ = upload(field, stream_);
  CUDA_CHECK(cudaStreamSynchronize(stream_));  // they go out of scope
}

void TrainingChain::make_convolutions(int64_t patch_bytes) {
  std::vector<const TrainedLayer*> convolved;
  for (Layer& layer : layers_) {
    layer.convolution = convolved.size();
    if (is_convolved(*layer.description)) convolved.push_back(layer.description);
  }
  convolutions_ = std::make_unique<Convolutions>(convolved, Precision::kSingle, rows_, patch_bytes, products_, stream_);
}

void TrainingChain::check_size(int64_t of_row) const {
  if (rows_ * of_row > std::numeric_limits<int32_t>::max())
    throw Error("a batch of " + std::to_string(rows_) + " rows of a network is more than 2^31 values: take fewer rows");
}

void TrainingChain::zero(DeviceBuffer<float>& buffer) const {
  CUDA_CHECK(cudaMemsetAsync(buffer.data(), 0, buffer.size() * sizeof(float), stream_));
}

void TrainingChain::make_buffers() {
  for (DeviceBuffer<float>* buffer : {&value_, &gradient_, &first_, &second_}) {
    *buffer = floats(parameters_);
    zero(*buffer);
  }
  int64_t widest = 0, partial = 0, tiles = 1;
  for (Layer& layer : layers_) {
    check_size(std::max(layer.inputs(), layer.outputs()));
    layer.y = floats(rows_ * layer.outputs());
    if (layer.is_gaussian) {
      layer.noise = floats(rows_ * layer.outputs() / 2);
      layer.latents = floats(rows_ * layer.outputs() / 2);
    }
    widest = std::max({widest, layer.outputs(), &layer == &layers_.front() ? 0 : layer.inputs()});
    if (layer.kind() == Kind::kMaxPool) {
      layer.largest = DeviceBuffer<uint8_t>(static_cast<size_t>(rows_ * layer.outputs()), stream_);
      continue;
    }
    const ColumnSumPlan plan = plan_column_sums(rows_ * (layer.outputs() / layer.channels()), layer.channels());
    partial = std::max(partial, plan.chunks * layer.channels());
    tiles = std::max<int64_t>(tiles, plan.tiles);
  }
  for (DeviceBuffer<float>& buffer : gradients_) buffer = floats(rows_ * widest);
  column_partial_ = floats(partial);
  partial_ = DeviceBuffer<double>(2 * kLossBlocks, stream_);
  losses_ = DeviceBuffer<double>(kLosses, stream_);
  finished_ = DeviceBuffer<uint32_t>(static_cast<size_t>(tiles), stream_);
  CUDA_CHECK(cudaMemsetAsync(losses_.data(), 0, kLosses * sizeof(double), stream_));
  CUDA_CHECK(cudaMemsetAsync(finished_.data(), 0, finished_.size() * sizeof(uint32_t), stream_));
}

void TrainingChain::enqueue(const BatchPass& pass) {
  for (size_t i = 0; i < layers_.size(); ++i) forward_layer(layers_[i], input_of(i, pass), pass);
  find_loss(pass);
  if (!pass.is_step) return;
  backward(pass);
  move_parameters(
      {value_.data(), first_.data(), second_.data(), mean_.data(), gradient_.data(), parameters_, pass.numbers},
      stream_);
}

// ---- forward

const float* TrainingChain::input_of(size_t layer, const BatchPass& pass) const {
  if (layer == 0) return pass.x;
  const Layer& before = layers_[layer - 1];
  return before.is_gaussian ? before.latents.data() : before.y.data();
}

void TrainingChain::forward_layer(Layer& layer, const float* x, const BatchPass& pass) {
  const float* parameters = pass.by_means ? mean_.data() : value_.data();
  const float *weight = parameters + layer.weight.first, *bias = parameters + layer.bias.first;
  float* y = layer.y.data();
  const auto rows = static_cast<int32_t>(pass.rows);
  switch (layer.kind()) {
    case Kind::kDense:
      if (is_embedding(layer)) {
        embed_codes({pass.codes, first_code_.data(), weight, bias, y, rows, static_cast<int32_t>(fields()),
                     static_cast<int32_t>(layer.outputs()), layer.rectified()},
                    stream_);
        break;
      }
      multiply(Factor::kAsItIs, Factor::kTransposed, pass.rows, layer.outputs(), layer.inputs(), x, weight, 0, y);
      finish_sums({y, bias, layer.labels > 0 ? parameters + layer.label_weight.first : nullptr, pass.labels, y, rows,
                   static_cast<int32_t>(layer.outputs()), layer.rectified()},
                  Precision::kSingle, stream_);
      break;
    case Kind::kConvolution:
    case Kind::kTransposed:
      convolutions_->forward(layer.convolution, x, weight, bias, pass.rows, Precision::kSingle, y);
      break;
    case Kind::kMaxPool:
      pool_images({x, y, layer.map, rows, layer.largest.data(), layer.rectified()}, Precision::kSingle, stream_);
      break;
  }
  if (pass.is_step && layer.dropped > 0)
    drop_values({y, pass.rows * layer.outputs(), pass.numbers, layer.use, layer.dropped, layer.kept_scale()}, stream_);
  if (layer.is_gaussian)
    draw_latents({y, layer.noise.data(), layer.latents.data(), rows, static_cast<int32_t>(layer.outputs() / 2),
                  pass.numbers, layer.use, totals(1)},
                 stream_);
}

// The last layer's values become the gradient of the loss in a step.
void TrainingChain::find_loss(const BatchPass& pass) {
  float* y = layers_.back().y.data();
  const auto rows = static_cast<int32_t>(pass.rows);
  if (loss_ == TrainingLoss::kCodes) {
    find_code_loss({y, pass.codes, first_code_.data(), rows, static_cast<int32_t>(fields()), pass.numbers, totals(0)},
                   pass.is_step, stream_);
    return;
  }
  if (loss_ == TrainingLoss::kSoftmax) {
    find_class_loss({y, pass.labels, rows, static_cast<int32_t>(layers_.back().outputs()), pass.numbers, totals(0)},
                    pass.is_step, stream_);
    return;
  }
  const int64_t pixels = layers_.front().inputs();
  find_pixel_loss({y, pass.x, pass.rows * pixels, pixels, pass.numbers, totals(0)}, loss_, pass.is_step, stream_);
}

// ---- backward

void TrainingChain::backward(const BatchPass& pass) {
  float* gradient = layers_.back().y.data();  // of what the layer gives
  size_t turn = 0;
  const auto other = [&] { return gradients_[turn++ % gradients_.size()].data(); };
  const auto rows = static_cast<int32_t>(pass.rows);
  for (size_t i = layers_.size(); i-- > 0;) {
    const Layer& layer = layers_[i];
    if (layer.is_gaussian) {
      float* of_heads = other();
      find_gaussian_gradient({layer.y.data(), layer.noise.data(), gradient, of_heads, rows,
                              static_cast<int32_t>(layer.outputs() / 2), pass.numbers},
                             stream_);
      gradient = of_heads;
    }
    float* x_gradient = i > 0 ? other() : nullptr;
    if (layer.kind() == Kind::kMaxPool) {
      if (x_gradient)
        spread_to_largest({gradient, layer.y.data(), layer.largest.data(), x_gradient, layer.map, rows,
                           layer.rectified(), layer.kept_scale()},
                          stream_);
    } else {
      mask(layer, gradient, pass);
      backward_layer(layer, input_of(i, pass), gradient, x_gradient, pass);
    }
    gradient = x_gradient;
  }
}

void TrainingChain::mask(const Layer& layer, float* gradient, const BatchPass& pass) {
  mask_and_sum_columns(
      {gradient, layer.rectified() ? layer.y.data() : nullptr, layer.kept_scale(), column_partial_.data(),
       finished_.data(), gradient_.data() + layer.bias.first,
       static_cast<int32_t>(pass.rows * layer.outputs() / layer.channels()), static_cast<int32_t>(layer.channels())},
      stream_);
  if (layer.labels > 0)
    sum_labels({gradient, pass.labels, gradient_.data() + layer.label_weight.first, pass.numbers,
                static_cast<int32_t>(layer.outputs()), layer.labels},
               stream_);
}

void TrainingChain::backward_layer(const Layer& layer, const float* x, const float* gradient, float* x_gradient,
                                   const BatchPass& pass) {
  const float* weight = value_.data() + layer.weight.first;
  float* weight_gradient = gradient_.data() + layer.weight.first;
  if (is_embedding(layer)) {
    sum_embeddings(
        {gradient, pass.codes, first_code_.data(), field_of_code_.data(), weight_gradient, pass.numbers,
         static_cast<int32_t>(fields()), static_cast<int32_t>(layer.outputs()), static_cast<int32_t>(layer.inputs())},
        stream_);
    return;
  }
  if (layer.kind() == Kind::kDense) {
    multiply(Factor::kTransposed, Factor::kAsItIs, layer.outputs(), layer.inputs(), pass.rows, gradient, x, 0,
             weight_gradient);
    if (x_gradient)
      multiply(Factor::kAsItIs, Factor::kAsItIs, pass.rows, layer.inputs(), layer.outputs(), gradient, weight, 0,
               x_gradient);
    return;
  }
  convolutions_->backward(layer.convolution, x, gradient, weight, pass.rows, weight_gradient, x_gradient);
}

// ---- parameters

// Calls visit(state, place, layer) for each parameter in the interface's order.
template <class Visit>
void TrainingChain::for_each_parameter(std::span<const ParameterState> parameters, const Visit& visit) {
  size_t number = 0;
  for (const Layer& layer : layers_)
    for (const Place* place : {&layer.weight, &layer.bias, &layer.label_weight}) {
      if (place->count == 0) continue;
      if (number == parameters.size()) throw Error("states of too few parameters");
      visit(parameters[number++], *place, layer);
    }
  if (number != parameters.size()) throw Error("states of too many parameters");
}

void TrainingChain::copy_parameter(const DeviceBuffer<float>& from, const Place& place, const Layer& layer,
                                   std::span<float> to) {
  if (to.empty()) return;
  std::vector<float> values(static_cast<size_t>(place.count));
  CUDA_CHECK(cudaMemcpyAsync(values.data(), from.data() + place.first, values.size() * sizeof(float),
                             cudaMemcpyDeviceToHost, stream_));
  CUDA_CHECK(cudaStreamSynchronize(stream_));
  if (&place == &layer.weight)
    for_each_weight(*layer.description, values.size(),
                    [&](size_t in_layer, size_t on_device) { to[in_layer] = values[on_device]; });
  else
    std::copy(values.begin(), values.end(), to.begin());
}

void TrainingChain::copy_parameter(std::span<const float> from, const Place& place, const Layer& layer,
                                   DeviceBuffer<float>& to) {
  if (from.empty()) return;
  std::vector<float> values(from.begin(), from.end());
  if (&place == &layer.weight)
    for_each_weight(*layer.description, values.size(),
                    [&](size_t in_layer, size_t on_device) { values[on_device] = from[in_layer]; });
  CUDA_CHECK(cudaMemcpyAsync(to.data() + place.first, values.data(), values.size() * sizeof(float),
                             cudaMemcpyHostToDevice, stream_));
  CUDA_CHECK(cudaStreamSynchronize(stream_));
}

void TrainingChain::read(std::span<const ParameterState> parameters) {
  for_each_parameter(parameters, [&](const ParameterState& state, const Place& place, const Layer& layer) {
    copy_parameter(value_, place, layer, state.value);
    copy_parameter(first_, place, layer, state.first_moment);
    copy_parameter(second_, place, layer, state.second_moment);
    copy_parameter(mean_, place, layer, state.mean);
  });
}

void TrainingChain::write(std::span<const ParameterState> parameters) {
  for_each_parameter(parameters, [&](const ParameterState& state, const Place& place, const Layer& layer) {
    if (!state.mean.empty() && !has_means()) {
      mean_ = floats(parameters_);
      zero(mean_);
    }
    copy_parameter(std::span<const float>(state.value), place, layer, value_);
    copy_parameter(std::span<const float>(state.first_moment), place, layer, first_);
    copy_parameter(std::span<const float>(state.second_moment), place, layer, second_);
    copy_parameter(std::span<const float>(state.mean), place, layer, mean_);
  });
}

}  // namespace doppel::cuda
