#include "engine/models/image/image_vae_trainer.h"

#include <algorithm>
#include <numeric>

#include "engine/image/augment.h"
#include "engine/models/networks/network_trainer.h"
#include "engine/models/networks/training_file.h"
#include "engine/models/vae/vae_epochs.h"
#include "engine/nn/adam.h"
#include "engine/nn/training.h"

namespace doppel {
namespace {

// Of draws of Stream::kFit.
constexpr uint32_t kUseSplit = 0x66000000u;
constexpr uint32_t kUseShuffle = 0x67000000u;    // and the epoch
constexpr uint32_t kUseHeldOut = 0x68000000u;    // and the block
constexpr uint32_t kUseEncodings = 0x69000000u;  // and the draw
constexpr uint32_t kUseNoise = 0xa0000000u;      // and the step
constexpr int64_t kBlockRows = kEncodedRows;     // where nothing is learned
constexpr double kRateWarmUp = 0.01;             // share of the steps

// Some of the images as a network takes them, and their labels where they have some.
void gather_images(const Images& images, const std::vector<int64_t>& which, int64_t first, int64_t rows, float* levels,
                   int32_t* labels) {
  const int64_t size = images.shape.size();
  for (int64_t row = 0; row < rows; ++row) {
    const int64_t image = which[static_cast<size_t>(first + row)];
    levels_of(images.image(image), size, levels + row * size);
    if (!images.labels.empty()) labels[row] = images.labels[static_cast<size_t>(image)];
  }
}

struct ImageRows {
  void gather(const Images& images, const std::vector<int64_t>& which, int64_t first, int64_t rows) {
    levels.resize(static_cast<size_t>(rows * images.shape.size()));
    labels.resize(static_cast<size_t>(rows));
    gather_images(images, which, first, rows, levels.data(), labels.data());
  }
  std::vector<float> levels;
  std::vector<int32_t> labels;
};

// Calls take(first, rows, the rows) for block after block.
template <class Take>
void for_each_block(const Images& images, const std::vector<int64_t>& which, const Take& take) {
  ImageRows block;
  const auto count = static_cast<int64_t>(which.size());
  for (int64_t first = 0; first < count; first += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, count - first);
    block.gather(images, which, first, rows);
    take(first, rows, block);
  }
}

class Trainer {
 public:
  Trainer(ImageVaeNetwork<float>& network, const Images& images, const ImageSplit& split,
          const ImageVaeSchedule& schedule, uint64_t seed, const Backend& backend)
      : network_(network),
        images_(images),
        split_(split),
        schedule_(schedule),
        seed_(seed),
        adam_(network.parameters()),
        trainer_(network, adam_, std::max(schedule.batch_rows, kBlockRows), backend),
        order_(split.training) {
    const auto count = static_cast<int64_t>(order_.size());
    steps_ = schedule.epochs * ((count + schedule.batch_rows - 1) / schedule.batch_rows);
  }

  // From where it is: a state may be of the middle of an epoch.
  VaeEpoch run_epoch(int64_t epoch, const std::function<void()>& after_step) {
    if (next_ == 0) {
      shuffle(order_, seed_, kUseShuffle + static_cast<uint32_t>(epoch));
      trainer_->set_losses({});
    }
    const auto count = static_cast<int64_t>(order_.size());
    while (next_ < count) {
      const int64_t rows = gather(order_, schedule_.batch_rows);
      step(rows);
      next_ += rows;
      after_step();
    }
    const VaeLoss training = mean_loss(losses(), count);
    trainer_.fetch_values();
    next_ = 0;
    return {training, split_.held_out.empty() ? training : measure_held_out()};
  }

  void save(ModelFile& file) {
    trainer_.fetch();
    adam_.steps() = step_;
    save_parameters(network_.parameters(), file);
    save_adam(adam_, file);
    save_place({next_, step_}, file);
    const VaeLoss loss = next_ > 0 ? losses() : VaeLoss{};
    file.metadata["training"]["epoch_loss"] = {{"reconstruction", loss.reconstruction},
                                               {"divergence", loss.divergence}};
  }

  // A state after so many whole epochs.
  void load(const ModelFile& file, int64_t epochs) {
    load_parameters(file, network_.parameters());
    load_adam(file, adam_);
    trainer_.send();
    const EpochPlace place = load_place(file, static_cast<int64_t>(order_.size()), steps_);
    next_ = place.row, step_ = place.step;
    const nlohmann::json loss =
        file.metadata.value("training", nlohmann::json::object()).value("epoch_loss", nlohmann::json());
    trainer_->set_losses({load_number(loss, "reconstruction"), load_number(loss, "divergence"), 0});
    const int64_t shuffles = epochs + (next_ > 0 ? 1 : 0);
    for (int64_t epoch = 0; epoch < shuffles; ++epoch)
      shuffle(order_, seed_, kUseShuffle + static_cast<uint32_t>(epoch));
  }

 private:
  VaeLoss losses() {
    const TrainingLosses sums = trainer_->losses();
    return {sums.loss, sums.divergence};
  }

  // The next images of the epoch, at most so many, to the trainer's batch; says how many.
  int64_t gather(const std::vector<int64_t>& which, int64_t most) {
    const int64_t rows = std::min(most, static_cast<int64_t>(which.size()) - next_);
    const PreparedTrainer::Batch batch = trainer_->batch();
    gather_images(images_, which, next_, rows, batch.x, batch.labels);
    return rows;
  }

  void step(int64_t rows) {
    const double done = static_cast<double>(step_) / static_cast<double>(steps_);
    const double warm = schedule_.warm_up > 0 ? std::min(1.0, (done + 1e-3) / schedule_.warm_up) : 1;
    const TrainingDraws draws{seed_, kUseNoise + static_cast<uint32_t>(step_)};
    ++step_;
    trainer_->step(rows, {draws, warm, schedule_.rate * cosine_rate(done + 1e-9, kRateWarmUp), step_, 0});
  }

  // As measure_loss does.
  VaeLoss measure_held_out() {
    trainer_->set_losses({});
    for (const auto count = static_cast<int64_t>(split_.held_out.size()); next_ < count;) {
      const auto block = static_cast<uint32_t>(next_ / kBlockRows);
      const int64_t rows = gather(split_.held_out, kBlockRows);
      trainer_->measure(rows, {seed_, kUseHeldOut + block}, false);
      next_ += rows;
    }
    next_ = 0;
    return mean_loss(losses(), static_cast<int64_t>(split_.held_out.size()));
  }

  ImageVaeNetwork<float>& network_;
  const Images& images_;
  const ImageSplit& split_;
  const ImageVaeSchedule& schedule_;
  uint64_t seed_;
  Adam<float> adam_;
  NetworkTrainer trainer_;
  std::vector<int64_t> order_;
  int64_t steps_ = 0, step_ = 0;
  int64_t next_ = 0;  // row of the epoch
};

}  // namespace

ImageSplit split_images(int64_t count, double held_out_share, uint64_t seed) {
  std::vector<int64_t> order(static_cast<size_t>(count));
  std::iota(order.begin(), order.end(), int64_t{0});
  shuffle(order, seed, kUseSplit);
  const auto held_out = order.begin() + static_cast<int64_t>(held_out_share * static_cast<double>(count));
  return {{held_out, order.end()}, {order.begin(), held_out}};
}

std::vector<VaeEpoch> train(ImageVaeNetwork<float>& network, const Images& images, const ImageSplit& split,
                            const ImageVaeSchedule& schedule, uint64_t seed, const TrainingKeeper& keeper,
                            const std::function<void(double, const VaeEpoch&)>& progress, const Backend& backend) {
  Trainer trainer(network, images, split, schedule, seed, backend);
  VaeEpochs epochs({schedule.epochs, 1, schedule.warm_up, schedule.patience}, network.parameters());
  if (keeper.resumed) {
    epochs.load(*keeper.resumed);
    trainer.load(*keeper.resumed, epochs.count());
  }
  const auto keep = [&](bool is_over) {
    if (!keeper.after_step) return;
    keeper.after_step(is_over, [&] {
      ModelFile state;
      trainer.save(state);
      epochs.save(state);
      return state;
    });
  };
  epochs.run([&](int64_t epoch) { return trainer.run_epoch(epoch, [&] { keep(false); }); }, progress);
  keep(true);
  return epochs.finish();
}

VaeLoss measure_loss(ImageVaeNetwork<float>& network, const Images& images, const std::vector<int64_t>& which,
                     uint64_t seed) {
  VaeLoss sum;
  std::vector<float> noise;
  for_each_block(images, which, [&](int64_t first, int64_t rows, const ImageRows& block) {
    noise.resize(static_cast<size_t>(rows * network.shape().latent));
    fill_with_normals(seed, kUseHeldOut + static_cast<uint32_t>(first / kBlockRows), 1, noise);
    const VaeLoss loss = network.forward(block.levels.data(), block.labels.data(), noise.data(), rows);
    add(loss, sum);
  });
  return mean_loss(sum, static_cast<int64_t>(which.size()));
}

std::vector<float> encode_images(TrainedVae& network, const Images& images, const std::vector<int64_t>& which) {
  std::vector<float> encodings;
  const int64_t width = 2 * network.shape().latent;
  encodings.reserve(which.size() * static_cast<size_t>(width));
  for_each_block(images, which, [&](int64_t, int64_t rows, const ImageRows& block) {
    const float* heads = network.encode(block.levels.data(), block.labels.data(), rows);
    encodings.insert(encodings.end(), heads, heads + rows * width);
  });
  return encodings;
}

std::vector<float> draw_latents(const std::vector<float>& encodings, int64_t latent, int64_t draws, uint64_t seed) {
  const auto rows = static_cast<int64_t>(encodings.size()) / (2 * latent);
  std::vector<float> latents(static_cast<size_t>(draws * rows * latent)), noise(static_cast<size_t>(rows * latent));
  for (int64_t draw = 0; draw < draws; ++draw) {
    fill_with_normals(seed, kUseEncodings + static_cast<uint32_t>(draw), 1, noise);
    forward_gaussian(encodings.data(), noise.data(), rows, latent, latents.data() + draw * rows * latent);
  }
  return latents;
}

}  // namespace doppel
