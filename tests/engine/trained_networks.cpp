// Networks as they are used, against the layers that they were made of.
#include "engine/models/networks/trained_networks.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "kernels/common/error.h"
#include "kernels/cpu/network.h"

namespace doppel {
namespace {

std::vector<float> random_floats(int64_t count, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal;
  std::vector<float> values(static_cast<size_t>(count));
  for (float& value : values) value = normal(random);
  return values;
}

const Backend& cpu() {
  static const std::unique_ptr<Backend> backend = make_backend("cpu");
  return *backend;
}

// Root mean square of the differences over that of `expected`.
double relative_error(const float* values, const std::vector<float>& expected) {
  double error = 0, size = 0;
  for (size_t i = 0; i < expected.size(); ++i) {
    error += std::pow(static_cast<double>(values[i]) - expected[i], 2);
    size += std::pow(static_cast<double>(expected[i]), 2);
  }
  return std::sqrt(error / size);
}

// Sums in another order; and 8 digits, of what goes through up to five layers.
double tolerance(Precision precision) {
  return precision == Precision::kSingle ? 2e-6 : 1.5e-2;
}

TrainedNetwork small_network() {
  return {{{TrainedLayer::Kind::kDense, {}, 1, 1, false, {1}, {0}, {}}}};
}

class TrainedNetworks : public testing::TestWithParam<Precision> {
  void SetUp() override {
    if (GetParam() == Precision::kBfloat16 && !has_fast_bfloat16()) {
      EXPECT_THROW(cpu().prepare_network(small_network(), Precision::kBfloat16, 1), UsageError);
      GTEST_SKIP() << "no instructions for bfloat16 here";
    }
  }
};
INSTANTIATE_TEST_SUITE_P(All, TrainedNetworks, testing::Values(Precision::kSingle, Precision::kBfloat16),
                         [](const auto& precision) { return precision.param == Precision::kSingle ? "f32" : "bf16"; });

TEST_P(TrainedNetworks, ClassifiersAnswerAsTheirLayersDo) {
  const std::vector<ClassifierShape> shapes = {
      {{1, 28, 28}, 10, 32, 128}, {{3, 17, 19}, 2, 8, 20}, {{1, 8, 5}, 3, 8, 16}};  // the last has no convolutions
  for (const ClassifierShape& shape : shapes) {
    ClassifierNetwork<float> network(shape, 3);
    TrainedClassifier trained(network, GetParam(), 150, cpu());
    for (const int64_t rows : {1, 15, 16, 17, 150}) {  // blocks are of 16 rows and more
      const std::vector<float> images = random_floats(rows * shape.image.size(), 5);
      const float* given = network.forward(images.data(), rows);
      const std::vector<float> probabilities(given, given + rows * shape.classes);
      const std::vector<float> features(network.features(), network.features() + rows * shape.features);
      EXPECT_LT(relative_error(trained.forward(images.data(), rows), probabilities), tolerance(GetParam())) << rows;
      EXPECT_LT(relative_error(trained.features(), features), tolerance(GetParam())) << rows;
    }
  }
}

TEST_P(TrainedNetworks, DecodersGiveWhatTheirLayersDo) {
  const auto kBernoulli = PixelLikelihood::kBernoulli, kLogistic = PixelLikelihood::kLogistic;
  const std::vector<ImageVaeShape> shapes = {{{1, 28, 28}, 10, false, 24, 64, 32, kBernoulli},
                                             {{1, 28, 28}, 10, true, 24, 64, 32, kBernoulli},
                                             {{3, 18, 22}, 0, true, 5, 33, 8, kLogistic},
                                             {{6, 16, 16}, 2, true, 5, 33, 8, kLogistic},   // 12 outputs a pixel
                                             {{1, 28, 28}, 2, true, 5, 33, 3, kBernoulli},  // 3 channels between
                                             {{1, 7, 9}, 3, true, 4, 16, 8, kLogistic}};
  for (const ImageVaeShape& shape : shapes) {
    ImageDecoder<float> decoder(shape, 4);
    const auto trained = cpu().prepare_network(trained_decoder(decoder), GetParam(), 130);
    for (const int64_t rows : {1, 16, 130}) {
      const std::vector<float> latents = random_floats(rows * shape.latent, 6);
      std::vector<int32_t> labels(static_cast<size_t>(rows));
      for (int64_t row = 0; row < rows; ++row)
        labels[static_cast<size_t>(row)] = static_cast<int32_t>(row) % std::max(shape.classes, 1);
      const float* given = decoder.forward(latents.data(), labels.data(), rows);
      const std::vector<float> expected(given, given + rows * shape.image.size() * shape.heads());
      std::vector<float> outputs(expected.size());
      trained->run(latents.data(), labels.data(), rows, outputs.data());
      EXPECT_LT(relative_error(outputs.data(), expected), tolerance(GetParam()));
    }
  }
}

TEST(TrainedNetworks, ContradictionsAreErrors) {
  const auto prepare = [](const auto& change) {
    TrainedNetwork network = small_network();
    change(network.layers);
    return cpu().prepare_network(network, Precision::kSingle, 1);
  };
  EXPECT_NO_THROW(prepare([](auto&) {}));
  EXPECT_THROW(prepare([](auto& layers) { layers.clear(); }), Error);
  EXPECT_THROW(prepare([](auto& layers) { layers[0].weight.push_back(1); }), Error);
  EXPECT_THROW(prepare([](auto& layers) { layers[0].bias.clear(); }), Error);
  EXPECT_THROW(prepare([](auto& layers) {
                 layers.push_back({TrainedLayer::Kind::kDense, {}, 2, 1, false, {1, 1}, {0}, {}});
               }),
               Error);
}

}  // namespace
}  // namespace doppel
