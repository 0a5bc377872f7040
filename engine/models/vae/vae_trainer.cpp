#include "engine/models/vae/vae_trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/models/networks/network_trainer.h"
#include "engine/models/vae/vae_epochs.h"
#include "engine/nn/training.h"

namespace doppel {
namespace {

// Of draws of Stream::kFit.
constexpr uint32_t kUseShuffle = 0x61000000u;  // and the epoch
constexpr uint32_t kUseHeldOut = 0x62000000u;
constexpr uint32_t kUseEncodings = 0x63000000u;  // and the draw
constexpr uint32_t kUseNoise = 0x80000000u;      // and the step
constexpr int64_t kMeasuredRows = 1024;          // where nothing is learned

class Trainer {
 public:
  Trainer(VaeNetwork<float>& network, const CodedRows& training, const CodedRows& held_out, const VaeSchedule& schedule,
          uint64_t seed, const Backend& backend)
      : training_(training),
        held_out_(held_out),
        schedule_(schedule),
        seed_(seed),
        fields_(network.shape().fields()),
        adam_(network.parameters()),
        trainer_(network, adam_, std::max(schedule.batch_rows, kMeasuredRows), backend),
        order_(static_cast<size_t>(training.rows)),
        held_out_order_(static_cast<size_t>(held_out.rows)),
        steps_(schedule.epochs * ((training.rows + schedule.batch_rows - 1) / schedule.batch_rows)) {
    std::iota(order_.begin(), order_.end(), int64_t{0});
    std::iota(held_out_order_.begin(), held_out_order_.end(), int64_t{0});
  }

  VaeEpoch run_epoch(int64_t epoch) {
    shuffle(order_, seed_, kUseShuffle + static_cast<uint32_t>(epoch));
    trainer_->set_losses({});
    for (int64_t first = 0; first < training_.rows; first += schedule_.batch_rows)
      step(gather(training_, order_, first, schedule_.batch_rows));
    const VaeLoss training = mean_loss(losses(), training_.rows);
    trainer_.fetch_values();
    return {training, held_out_.rows > 0 ? held_out_loss() : training};
  }

 private:
  VaeLoss losses() {
    const TrainingLosses sums = trainer_->losses();
    return {sums.loss, sums.divergence};
  }

  // Rows from the first on, at most so many, to the trainer's batch; says how many.
  int64_t gather(const CodedRows& rows, const std::vector<int64_t>& order, int64_t first, int64_t most) {
    const int64_t count = std::min(most, rows.rows - first);
    int32_t* to = trainer_->batch().codes;
    for (int64_t row = 0; row < count; ++row, to += fields_)
      std::copy_n(rows.codes.begin() + order[static_cast<size_t>(first + row)] * fields_, fields_, to);
    return count;
  }

  void step(int64_t rows) {
    const TrainingDraws draws{seed_, kUseNoise + static_cast<uint32_t>(step_)};
    const double done = static_cast<double>(step_++) / static_cast<double>(steps_);
    const double warm = std::min(1.0, (done + 1e-3) / schedule_.warm_up);
    const double rate = schedule_.rate * std::min(1.0, 10 * warm) * 0.5 * (1 + std::cos(M_PI * done));
    trainer_->step(rows, {draws, schedule_.divergence * warm, rate, step_, 0});
  }

  VaeLoss held_out_loss() {
    trainer_->set_losses({});
    for (int64_t first = 0; first < held_out_.rows; first += kMeasuredRows) {
      const int64_t rows = gather(held_out_, held_out_order_, first, kMeasuredRows);
      trainer_->measure(rows, {seed_, kUseHeldOut + static_cast<uint32_t>(first / kMeasuredRows)}, false);
    }
    return mean_loss(losses(), held_out_.rows);
  }

  const CodedRows& training_;
  const CodedRows& held_out_;
  const VaeSchedule& schedule_;
  uint64_t seed_;
  int64_t fields_;
  Adam<float> adam_;
  NetworkTrainer trainer_;
  std::vector<int64_t> order_, held_out_order_;
  int64_t steps_, step_ = 0;
};

}  // namespace

std::vector<VaeEpoch> train(VaeNetwork<float>& network, const CodedRows& training, const CodedRows& held_out,
                            const VaeSchedule& schedule, uint64_t seed,
                            const std::function<void(double, const VaeEpoch&)>& progress, const Backend& backend) {
  Trainer trainer(network, training, held_out, schedule, seed, backend);
  VaeEpochs epochs({schedule.epochs, schedule.divergence, schedule.warm_up, schedule.patience}, network.parameters());
  epochs.run([&](int64_t epoch) { return trainer.run_epoch(epoch); }, progress);
  return epochs.finish();
}

std::vector<float> draw_encodings(VaeNetwork<float>& network, const VaeShape& shape, const CodedRows& rows,
                                  int64_t draws, uint64_t seed) {
  std::vector<float> latents(static_cast<size_t>(draws * rows.rows * shape.latent)), noise;
  float* out = latents.data();
  for (int64_t draw = 0; draw < draws; ++draw) {
    noise.resize(static_cast<size_t>(rows.rows * shape.latent));
    fill_with_normals(seed, kUseEncodings + static_cast<uint32_t>(draw), 1, noise);
    for (int64_t first = 0; first < rows.rows; first += kMeasuredRows) {
      const int64_t count = std::min(kMeasuredRows, rows.rows - first);
      network.encode(rows.codes.data() + first * shape.fields(), noise.data() + first * shape.latent, count, out);
      out += count * shape.latent;
    }
  }
  return latents;
}

}  // namespace doppel
