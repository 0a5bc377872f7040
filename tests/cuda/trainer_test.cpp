// Training on CUDA against steps by the definitions in double: losses, gradients of every kind of layer, Adam.
#include <random>

#include "kernels/backend.h"
#include "kernels/common/error.h"
#include "tests/cuda/device_under_test.h"
#include "tests/kernels/training_cases.h"

namespace doppel {
namespace {

// Parameters as a trainer reads and writes them.
struct State {
  explicit State(const TrainableNetwork& network) {
    for (const TrainableLayer& of_chain : network.layers)
      for (const auto* some : {&of_chain.layer.weight, &of_chain.layer.bias, &of_chain.layer.label_weight})
        if (!some->empty()) values.push_back(*some);
    first = second = means = values;
    for (auto* moments : {&first, &second})
      for (auto& some : *moments) std::fill(some.begin(), some.end(), 0.0f);
  }
  std::vector<ParameterState> views(bool with_means = true) {
    std::vector<ParameterState> all;
    for (size_t p = 0; p < values.size(); ++p)
      all.push_back({values[p], first[p], second[p], with_means ? std::span<float>(means[p]) : std::span<float>()});
    return all;
  }
  std::vector<std::vector<float>> values, first, second, means;
};

struct Rows {
  std::vector<float> x;
  std::vector<int32_t> labels, codes;
};

// Levels of pixels; labels below `labels`.
Rows random_rows(int64_t rows, int64_t inputs, int32_t labels, uint64_t seed) {
  std::mt19937_64 random(seed);
  Rows made;
  for (int64_t i = 0; i < rows * inputs; ++i) {
    const int level = static_cast<int>(random() % 300) - 20;  // the first and last ones, too
    made.x.push_back(static_cast<float>(std::clamp(level, 0, 255)) / 255.0f);
  }
  for (int64_t row = 0; row < rows; ++row)
    made.labels.push_back(static_cast<int32_t>(random() % static_cast<uint64_t>(labels)));
  return made;
}

// A tenth of the codes are unknown.
Rows random_codes(int64_t rows, const std::vector<int32_t>& codes, uint64_t seed) {
  std::mt19937_64 random(seed);
  Rows made;
  for (int64_t row = 0; row < rows; ++row)
    for (const int32_t of_field : codes)
      made.codes.push_back(random() % 10 == 0 ? -1 : static_cast<int32_t>(random() % static_cast<uint64_t>(of_field)));
  return made;
}

void put(const Rows& rows, PreparedTrainer& trainer) {
  const PreparedTrainer::Batch batch = trainer.batch();
  std::copy(rows.codes.begin(), rows.codes.end(), batch.codes);
  std::copy(rows.x.begin(), rows.x.end(), batch.x);
  std::copy(rows.labels.begin(), rows.labels.end(), batch.labels);
}

double relative_error(const Values& values, const Values& expected) {
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(values[i] - expected[i], 2);
    size += expected[i] * expected[i];
  }
  return std::sqrt(error / std::max(size, 1e-30));
}

class CudaTrainers : public OnCuda {
 protected:
  // The emulator rounds factors of products to the nearest, as the reference then does, and some of them to the other
  // side; what a device makes of them is its own. Those of networks of codes are not rounded.
  bool is_emulated() const { return GetParam() != "Real"; }
  static bool is_of_codes(const TrainableNetwork& network) { return !network.codes.empty(); }
  double tolerance(const TrainableNetwork& network) const {
    return is_of_codes(network) ? 1e-5 : is_emulated() ? 1e-4 : 1e-2;
  }
  double loss_tolerance(const TrainableNetwork& network) const {
    return is_of_codes(network) || is_emulated() ? 1e-5 : 3e-3;
  }

  void expect_near(const TrainableNetwork& network, double value, double expected, const char* what) const {
    EXPECT_NEAR(value, expected, loss_tolerance(network) * (1 + std::abs(expected))) << what;
  }

  // A step and a measure of so many rows.
  void expect_reference(const TrainableNetwork& network, int64_t rows, int64_t batch_rows, int32_t labels = 1) {
    const Rows batch =
        is_of_codes(network) ? random_codes(rows, network.codes, 7) : random_rows(rows, network.inputs(), labels, 7);
    const int32_t* targets = is_of_codes(network) ? batch.codes.data() : batch.labels.data();
    const TrainingDraws draws{3, 11};
    ReferenceTrainer reference(network, is_emulated() && !is_of_codes(network) ? to_tf32 : as_it_is);
    const auto trainer = cuda().prepare_trainer(network, batch_rows);
    ASSERT_TRUE(trainer);

    put(batch, *trainer);
    trainer->measure(rows, draws, false);
    const ReferenceStep measured = reference.run(batch.x.data(), targets, rows, draws, 1, false);
    TrainingLosses losses = trainer->losses();
    expect_near(network, losses.loss, measured.losses.loss, "loss measured");
    expect_near(network, losses.divergence, measured.losses.divergence, "divergence measured");
    EXPECT_EQ(losses.right, measured.losses.right);

    trainer->set_losses({1, 2, 3});
    put(batch, *trainer);
    trainer->step(rows, {draws, 0.7, 0.01, 1, 0});
    const ReferenceStep step = reference.run(batch.x.data(), targets, rows, draws, 0.7, true);
    losses = trainer->losses();
    const bool is_classifier = network.loss == TrainingLoss::kSoftmax;
    expect_near(network, losses.loss - 1, step.losses.loss, "loss of a step");
    if (!is_classifier) expect_near(network, losses.divergence - 2, step.losses.divergence, "divergence of a step");
    EXPECT_EQ(losses.right, is_classifier ? 3 + step.losses.right : 0);

    State state(network);
    trainer->read(state.views(false));
    ASSERT_EQ(step.gradients.size(), state.first.size());
    for (size_t p = 0; p < state.first.size(); ++p) {
      Values gradient;
      for (const float moment : state.first[p]) gradient.push_back(static_cast<double>(moment) / (1 - kAdamFirstDecay));
      EXPECT_LT(relative_error(gradient, step.gradients[p]), tolerance(network))
          << "parameter " << p << ", " << rows << " rows";
    }
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaTrainers, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaTrainers, DenseVaesOfOddSizes) {
  for (const auto loss : {TrainingLoss::kBernoulli, TrainingLoss::kLogistic}) {
    expect_reference(dense_vae(7, 5, 3, 2, loss), 9, 9, 2);
    expect_reference(dense_vae(8, 36, 2, 0, loss), 5, 40, 1);
    expect_reference(dense_vae(33, 140, 4, 3, loss), 3, 3, 3);
  }
}

TEST_P(CudaTrainers, VaesOfCodes) {
  expect_reference(code_vae({3, 1, 40, 2}, 5, 2), 9, 9);
  expect_reference(code_vae({2}, 8, 1), 17, 40);
  expect_reference(code_vae({31, 32, 33, 70}, 132, 3), 5, 5);
  expect_reference(code_vae({4, 6, 5}, 4, 2), 300, 300);
}

TEST_P(CudaTrainers, RowsAtTheBoundariesOfBlocks) {
  const TrainableNetwork network = dense_vae(5, 6, 1, 3, TrainingLoss::kBernoulli);
  for (const int64_t rows : {1, 15, 16, 17, 33}) expect_reference(network, rows, 33, 3);
}

TEST_P(CudaTrainers, ManyRowsAreSummedInChunks) {
  expect_reference(
      {{trainable(random_dense(2, 3, true, 2, 1)), trainable(random_dense(3, 2, false, 0, 2))}, TrainingLoss::kSoftmax},
      2100, 2100, 2);
}

TEST_P(CudaTrainers, ImageVaes) {
  for (const auto loss : {TrainingLoss::kBernoulli, TrainingLoss::kLogistic}) {
    expect_reference(image_vae({1, 4, 6, 5, 4, 2, 1}, 2, loss), 3, 3, 2);
    expect_reference(image_vae({3, 2, 5, 7, 4, 2, 1}, 3, loss), 2, 2, 2);
  }
}

TEST_P(CudaTrainers, ImageClassifiersWithDropout) {
  expect_reference(image_classifier({1, 4, 7, 6, 3, 1, 1}, 3), 5, 5, 3);
  expect_reference(image_classifier({3, 5, 4, 5, 3, 1, 1}, 70), 3, 3, 70);
}

TEST_P(CudaTrainers, ClassesOnBothSidesOfAWarp) {
  for (const int64_t classes : {2, 31, 32, 33})
    expect_reference({{trainable(random_dense(4, classes, false, 0, 1))}, TrainingLoss::kSoftmax}, 6, 6,
                     static_cast<int32_t>(classes));
}

TEST_P(CudaTrainers, AdamMovesParametersAndMeans) {
  const TrainableNetwork network = dense_vae(5, 7, 2, 2, TrainingLoss::kBernoulli);
  const Rows batch = random_rows(4, 5, 2, 1);
  const auto trainer = cuda().prepare_trainer(network, 4);
  State before(network);
  std::mt19937_64 random(5);
  for (size_t p = 0; p < before.values.size(); ++p)
    for (size_t i = 0; i < before.values[p].size(); ++i) {
      std::normal_distribution<float> normal;
      before.first[p][i] = 0.3f * normal(random);
      before.second[p][i] = 0.1f * std::abs(normal(random));
      before.means[p][i] = normal(random);
    }
  trainer->write(before.views());
  put(batch, *trainer);
  constexpr TrainingStep kStep{{1, 2}, 1, 0.02, 7, 0.25};
  trainer->step(4, kStep);
  State after(network);
  trainer->read(after.views());
  const ReferenceStep reference =
      ReferenceTrainer(network, to_tf32).run(batch.x.data(), batch.labels.data(), 4, kStep.draws, 1, true);
  const AdamScales scales = adam_scales(kStep.rate, kStep.number);
  for (size_t p = 0; p < before.values.size(); ++p)
    for (size_t i = 0; i < before.values[p].size(); ++i) {
      const double g = reference.gradients[p][i], m = after.first[p][i], v = after.second[p][i];
      ASSERT_NEAR(m, 0.9 * before.first[p][i] + 0.1 * g, 1e-3 * (1 + std::abs(g)));
      ASSERT_NEAR(v, 0.999 * before.second[p][i] + 0.001 * g * g, 1e-5 * (1 + g * g));
      const double value = before.values[p][i] - scales.scale * m / (std::sqrt(v) + scales.epsilon);
      ASSERT_NEAR(after.values[p][i], value, 1e-6 * (1 + std::abs(value)));
      const double mean = before.means[p][i];
      ASSERT_NEAR(after.means[p][i], mean + 0.25 * (value - mean), 1e-6 * (1 + std::abs(mean)));
    }
}

TEST_P(CudaTrainers, MeasuresByTheMeans) {
  TrainableNetwork network = image_classifier({1, 4, 7, 6, 3, 1, 1}, 3);
  const Rows batch = random_rows(5, network.inputs(), 3, 1);
  const auto trainer = cuda().prepare_trainer(network, 5);
  put(batch, *trainer);
  EXPECT_THROW(trainer->measure(5, {}, true), Error) << "there are none";
  State other(network);
  for (auto& some : other.means)
    for (float& value : some) value *= 0.5f;
  trainer->write(other.views());
  put(batch, *trainer);
  trainer->measure(5, {}, true);
  size_t p = 0;
  for (TrainableLayer& of_chain : network.layers)
    for (auto* some : {&of_chain.layer.weight, &of_chain.layer.bias, &of_chain.layer.label_weight})
      if (!some->empty()) *some = other.means[p++];
  const ReferenceStep expected =
      ReferenceTrainer(network, to_tf32).run(batch.x.data(), batch.labels.data(), 5, {}, 1, false);
  expect_near(network, trainer->losses().loss, expected.losses.loss, "by means");
}

// Batches of different sizes one after another, which overtake each other where something is not waited for. A new
// trainer's first two steps are made call by call, later ones by graphs (kernels/cuda/trainer.h): they are the same
// bits.
TEST_P(CudaTrainers, TrainingsAreRepeatableAndGoOnFromTheirState) {
  const TrainableNetwork network = image_vae({1, 4, 6, 5, 4, 2, 1}, 2, TrainingLoss::kBernoulli);
  const auto learn = [&](PreparedTrainer& trainer, int64_t from, int64_t to) {
    for (int64_t number = from; number < to; ++number) {
      const int64_t rows = 3 + number % 3;
      put(random_rows(rows, network.inputs(), 2, static_cast<uint64_t>(number)), trainer);
      trainer.step(rows, {{1, static_cast<uint32_t>(number)}, 0.5, 0.01, number + 1, 0.1});
    }
  };
  State whole(network), parts(network);
  const auto trainer = cuda().prepare_trainer(network, 5);
  trainer->write(whole.views());
  learn(*trainer, 0, 8);
  trainer->read(whole.views());
  const TrainingLosses losses = trainer->losses();

  TrainingLosses of_parts;
  for (const int64_t from : {0, 2, 4, 6}) {
    const auto part = cuda().prepare_trainer(network, 5);
    part->write(parts.views());
    part->set_losses(of_parts);
    learn(*part, from, from + 2);
    part->read(parts.views());
    of_parts = part->losses();
  }
  EXPECT_EQ(parts.values, whole.values);
  EXPECT_EQ(parts.first, whole.first);
  EXPECT_EQ(parts.second, whole.second);
  EXPECT_EQ(parts.means, whole.means);
  EXPECT_EQ(of_parts.loss, losses.loss);
  EXPECT_EQ(of_parts.divergence, losses.divergence);
}

TEST_P(CudaTrainers, MeansThatAreWrittenLateAreMovedAndMeasured) {
  const TrainableNetwork network = dense_vae(5, 6, 1, 2, TrainingLoss::kBernoulli);
  const Rows batch = random_rows(6, network.inputs(), 2, 1);
  State early(network), late(network);
  const auto learn = [&](PreparedTrainer& trainer, int64_t from, int64_t to) {
    for (int64_t number = from; number < to; ++number) {
      put(batch, trainer);
      trainer.step(3 + number % 3, {{1, 2}, 1, 0.01, number + 1, 0.1});
    }
  };
  const auto old = cuda().prepare_trainer(network, 6);
  learn(*old, 0, 5);  // recorded without means
  old->read(late.views(false));
  early = late;
  old->write(late.views());
  learn(*old, 5, 10);
  old->read(late.views());

  const auto fresh = cuda().prepare_trainer(network, 6);
  fresh->write(early.views());
  learn(*fresh, 5, 10);
  fresh->read(early.views());
  EXPECT_EQ(early.values, late.values);
  EXPECT_EQ(early.means, late.means);
  EXPECT_NE(late.means, State(network).means);

  for (const bool by_means : {false, true})
    for (int64_t time = 0; time < 5; ++time) {
      put(batch, *old);
      old->set_losses({});
      old->measure(2 + time, {1, 2}, by_means);
      const auto first = cuda().prepare_trainer(network, 6);
      first->write(late.views());
      put(batch, *first);
      first->measure(2 + time, {1, 2}, by_means);
      EXPECT_EQ(old->losses().loss, first->losses().loss) << "measure " << time;
    }
}

TEST_P(CudaTrainers, RefusesWhatIsNoNetwork) {
  TrainableNetwork network = dense_vae(5, 6, 1, 3, TrainingLoss::kBernoulli);
  network.layers.back().layer.rectified = true;
  EXPECT_THROW(cuda().prepare_trainer(network, 4), Error);
  network = dense_vae(5, 6, 1, 3, TrainingLoss::kLogistic);
  network.loss = TrainingLoss::kBernoulli;
  EXPECT_THROW(cuda().prepare_trainer(network, 4), Error);
  network = dense_vae(5, 6, 1, 3, TrainingLoss::kBernoulli);
  network.layers[1].is_gaussian = false;
  EXPECT_THROW(cuda().prepare_trainer(network, 4), Error);
  EXPECT_THROW(cuda().prepare_trainer({}, 4), Error);
  network = code_vae({3, 2}, 5, 2);
  network.codes = {3, 3};
  EXPECT_THROW(cuda().prepare_trainer(network, 4), Error);
  network.codes = {};
  EXPECT_THROW(cuda().prepare_trainer(network, 4), Error);
}

}  // namespace
}  // namespace doppel
