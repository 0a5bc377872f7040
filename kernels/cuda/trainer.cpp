// The host's half of training on CUDA: one stream computes, another brings batches, and neither is waited for until
// losses or parameters are asked for. A pass is a graph that was captured when the slot's batch had that pass before.
#include "kernels/cuda/trainer.h"

#include <algorithm>
#include <array>
#include <limits>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/cuda/products.h"

namespace doppel::cuda {
namespace {

using Kind = TrainedLayer::Kind;

constexpr int64_t kVector = 4;  // floats
constexpr size_t kLosses = 2;   // that are summed: and the divergence, or rows told right

int64_t whole(int64_t count, int64_t of) {
  return (count + of - 1) / of * of;
}

// A parameter in the buffers of parameters; each begins at a vector.
struct Place {
  int64_t first = 0, count = 0;
};

struct Layer {
  const TrainedLayer* description = nullptr;  // without its weights
  ImageMap map{};
  bool is_gaussian = false;
  uint32_t dropped = 0, use = 0;
  int32_t labels = 0;
  Place weight, bias, label_weight;
  DeviceBuffer<float> y, noise, latents;
  DeviceBuffer<uint8_t> largest;  // of a pool

  Kind kind() const { return description->kind; }
  int64_t inputs() const { return description->inputs; }
  int64_t outputs() const { return description->outputs; }
  bool rectified() const { return description->rectified; }
  int64_t channels() const { return bias.count; }  // that y's columns are
  int64_t patch() const { return int64_t{map.kernel} * map.kernel * map.inputs; }
  int64_t pixels() const { return int64_t{map.output_height} * map.output_width; }  // of patches
  bool has_patches() const { return kind() == Kind::kConvolution || kind() == Kind::kTransposed; }
  float kept_scale() const { return static_cast<float>(kDropoutShares) / static_cast<float>(kDropoutShares - dropped); }
};

enum class Pass : uint8_t { kStep, kMeasure, kMeasureByMeans };
constexpr size_t kPasses = 3;

// A pass over a slot's batch. The first is asked for call by call, as kernels are loaded then; the second is recorded.
struct RecordedPass {
  bool was_run = false;
  Graph graph;
};

// Memory of a batch on both sides. `copied`: the host's is free again; `used`: the device's is.
struct Slot {
  PinnedBuffer<float> host_x;
  PinnedBuffer<int32_t> host_labels;
  PinnedBuffer<StepNumbers> host_numbers;
  DeviceBuffer<float> x;
  DeviceBuffer<int32_t> labels;
  DeviceBuffer<StepNumbers> numbers;
  Event copied = make_event(), used = make_event();
  std::array<RecordedPass, kPasses> passes;
};

class CudaTrainer : public PreparedTrainer {
 public:
  CudaTrainer(const TrainableNetwork& network, int64_t batch_rows, int device, int64_t patch_bytes);
  ~CudaTrainer() override;
  Batch batch() override;
  void step(int64_t rows, const TrainingStep& step) override;
  void measure(int64_t rows, const TrainingDraws& draws, bool by_means) override;
  TrainingLosses losses() override;
  void set_losses(const TrainingLosses& losses) override;
  void read(std::span<const ParameterState> parameters) override;
  void write(std::span<const ParameterState> parameters) override;

 private:
  // What a pass works with: the same each time.
  struct Work {
    const float* x;
    const int32_t* labels;
    const StepNumbers* numbers;
    const float* parameters;
    bool is_step;
  };

  void place_parameters(const TrainableNetwork& network);
  void make_buffers();
  void check_size(int64_t of_row) const;
  DeviceBuffer<float> floats(int64_t count) const { return {static_cast<size_t>(count), compute_.get()}; }
  void zero(DeviceBuffer<float>& buffer) const;
  Slot& bring_batch(int64_t rows, const TrainingStep& step);
  void run(Pass pass, Slot& slot);

  void enqueue(const Work& work);
  const float* input_of(size_t layer, const Work& work) const;
  void forward_layer(Layer& layer, const float* x, const Work& work);
  void find_loss(const Work& work);
  void backward(const Work& work);
  // From the gradient of what the layer gives to that of its sums, and of biases and labels' weights.
  void mask(const Layer& layer, float* gradient, const Work& work);
  void backward_layer(const Layer& layer, const float* x, const float* gradient, float* x_gradient);
  template <class Take>
  void for_each_piece(const Layer& layer, const Take& take) const;
  void multiply(Factor a_is, Factor b_is, int64_t m, int64_t n, int64_t k, const float* a, const float* b, float beta,
                float* c) {
    products_.multiply(Precision::kSingle, a_is, b_is, m, n, k, a, b, beta, c);
  }
  Totals totals(size_t first) const { return {partial_.data(), finished_.data(), losses_.data() + first}; }

  void make_means();
  template <class Visit>
  void for_each_parameter(std::span<const ParameterState> parameters, const Visit& visit);
  void copy_parameter(const DeviceBuffer<float>& from, const Place& place, const Layer& layer, std::span<float> to);
  void copy_parameter(std::span<const float> from, const Place& place, const Layer& layer, DeviceBuffer<float>& to);

  int device_;
  TrainingLoss loss_;
  int64_t patch_bytes_;
  std::vector<TrainedLayer> descriptions_;
  int64_t rows_;            // of a batch, a multiple of kNetworkRows
  int64_t parameters_ = 0;  // floats of each of the buffers below
  bool has_labels_ = false;
  Stream compute_, copy_;
  Products products_;
  std::vector<Layer> layers_;
  DeviceBuffer<float> value_, gradient_, first_, second_, mean_;
  DeviceBuffer<float> patches_;
  std::array<DeviceBuffer<float>, 2> gradients_;  // of what every second layer gives
  DeviceBuffer<float> column_partial_;
  DeviceBuffer<double> partial_, losses_;
  DeviceBuffer<uint32_t> finished_;
  std::array<Slot, 2> slots_;
  size_t turn_ = 0;  // batches so far
  PinnedBuffer<double> host_losses_;
};

// ---- preparation

TrainedLayer without_weights(const TrainedLayer& layer) {
  return {layer.kind, layer.shape, layer.inputs, layer.outputs, layer.rectified, {}, {}, {}};
}

CudaTrainer::CudaTrainer(const TrainableNetwork& network, int64_t batch_rows, int device, int64_t patch_bytes)
    : device_(select_device(device)),
      loss_(network.loss),
      patch_bytes_(patch_bytes),
      rows_(whole(std::max<int64_t>(batch_rows, 1), kNetworkRows)),
      compute_(make_stream()),
      copy_(make_stream()),
      products_(device, compute_.get()),
      host_losses_(make_pinned<double>(kLosses)) {
  check_trainable_network(network);
  place_parameters(network);
  make_buffers();
  std::vector<ParameterState> start;
  std::vector<std::vector<float>> values;
  for (const TrainableLayer& of_chain : network.layers)
    for (const std::vector<float>* some : {&of_chain.layer.weight, &of_chain.layer.bias, &of_chain.layer.label_weight})
      if (!some->empty()) values.push_back(*some);
  for (std::vector<float>& some : values) start.push_back({some, {}, {}, {}});
  write(start);
}

CudaTrainer::~CudaTrainer() {  // an exception may have left work under way
  cudaSetDevice(device_);
  cudaStreamSynchronize(copy_.get());
  cudaStreamSynchronize(compute_.get());
}

// The weights of products side by side, then the others.
void CudaTrainer::place_parameters(const TrainableNetwork& network) {
  const auto place = [this](const std::vector<float>& values) {
    const Place at{parameters_, static_cast<int64_t>(values.size())};
    parameters_ += whole(at.count, kVector);
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

void CudaTrainer::check_size(int64_t of_row) const {
  if (rows_ * of_row > std::numeric_limits<int32_t>::max())
    throw Error("a batch of " + std::to_string(rows_) + " rows of a network is more than 2^31 values: take fewer rows");
}

void CudaTrainer::zero(DeviceBuffer<float>& buffer) const {
  CUDA_CHECK(cudaMemsetAsync(buffer.data(), 0, buffer.size() * sizeof(float), compute_.get()));
}

void CudaTrainer::make_buffers() {
  for (DeviceBuffer<float>* buffer : {&value_, &gradient_, &first_, &second_}) {
    *buffer = floats(parameters_);
    zero(*buffer);
  }
  int64_t widest = 0, patches = 0, partial = 0, tiles = 1;
  for (Layer& layer : layers_) {
    check_size(std::max(layer.inputs(), layer.outputs()));
    layer.y = floats(rows_ * layer.outputs());
    if (layer.is_gaussian) {
      layer.noise = floats(rows_ * layer.outputs() / 2);
      layer.latents = floats(rows_ * layer.outputs() / 2);
    }
    widest = std::max({widest, layer.outputs(), &layer == &layers_.front() ? 0 : layer.inputs()});
    if (layer.kind() == Kind::kMaxPool) {
      layer.largest = DeviceBuffer<uint8_t>(static_cast<size_t>(rows_ * layer.outputs()), compute_.get());
      continue;
    }
    const ColumnSumPlan plan = plan_column_sums(rows_ * (layer.outputs() / layer.channels()), layer.channels());
    partial = std::max(partial, plan.chunks * layer.channels());
    tiles = std::max<int64_t>(tiles, plan.tiles);
    if (layer.has_patches())
      for_each_piece(
          layer, [&](int64_t, int64_t rows) { patches = std::max(patches, rows * layer.pixels() * layer.patch()); });
  }
  patches_ = floats(patches);
  for (DeviceBuffer<float>& buffer : gradients_) buffer = floats(rows_ * widest);
  column_partial_ = floats(partial);
  partial_ = DeviceBuffer<double>(2 * kLossBlocks, compute_.get());
  losses_ = DeviceBuffer<double>(kLosses, compute_.get());
  finished_ = DeviceBuffer<uint32_t>(static_cast<size_t>(tiles), compute_.get());
  CUDA_CHECK(cudaMemsetAsync(losses_.data(), 0, kLosses * sizeof(double), compute_.get()));
  CUDA_CHECK(cudaMemsetAsync(finished_.data(), 0, finished_.size() * sizeof(uint32_t), compute_.get()));
  const int64_t inputs = layers_.front().inputs();
  for (Slot& slot : slots_) {
    slot.host_x = make_pinned<float>(static_cast<size_t>(rows_ * inputs));
    slot.host_labels = make_pinned<int32_t>(static_cast<size_t>(rows_));
    slot.host_numbers = make_pinned<StepNumbers>(1);
    slot.x = floats(rows_ * inputs);
    slot.labels = DeviceBuffer<int32_t>(static_cast<size_t>(rows_), compute_.get());
    slot.numbers = DeviceBuffer<StepNumbers>(1, compute_.get());
    zero(slot.x);  // rows past a batch's end are computed, too
    CUDA_CHECK(cudaMemsetAsync(slot.labels.data(), 0, slot.labels.size() * sizeof(int32_t), compute_.get()));
    CUDA_CHECK(cudaEventRecord(slot.used.get(), compute_.get()));
  }
}

// ---- batches

PreparedTrainer::Batch CudaTrainer::batch() {
  CUDA_CHECK(cudaSetDevice(device_));
  const Slot& slot = slots_[turn_ % slots_.size()];
  CUDA_CHECK(cudaEventSynchronize(slot.copied.get()));
  return {slot.host_x.get(), slot.host_labels.get()};
}

StepNumbers numbers_of(int64_t rows, const TrainingStep& step) {
  const AdamScales scales = adam_scales(step.rate, step.number);
  const auto counted = static_cast<double>(rows);
  return {step.draws.seed,
          step.draws.use,
          static_cast<int32_t>(rows),
          static_cast<float>(1 / counted),
          static_cast<float>(step.divergence_weight / counted),
          static_cast<float>(scales.scale),
          static_cast<float>(scales.epsilon),
          static_cast<float>(step.mean_share)};
}

Slot& CudaTrainer::bring_batch(int64_t rows, const TrainingStep& step) {
  CUDA_CHECK(cudaSetDevice(device_));
  if (rows < 1 || rows > rows_) throw Error("a batch of no or too many rows");
  Slot& slot = slots_[turn_++ % slots_.size()];
  slot.host_numbers[0] = numbers_of(rows, step);
  CUDA_CHECK(cudaStreamWaitEvent(copy_.get(), slot.used.get(), 0));
  CUDA_CHECK(cudaMemcpyAsync(slot.numbers.data(), slot.host_numbers.get(), sizeof(StepNumbers), cudaMemcpyHostToDevice,
                             copy_.get()));
  CUDA_CHECK(cudaMemcpyAsync(slot.x.data(), slot.host_x.get(),
                             static_cast<size_t>(rows * layers_.front().inputs()) * sizeof(float),
                             cudaMemcpyHostToDevice, copy_.get()));
  if (has_labels_)
    CUDA_CHECK(cudaMemcpyAsync(slot.labels.data(), slot.host_labels.get(), static_cast<size_t>(rows) * sizeof(int32_t),
                               cudaMemcpyHostToDevice, copy_.get()));
  CUDA_CHECK(cudaEventRecord(slot.copied.get(), copy_.get()));
  CUDA_CHECK(cudaStreamWaitEvent(compute_.get(), slot.copied.get(), 0));
  return slot;
}

void CudaTrainer::step(int64_t rows, const TrainingStep& step) {
  run(Pass::kStep, bring_batch(rows, step));
}

void CudaTrainer::measure(int64_t rows, const TrainingDraws& draws, bool by_means) {
  if (by_means && mean_.size() == 0) throw Error("means of parameters that were never written");
  run(by_means ? Pass::kMeasureByMeans : Pass::kMeasure, bring_batch(rows, {draws}));
}

// ---- passes

void CudaTrainer::run(Pass pass, Slot& slot) {
  const ProfilerRange range(pass == Pass::kStep ? "training step" : "training measure");
  const Work work{slot.x.data(), slot.labels.data(), slot.numbers.data(),
                  pass == Pass::kMeasureByMeans ? mean_.data() : value_.data(), pass == Pass::kStep};
  RecordedPass& recorded = slot.passes[static_cast<size_t>(pass)];
  if (!recorded.was_run) {
    enqueue(work);
    recorded.was_run = true;
  } else {
    if (!recorded.graph) recorded.graph = capture_graph(compute_.get(), [&] { enqueue(work); });
    CUDA_CHECK(cudaGraphLaunch(recorded.graph.get(), compute_.get()));
  }
  CUDA_CHECK(cudaEventRecord(slot.used.get(), compute_.get()));
}

void CudaTrainer::enqueue(const Work& work) {
  for (size_t i = 0; i < layers_.size(); ++i) forward_layer(layers_[i], input_of(i, work), work);
  find_loss(work);
  if (!work.is_step) return;
  backward(work);
  move_parameters(
      {value_.data(), first_.data(), second_.data(), mean_.data(), gradient_.data(), parameters_, work.numbers},
      compute_.get());
}

// ---- forward

const float* CudaTrainer::input_of(size_t layer, const Work& work) const {
  if (layer == 0) return work.x;
  const Layer& before = layers_[layer - 1];
  return before.is_gaussian ? before.latents.data() : before.y.data();
}

// Calls take(first, rows) for rows whose patches fit their buffer.
template <class Take>
void CudaTrainer::for_each_piece(const Layer& layer, const Take& take) const {
  const int64_t row_bytes = layer.pixels() * layer.patch() * static_cast<int64_t>(sizeof(float));
  const int64_t most = std::max(patch_bytes_ / row_bytes / kNetworkRows * kNetworkRows, kNetworkRows);
  for (int64_t first = 0; first < rows_; first += most) take(first, std::min(most, rows_ - first));
}

void CudaTrainer::forward_layer(Layer& layer, const float* x, const Work& work) {
  const float *weight = work.parameters + layer.weight.first, *bias = work.parameters + layer.bias.first;
  float* y = layer.y.data();
  const auto rows = static_cast<int32_t>(rows_);
  const auto add_bias = [&] {
    finish_sums({y, bias, layer.labels > 0 ? work.parameters + layer.label_weight.first : nullptr, work.labels, y,
                 static_cast<int32_t>(rows_ * layer.outputs() / layer.channels()),
                 static_cast<int32_t>(layer.channels()), layer.rectified()},
                Precision::kSingle, compute_.get());
  };
  switch (layer.kind()) {
    case Kind::kDense:
      multiply(Factor::kAsItIs, Factor::kTransposed, rows_, layer.outputs(), layer.inputs(), x, weight, 0, y);
      add_bias();
      break;
    case Kind::kConvolution:
      for_each_piece(layer, [&](int64_t first, int64_t some) {
        gather_patches({x + first * layer.inputs(), patches_.data(), layer.map, static_cast<int32_t>(some)},
                       Precision::kSingle, compute_.get());
        multiply(Factor::kAsItIs, Factor::kTransposed, some * layer.pixels(), layer.map.outputs, layer.patch(),
                 patches_.data(), weight, 0, y + first * layer.outputs());
      });
      add_bias();
      break;
    case Kind::kTransposed:
      for_each_piece(layer, [&](int64_t first, int64_t some) {
        multiply(Factor::kAsItIs, Factor::kTransposed, some * layer.pixels(), layer.patch(), layer.map.outputs,
                 x + first * layer.inputs(), weight, 0, patches_.data());
        sum_taps({patches_.data(), bias, y + first * layer.outputs(), layer.map, static_cast<int32_t>(some),
                  layer.rectified()},
                 Precision::kSingle, compute_.get());
      });
      break;
    case Kind::kMaxPool:
      pool_images({x, y, layer.map, rows, layer.largest.data(), layer.rectified()}, Precision::kSingle, compute_.get());
      break;
  }
  if (work.is_step && layer.dropped > 0)
    drop_values({y, rows_ * layer.outputs(), work.numbers, layer.use, layer.dropped, layer.kept_scale()},
                compute_.get());
  if (layer.is_gaussian)
    draw_latents({y, layer.noise.data(), layer.latents.data(), rows, static_cast<int32_t>(layer.outputs() / 2),
                  work.numbers, layer.use, totals(1)},
                 compute_.get());
}

// The last layer's values become the gradient of the loss in a step.
void CudaTrainer::find_loss(const Work& work) {
  float* y = layers_.back().y.data();
  if (loss_ == TrainingLoss::kSoftmax) {
    find_class_loss({y, work.labels, static_cast<int32_t>(rows_), static_cast<int32_t>(layers_.back().outputs()),
                     work.numbers, totals(0)},
                    work.is_step, compute_.get());
    return;
  }
  const int64_t pixels = layers_.front().inputs();
  find_pixel_loss({y, work.x, rows_ * pixels, pixels, work.numbers, totals(0)}, loss_, work.is_step, compute_.get());
}

// ---- backward

void CudaTrainer::backward(const Work& work) {
  float* gradient = layers_.back().y.data();  // of what the layer gives
  size_t turn = 0;
  const auto other = [&] { return gradients_[turn++ % gradients_.size()].data(); };
  const auto rows = static_cast<int32_t>(rows_);
  for (size_t i = layers_.size(); i-- > 0;) {
    const Layer& layer = layers_[i];
    if (layer.is_gaussian) {
      float* of_heads = other();
      find_gaussian_gradient({layer.y.data(), layer.noise.data(), gradient, of_heads, rows,
                              static_cast<int32_t>(layer.outputs() / 2), work.numbers},
                             compute_.get());
      gradient = of_heads;
    }
    float* x_gradient = i > 0 ? other() : nullptr;
    if (layer.kind() == Kind::kMaxPool) {
      if (x_gradient)
        spread_to_largest({gradient, layer.y.data(), layer.largest.data(), x_gradient, layer.map, rows,
                           layer.rectified(), layer.kept_scale()},
                          compute_.get());
    } else {
      mask(layer, gradient, work);
      backward_layer(layer, input_of(i, work), gradient, x_gradient);
    }
    gradient = x_gradient;
  }
}

void CudaTrainer::mask(const Layer& layer, float* gradient, const Work& work) {
  mask_and_sum_columns(
      {gradient, layer.rectified() ? layer.y.data() : nullptr, layer.kept_scale(), column_partial_.data(),
       finished_.data(), gradient_.data() + layer.bias.first,
       static_cast<int32_t>(rows_ * layer.outputs() / layer.channels()), static_cast<int32_t>(layer.channels())},
      compute_.get());
  if (layer.labels > 0)
    sum_labels({gradient, work.labels, gradient_.data() + layer.label_weight.first, work.numbers,
                static_cast<int32_t>(layer.outputs()), layer.labels},
               compute_.get());
}

void CudaTrainer::backward_layer(const Layer& layer, const float* x, const float* gradient, float* x_gradient) {
  const float* weight = value_.data() + layer.weight.first;
  float* weight_gradient = gradient_.data() + layer.weight.first;
  if (layer.kind() == Kind::kDense) {
    multiply(Factor::kTransposed, Factor::kAsItIs, layer.outputs(), layer.inputs(), rows_, gradient, x, 0,
             weight_gradient);
    if (x_gradient)
      multiply(Factor::kAsItIs, Factor::kAsItIs, rows_, layer.inputs(), layer.outputs(), gradient, weight, 0,
               x_gradient);
    return;
  }
  const bool is_convolution = layer.kind() == Kind::kConvolution;
  for_each_piece(layer, [&](int64_t first, int64_t some) {
    const float beta = first > 0 ? 1.0f : 0.0f;
    const auto rows = static_cast<int32_t>(some);
    const int64_t pixels = some * layer.pixels();
    const float *of_x = x + first * layer.inputs(), *of_y = gradient + first * layer.outputs();
    gather_patches({is_convolution ? of_x : of_y, patches_.data(), layer.map, rows}, Precision::kSingle,
                   compute_.get());
    if (is_convolution) {
      multiply(Factor::kTransposed, Factor::kAsItIs, layer.map.outputs, layer.patch(), pixels, of_y, patches_.data(),
               beta, weight_gradient);
      if (!x_gradient) return;
      multiply(Factor::kAsItIs, Factor::kAsItIs, pixels, layer.patch(), layer.map.outputs, of_y, weight, 0,
               patches_.data());
      sum_taps({patches_.data(), nullptr, x_gradient + first * layer.inputs(), layer.map, rows, false},
               Precision::kSingle, compute_.get());
    } else {
      multiply(Factor::kTransposed, Factor::kAsItIs, layer.patch(), layer.map.outputs, pixels, patches_.data(), of_x,
               beta, weight_gradient);
      if (x_gradient)
        multiply(Factor::kAsItIs, Factor::kAsItIs, pixels, layer.map.outputs, layer.patch(), patches_.data(), weight, 0,
                 x_gradient + first * layer.inputs());
    }
  });
}

// ---- what goes to and comes from the caller

TrainingLosses CudaTrainer::losses() {
  CUDA_CHECK(cudaSetDevice(device_));
  CUDA_CHECK(cudaMemcpyAsync(host_losses_.get(), losses_.data(), kLosses * sizeof(double), cudaMemcpyDeviceToHost,
                             compute_.get()));
  CUDA_CHECK(cudaStreamSynchronize(compute_.get()));
  const double* sums = host_losses_.get();
  return loss_ == TrainingLoss::kSoftmax ? TrainingLosses{sums[0], 0, sums[1]} : TrainingLosses{sums[0], sums[1], 0};
}

void CudaTrainer::set_losses(const TrainingLosses& losses) {
  CUDA_CHECK(cudaSetDevice(device_));
  const std::array<double, kLosses> sums = {losses.loss,
                                            loss_ == TrainingLoss::kSoftmax ? losses.right : losses.divergence};
  CUDA_CHECK(cudaMemcpyAsync(losses_.data(), sums.data(), sizeof sums, cudaMemcpyHostToDevice, compute_.get()));
  CUDA_CHECK(cudaStreamSynchronize(compute_.get()));
}

// Calls visit(state, place, layer) for each parameter in the interface's order.
template <class Visit>
void CudaTrainer::for_each_parameter(std::span<const ParameterState> parameters, const Visit& visit) {
  size_t number = 0;
  for (const Layer& layer : layers_)
    for (const Place* place : {&layer.weight, &layer.bias, &layer.label_weight}) {
      if (place->count == 0) continue;
      if (number == parameters.size()) throw Error("states of too few parameters");
      visit(parameters[number++], *place, layer);
    }
  if (number != parameters.size()) throw Error("states of too many parameters");
}

void CudaTrainer::copy_parameter(const DeviceBuffer<float>& from, const Place& place, const Layer& layer,
                                 std::span<float> to) {
  if (to.empty()) return;
  std::vector<float> values(static_cast<size_t>(place.count));
  CUDA_CHECK(cudaMemcpyAsync(values.data(), from.data() + place.first, values.size() * sizeof(float),
                             cudaMemcpyDeviceToHost, compute_.get()));
  CUDA_CHECK(cudaStreamSynchronize(compute_.get()));
  if (&place == &layer.weight)
    for_each_weight(*layer.description, values.size(),
                    [&](size_t in_layer, size_t on_device) { to[in_layer] = values[on_device]; });
  else
    std::copy(values.begin(), values.end(), to.begin());
}

void CudaTrainer::copy_parameter(std::span<const float> from, const Place& place, const Layer& layer,
                                 DeviceBuffer<float>& to) {
  if (from.empty()) return;
  std::vector<float> values(from.begin(), from.end());
  if (&place == &layer.weight)
    for_each_weight(*layer.description, values.size(),
                    [&](size_t in_layer, size_t on_device) { values[on_device] = from[in_layer]; });
  CUDA_CHECK(cudaMemcpyAsync(to.data() + place.first, values.data(), values.size() * sizeof(float),
                             cudaMemcpyHostToDevice, compute_.get()));
  CUDA_CHECK(cudaStreamSynchronize(compute_.get()));
}

void CudaTrainer::read(std::span<const ParameterState> parameters) {
  CUDA_CHECK(cudaSetDevice(device_));
  for_each_parameter(parameters, [&](const ParameterState& state, const Place& place, const Layer& layer) {
    copy_parameter(value_, place, layer, state.value);
    copy_parameter(first_, place, layer, state.first_moment);
    copy_parameter(second_, place, layer, state.second_moment);
    copy_parameter(mean_, place, layer, state.mean);
  });
}

void CudaTrainer::make_means() {
  mean_ = floats(parameters_);
  zero(mean_);
  CUDA_CHECK(cudaStreamSynchronize(compute_.get()));
  for (Slot& slot : slots_) slot.passes = {};  // they know nothing of means
}

void CudaTrainer::write(std::span<const ParameterState> parameters) {
  CUDA_CHECK(cudaSetDevice(device_));
  for_each_parameter(parameters, [&](const ParameterState& state, const Place& place, const Layer& layer) {
    if (!state.mean.empty() && mean_.size() == 0) make_means();
    copy_parameter(std::span<const float>(state.value), place, layer, value_);
    copy_parameter(std::span<const float>(state.first_moment), place, layer, first_);
    copy_parameter(std::span<const float>(state.second_moment), place, layer, second_);
    copy_parameter(std::span<const float>(state.mean), place, layer, mean_);
  });
}

}  // namespace

std::unique_ptr<PreparedTrainer> prepare_cuda_trainer(const TrainableNetwork& network, int64_t batch_rows, int device,
                                                      int64_t patch_bytes) {
  return std::make_unique<CudaTrainer>(network, batch_rows, device, patch_bytes);
}

}  // namespace doppel::cuda
