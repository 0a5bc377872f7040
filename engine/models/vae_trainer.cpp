#include "engine/models/vae_trainer.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "engine/models/vae_epochs.h"
#include "engine/nn/training.h"

namespace doppel {
namespace {

// Of draws of Stream::kFit.
constexpr uint32_t kUseShuffle = 0x61000000u;  // and the epoch
constexpr uint32_t kUseHeldOut = 0x62000000u;
constexpr uint32_t kUseEncodings = 0x63000000u;  // and the draw
constexpr uint32_t kUseNoise = 0x80000000u;      // and the step
constexpr int64_t kBlockRows = 1024;             // where nothing is learned

class Trainer {
 public:
  Trainer(VaeNetwork<float>& network, const VaeShape& shape, const CodedRows& training, const CodedRows& held_out,
          const VaeSchedule& schedule, uint64_t seed)
      : network_(network),
        shape_(shape),
        training_(training),
        held_out_(held_out),
        schedule_(schedule),
        seed_(seed),
        adam_(network.parameters()),
        order_(static_cast<size_t>(training.rows)),
        steps_(schedule.epochs * ((training.rows + schedule.batch_rows - 1) / schedule.batch_rows)) {
    std::iota(order_.begin(), order_.end(), int64_t{0});
  }

  VaeEpoch run_epoch(int64_t epoch) {
    shuffle(order_, seed_, kUseShuffle + static_cast<uint32_t>(epoch));
    VaeLoss sum;
    for (int64_t first = 0; first < training_.rows; first += schedule_.batch_rows) {
      const VaeLoss batch = step(first, std::min(schedule_.batch_rows, training_.rows - first));
      add(batch, sum);
    }
    const VaeLoss training = mean_loss(sum, training_.rows);
    return {training, held_out_.rows > 0 ? held_out_loss() : training};
  }

 private:
  VaeLoss step(int64_t first, int64_t rows) {
    const int64_t fields = shape_.fields();
    codes_.resize(static_cast<size_t>(rows * fields));
    for (int64_t row = 0; row < rows; ++row)
      std::copy_n(training_.codes.begin() + order_[static_cast<size_t>(first + row)] * fields, fields,
                  codes_.begin() + row * fields);
    noise_.resize(static_cast<size_t>(rows * shape_.latent));
    fill_with_normals(seed_, kUseNoise + static_cast<uint32_t>(step_), 1, noise_);
    const VaeLoss loss = network_.forward(codes_.data(), noise_.data(), rows);
    const double done = static_cast<double>(step_++) / static_cast<double>(steps_);
    const double warm = std::min(1.0, (done + 1e-3) / schedule_.warm_up);
    network_.backward(codes_.data(), noise_.data(), schedule_.divergence * warm, rows);
    adam_.step(schedule_.rate * std::min(1.0, 10 * warm) * 0.5 * (1 + std::cos(M_PI * done)));
    return loss;
  }

  VaeLoss held_out_loss() {
    VaeLoss sum;
    for (int64_t first = 0; first < held_out_.rows; first += kBlockRows) {
      const int64_t rows = std::min(kBlockRows, held_out_.rows - first);
      noise_.resize(static_cast<size_t>(rows * shape_.latent));
      fill_with_normals(seed_, kUseHeldOut + static_cast<uint32_t>(first / kBlockRows), 1, noise_);
      const VaeLoss block = network_.forward(held_out_.codes.data() + first * shape_.fields(), noise_.data(), rows);
      add(block, sum);
    }
    return mean_loss(sum, held_out_.rows);
  }

  VaeNetwork<float>& network_;
  const VaeShape& shape_;
  const CodedRows& training_;
  const CodedRows& held_out_;
  const VaeSchedule& schedule_;
  uint64_t seed_;
  Adam<float> adam_;
  std::vector<int64_t> order_;
  int64_t steps_, step_ = 0;
  std::vector<int32_t> codes_;
  std::vector<float> noise_;
};

}  // namespace

std::vector<VaeEpoch> train(VaeNetwork<float>& network, const VaeShape& shape, const CodedRows& training,
                            const CodedRows& held_out, const VaeSchedule& schedule, uint64_t seed,
                            const std::function<void(double, const VaeEpoch&)>& progress) {
  Trainer trainer(network, shape, training, held_out, schedule, seed);
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
    for (int64_t first = 0; first < rows.rows; first += kBlockRows) {
      const int64_t count = std::min(kBlockRows, rows.rows - first);
      network.encode(rows.codes.data() + first * shape.fields(), noise.data() + first * shape.latent, count, out);
      out += count * shape.latent;
    }
  }
  return latents;
}

}  // namespace doppel
