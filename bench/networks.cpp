// The networks of images on one core: steps of training, classification, and making images (noise, decoding, bytes), of
// images of 28 x 28 levels. And steps of training on a CUDA device, one after another, with the copies of their
// batches, by the clock on the wall.
//   OMP_NUM_THREADS=1 build/release/bench/bench_networks
//
// `GFLOP/s` counts the multiply-adds of convolutions and dense layers as two each, and nothing else; `%ceiling` is
// their share of what oneDNN's product of square matrices attains in single precision in the same run: above 100 % in
// bfloat16.
#include <benchmark/benchmark.h>

#include <memory>
#include <random>

#include "bench/roofline.h"
#include "engine/models/image/classifier_network.h"
#include "engine/models/image/image_vae.h"
#include "engine/models/networks/network_trainer.h"
#include "engine/models/networks/trained_networks.h"
#include "kernels/cpu/network.h"
#include "kernels/cpu/product.h"
#include "kernels/cuda/cuda_backend.h"

namespace doppel {
namespace {

constexpr ImageShape kImage = {1, 28, 28};
constexpr int32_t kClasses = 10;
constexpr int64_t kTrainingRows = 128, kClassifiedRows = 256, kMadeRows = 8 * kImageBlockRows;
constexpr int kTries = 7;

double product_flops() {
  static const double ceiling = [] {
    constexpr int64_t kSize = 1024;
    const std::vector<float> a(kSize * kSize, 0.5f), b(kSize * kSize, 0.25f);
    std::vector<float> c(kSize * kSize);
    return 2.0 * kSize * kSize * kSize / roofline::best_seconds(CLOCK_THREAD_CPUTIME_ID, kTries, [&] {
             multiply(CblasNoTrans, CblasNoTrans, kSize, kSize, kSize, a.data(), b.data(), 0.0f, c.data());
           });
  }();
  return ceiling;
}

void set_counters(benchmark::State& state, int64_t rows, double operations_per_row, bool has_ceiling = true) {
  const double flops = 2 * operations_per_row * static_cast<double>(rows);
  state.counters["images/s"] = roofline::rate(static_cast<double>(rows));
  state.counters["GFLOP/s"] = roofline::rate(flops * 1e-9);
  if (has_ceiling) state.counters["%ceiling"] = roofline::rate(100 * flops / product_flops());
}

struct MadeUpImages {
  explicit MadeUpImages(int64_t rows)
      : levels(static_cast<size_t>(rows * kImage.size())), labels(static_cast<size_t>(rows)) {
    std::mt19937 random(1);
    for (float& level : levels) level = static_cast<float>(random() % 256) / 255;
    for (int32_t& label : labels) label = static_cast<int32_t>(random() % kClasses);
  }
  std::vector<float> levels;
  std::vector<int32_t> labels;
};

const ClassifierShape kClassifier = {kImage, kClasses, 32, 128};

void train(benchmark::State& state, PreparedTrainer& trainer, const std::string& backend, double operations_per_row) {
  constexpr int64_t kFirstSteps = 8;  // which record what later ones do
  const MadeUpImages images(kTrainingRows);
  int64_t number = 0;
  const auto step = [&] {
    const PreparedTrainer::Batch batch = trainer.batch();
    std::copy(images.levels.begin(), images.levels.end(), batch.x);
    std::copy(images.labels.begin(), images.labels.end(), batch.labels);
    const auto use = static_cast<uint32_t>(2 * number);
    trainer.step(kTrainingRows, {{1, use}, 1, 1e-4, ++number, 0});
  };
  while (backend != "cpu" && number < kFirstSteps) step();
  trainer.losses();
  for (auto _ : state) step();
  set_counters(state, kTrainingRows, operations_per_row, backend == "cpu");
  trainer.losses();
}

void train_classifier(benchmark::State& state, const std::string& backend) {
  ClassifierNetwork<float> network(kClassifier, 1);
  Adam<float> adam(parameters_of(network.layers()));
  AveragedParameters means(parameters_of(network.layers()), 1);
  NetworkTrainer trainer(network, adam, means, kTrainingRows, *make_backend(backend));
  train(state, *trainer, backend, ClassifierNetwork<float>::operations_per_row(kClassifier));
}

void classify(benchmark::State& state, Precision precision) {
  const MadeUpImages images(kClassifiedRows);
  TrainedClassifier network(ClassifierNetwork<float>(kClassifier, 1), precision, kClassifiedRows, *make_backend("cpu"));
  for (auto _ : state) benchmark::DoNotOptimize(network.forward(images.levels.data(), kClassifiedRows));
  double operations = static_cast<double>(kClassifier.features * (kClassifier.reduced().size() + kClasses));
  for (const ConvShape& block : kClassifier.blocks()) operations += block.operations();
  set_counters(state, kClassifiedRows, operations);
}

ImageVaeShape vae_shape(bool is_convolutional) {
  return {kImage, kClasses, is_convolutional, 24, 512, 32, PixelLikelihood::kBernoulli};
}

void train_vae(benchmark::State& state, bool is_convolutional, const std::string& backend) {
  const ImageVaeShape shape = vae_shape(is_convolutional);
  ImageVaeNetwork<float> network(shape, 1);
  Adam<float> adam(network.parameters());
  NetworkTrainer trainer(network, adam, kTrainingRows, *make_backend(backend));
  train(state, *trainer, backend, ImageVaeNetwork<float>::operations_per_row(shape));
}

std::shared_ptr<const ImageTexture> make_texture() {
  constexpr float kFactor = 0.1f, kNoise = 0.5f, kSpread = 30;
  ImageTexture texture{kImage.size(), kAutoTexture, {}, {}, {}};
  texture.spread.assign(static_cast<size_t>(kClasses * ImageTexture::kMeans), kSpread);
  texture.factor.assign(static_cast<size_t>(kClasses * kAutoTexture * kImage.size()), kFactor);
  texture.noise.assign(static_cast<size_t>(kClasses * kImage.size()), kNoise);
  return std::make_shared<const ImageTexture>(std::move(texture));
}

void make_images(benchmark::State& state, bool is_convolutional, Precision precision, bool has_texture) {
  const ImageVaeShape shape = vae_shape(is_convolutional);
  ImageSampler definition;
  definition.label_weights.assign(kClasses, 1);
  definition.decoder = trained_decoder(ImageDecoder<float>(shape, 1));
  definition.precision = precision;
  LatentMembers& members = definition.members;
  members.latent = shape.latent;
  members.first = {0};
  for (int32_t c = 0; c < kClasses; ++c) {
    members.weight.push_back(1);
    members.first.push_back(c + 1);
  }
  members.mean.assign(static_cast<size_t>(kClasses * shape.latent), 0.1f);
  members.factor.assign(static_cast<size_t>(kClasses * shape.latent * shape.latent), 0.1f);
  if (has_texture) definition.texture = make_texture();
  const auto sampler = make_backend("cpu")->prepare_image_sampler(definition);
  std::vector<uint8_t> pixels(static_cast<size_t>(kMadeRows * kImage.size()));
  std::vector<int32_t> labels(static_cast<size_t>(kMadeRows));
  uint64_t row = 0;
  for (auto _ : state) {
    sampler->sample(1, row, kMadeRows, pixels.data(), labels.data());
    row += kMadeRows;
  }
  set_counters(state, kMadeRows, ImageVaeNetwork<float>::operations_to_decode(shape));
}

void add_benchmarks() {
  const auto in_ms = [](auto* one) { one->Unit(benchmark::kMillisecond); };
  const auto add_training = [&](const std::string& backend, const std::string& suffix) {
    std::vector<benchmark::internal::Benchmark*> added = {
        benchmark::RegisterBenchmark(("train/classifier" + suffix).c_str(), train_classifier, backend)};
    for (const bool is_convolutional : {false, true}) {
      const std::string name = is_convolutional ? "train/vae/convolutional" : "train/vae/dense";
      added.push_back(benchmark::RegisterBenchmark((name + suffix).c_str(), train_vae, is_convolutional, backend));
    }
    for (auto* one : added) {
      in_ms(one);
      if (backend != "cpu") one->UseRealTime();
    }
  };
  add_training("cpu", "");
  if (cuda_devices() > 0) add_training("cuda", "/cuda");
  const std::vector<std::pair<std::string, Precision>> precisions = {{"", Precision::kSingle},
                                                                     {"/bf16", Precision::kBfloat16}};
  for (const auto& [suffix, precision] : precisions) {
    if (precision == Precision::kBfloat16 && !has_fast_bfloat16()) continue;
    in_ms(benchmark::RegisterBenchmark(("classify" + suffix).c_str(), classify, precision));
    for (const bool has_texture : {false, true}) {
      const std::string ending = suffix + (has_texture ? "/textured" : "");
      in_ms(benchmark::RegisterBenchmark(("make/vae/dense" + ending).c_str(), make_images, false, precision,
                                         has_texture));
      in_ms(benchmark::RegisterBenchmark(("make/vae/convolutional" + ending).c_str(), make_images, true, precision,
                                         has_texture));
    }
  }
  std::printf("Product of square matrices: %.0f GFLOP/s\n", product_flops() * 1e-9);
}

}  // namespace
}  // namespace doppel

int main(int argc, char** argv) {
  return doppel::roofline::run_benchmarks(argc, argv, false, doppel::add_benchmarks);
}
