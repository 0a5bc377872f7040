// Batches and passes of training on CUDA: one stream computes, another brings batches, and neither is waited for until
// losses or parameters are asked for. A pass over a slot's batch is asked for call by call the first time, when kernels
// are loaded, and captured as a graph the second time; of another number of rows it is another pass.
#include "kernels/cuda/trainer.h"

#include <array>
#include <map>
#include <utility>

#include "kernels/common/error.h"
#include "kernels/cuda/training_chain.h"

namespace doppel::cuda {
namespace {

enum class Pass : uint8_t { kStep, kMeasure, kMeasureByMeans };

struct RecordedPass {
  bool was_run = false;
  Graph graph;
};

// Memory of a batch on both sides. `copied`: the host's is free again; `used`: the device's is.
struct Slot {
  PinnedBuffer<float> host_x;
  PinnedBuffer<int32_t> host_labels, host_codes;
  PinnedBuffer<StepNumbers> host_numbers;
  DeviceBuffer<float> x;  // none where rows are codes
  DeviceBuffer<int32_t> labels, codes;
  DeviceBuffer<StepNumbers> numbers;
  Event copied = make_event(), used = make_event();
  std::map<std::pair<Pass, int64_t>, RecordedPass> passes;  // by the rows that are computed
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
  void make_slot(Slot& slot);
  Slot& bring_batch(int64_t rows, const TrainingStep& step);
  void run(Pass pass, int64_t rows, Slot& slot);

  int device_;
  TrainingLoss loss_;
  Stream compute_, copy_;
  TrainingChain chain_;
  std::array<Slot, 2> slots_;
  size_t turn_ = 0;  // batches so far
  PinnedBuffer<double> host_losses_;
};

CudaTrainer::CudaTrainer(const TrainableNetwork& network, int64_t batch_rows, int device, int64_t patch_bytes)
    : device_(select_device(device)),
      loss_(network.loss),
      compute_(make_stream()),
      copy_(make_stream()),
      chain_(network, batch_rows, device, patch_bytes, compute_.get()),
      host_losses_(make_pinned<double>(kLosses)) {
  for (Slot& slot : slots_) make_slot(slot);
}

CudaTrainer::~CudaTrainer() {  // an exception may have left work under way
  cudaSetDevice(device_);
  cudaStreamSynchronize(copy_.get());
  cudaStreamSynchronize(compute_.get());
}

void CudaTrainer::make_slot(Slot& slot) {
  const auto rows = static_cast<size_t>(chain_.rows());
  const size_t values = rows * static_cast<size_t>(chain_.values()),
               codes = rows * static_cast<size_t>(chain_.fields());
  slot.host_x = make_pinned<float>(values);
  slot.host_labels = make_pinned<int32_t>(rows);
  slot.host_codes = make_pinned<int32_t>(codes);
  slot.host_numbers = make_pinned<StepNumbers>(1);
  slot.x = DeviceBuffer<float>(values, compute_.get());
  slot.labels = DeviceBuffer<int32_t>(rows, compute_.get());
  slot.codes = DeviceBuffer<int32_t>(codes, compute_.get());
  slot.numbers = DeviceBuffer<StepNumbers>(1, compute_.get());
  // Rows past a batch's end are computed, too.
  const auto zero = [&]<class T>(const DeviceBuffer<T>& buffer) {
    if (buffer.size() > 0) CUDA_CHECK(cudaMemsetAsync(buffer.data(), 0, buffer.size() * sizeof(T), compute_.get()));
  };
  zero(slot.x);
  zero(slot.labels);
  zero(slot.codes);
  CUDA_CHECK(cudaEventRecord(slot.used.get(), compute_.get()));
}

// ---- batches

PreparedTrainer::Batch CudaTrainer::batch() {
  CUDA_CHECK(cudaSetDevice(device_));
  const Slot& slot = slots_[turn_ % slots_.size()];
  CUDA_CHECK(cudaEventSynchronize(slot.copied.get()));
  return {slot.host_x.get(), slot.host_labels.get(), slot.host_codes.get()};
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
  if (rows < 1 || rows > chain_.rows()) throw Error("a batch of no or too many rows");
  Slot& slot = slots_[turn_++ % slots_.size()];
  slot.host_numbers[0] = numbers_of(rows, step);
  CUDA_CHECK(cudaStreamWaitEvent(copy_.get(), slot.used.get(), 0));
  CUDA_CHECK(cudaMemcpyAsync(slot.numbers.data(), slot.host_numbers.get(), sizeof(StepNumbers), cudaMemcpyHostToDevice,
                             copy_.get()));
  const auto copy = [&]<class T>(const PinnedBuffer<T>& from, const DeviceBuffer<T>& to, int64_t of_row) {
    if (of_row > 0)
      CUDA_CHECK(cudaMemcpyAsync(to.data(), from.get(), static_cast<size_t>(rows * of_row) * sizeof(T),
                                 cudaMemcpyHostToDevice, copy_.get()));
  };
  copy(slot.host_x, slot.x, chain_.values());
  copy(slot.host_codes, slot.codes, chain_.fields());
  copy(slot.host_labels, slot.labels, chain_.has_labels() ? 1 : 0);
  CUDA_CHECK(cudaEventRecord(slot.copied.get(), copy_.get()));
  CUDA_CHECK(cudaStreamWaitEvent(compute_.get(), slot.copied.get(), 0));
  return slot;
}

// ---- passes

void CudaTrainer::step(int64_t rows, const TrainingStep& step) {
  run(Pass::kStep, rows, bring_batch(rows, step));
}

void CudaTrainer::measure(int64_t rows, const TrainingDraws& draws, bool by_means) {
  if (by_means && !chain_.has_means()) throw Error("means of parameters that were never written");
  run(by_means ? Pass::kMeasureByMeans : Pass::kMeasure, rows, bring_batch(rows, {draws}));
}

void CudaTrainer::run(Pass pass, int64_t rows, Slot& slot) {
  const ProfilerRange range(pass == Pass::kStep ? "training step" : "training measure");
  const BatchPass batch_pass{
      rows_to_compute(rows), slot.x.data(),       slot.labels.data(),           slot.codes.data(),
      slot.numbers.data(),   pass == Pass::kStep, pass == Pass::kMeasureByMeans};
  RecordedPass& recorded = slot.passes[{pass, batch_pass.rows}];
  if (!recorded.was_run) {
    chain_.enqueue(batch_pass);
    recorded.was_run = true;
  } else {
    if (!recorded.graph) recorded.graph = capture_graph(compute_.get(), [&] { chain_.enqueue(batch_pass); });
    CUDA_CHECK(cudaGraphLaunch(recorded.graph.get(), compute_.get()));
  }
  CUDA_CHECK(cudaEventRecord(slot.used.get(), compute_.get()));
}

// ---- what goes to and comes from the caller

TrainingLosses CudaTrainer::losses() {
  CUDA_CHECK(cudaSetDevice(device_));
  CUDA_CHECK(cudaMemcpyAsync(host_losses_.get(), chain_.losses(), kLosses * sizeof(double), cudaMemcpyDeviceToHost,
                             compute_.get()));
  CUDA_CHECK(cudaStreamSynchronize(compute_.get()));
  const double* sums = host_losses_.get();
  return loss_ == TrainingLoss::kSoftmax ? TrainingLosses{sums[0], 0, sums[1]} : TrainingLosses{sums[0], sums[1], 0};
}

void CudaTrainer::set_losses(const TrainingLosses& losses) {
  CUDA_CHECK(cudaSetDevice(device_));
  const std::array<double, kLosses> sums = {losses.loss,
                                            loss_ == TrainingLoss::kSoftmax ? losses.right : losses.divergence};
  CUDA_CHECK(cudaMemcpyAsync(chain_.losses(), sums.data(), sizeof sums, cudaMemcpyHostToDevice, compute_.get()));
  CUDA_CHECK(cudaStreamSynchronize(compute_.get()));
}

void CudaTrainer::read(std::span<const ParameterState> parameters) {
  CUDA_CHECK(cudaSetDevice(device_));
  chain_.read(parameters);
}

void CudaTrainer::write(std::span<const ParameterState> parameters) {
  CUDA_CHECK(cudaSetDevice(device_));
  const bool had_means = chain_.has_means();
  chain_.write(parameters);
  if (chain_.has_means() == had_means) return;
  CUDA_CHECK(cudaStreamSynchronize(compute_.get()));
  for (Slot& slot : slots_) slot.passes.clear();  // they know nothing of means
}

}  // namespace

std::unique_ptr<PreparedTrainer> prepare_cuda_trainer(const TrainableNetwork& network, int64_t batch_rows, int device,
                                                      int64_t patch_bytes) {
  return std::make_unique<CudaTrainer>(network, batch_rows, device, patch_bytes);
}

}  // namespace doppel::cuda
