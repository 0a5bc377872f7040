// The image VAE: its network's gradients against differences, learning, what it makes, its file; the mixture of
// encodings.
#include "engine/models/image/image_vae.h"

#include <gtest/gtest.h>

#include <cmath>

#include "engine/models/networks/latent_mixture.h"
#include "engine/nn/training.h"
#include "kernels/common/error.h"
#include "kernels/cpu/image_sampler.h"
#include "tests/engine/image_cases.h"
#include "tests/engine/nn_cases.h"

namespace doppel {
namespace {

constexpr ImageShape kSmall = {1, 12, 10};

ImageVaeOptions quick_options(bool is_convolutional) {
  ImageVaeOptions options;
  options.is_convolutional = is_convolutional;
  options.latent = 4;
  options.hidden = 32;
  options.channels = 8;
  options.schedule.epochs = 16;
  options.schedule.batch_rows = 32;
  options.schedule.rate = 4e-3;
  options.held_out = 0.1;
  options.seed = 5;
  return options;
}

const Backend& backend() {
  static const std::unique_ptr<Backend> cpu = make_backend("cpu");
  return *cpu;
}

std::unique_ptr<PreparedImageSampler> sampler_of(const ImageVae& vae, const std::vector<double>& label_weights,
                                                 double temperature) {
  return backend().prepare_image_sampler(vae.image_sampler(label_weights, temperature));
}

// A model of bars of three directions that several tests look at: fitted once a process.
const ModelFile& bars_model() {
  static const ModelFile file = ImageVae::fit(make_bars(600, kSmall, 3, 3), quick_options(true), backend()).save();
  return file;
}

TEST(ImageVaeShape, BlocksHalveAnImageUntilItIsSmall) {
  ImageVaeShape shape;
  shape.image = {1, 28, 28};
  ASSERT_EQ(shape.blocks().size(), 2u);
  EXPECT_EQ(shape.reduced(), (ImageShape{64, 7, 7}));
  shape.image = {3, 128, 96};
  EXPECT_EQ(shape.reduced(), (ImageShape{256, 8, 6}));
  shape.is_convolutional = false;
  EXPECT_TRUE(shape.blocks().empty());
  EXPECT_EQ(shape.reduced(), shape.image);
}

TEST(ImageVaeNetwork, GradientsAreThoseOfDifferences) {
  for (const bool is_convolutional : {false, true})
    for (const auto likelihood : {PixelLikelihood::kBernoulli, PixelLikelihood::kLogistic})
      for (const int32_t classes : {0, 3}) {
        const ImageVaeShape shape{{2, 18, 9}, classes, is_convolutional, 3, 5, 2, likelihood};
        ImageVaeNetwork<double> network(shape, 1);
        Numbers images = random_numbers(2 * shape.image.size(), 2);
        for (double& level : images) level = std::round(255 * std::clamp(0.5 + 0.4 * level, 0.0, 1.0)) / 255;
        const Numbers noise = random_numbers(2 * shape.latent, 3);
        const std::vector<int32_t> labels = {2, 0};
        const auto loss = [&] {
          const VaeLoss sum = network.forward(images.data(), labels.data(), noise.data(), 2);
          return (sum.reconstruction + 0.7 * sum.divergence) / 2;
        };
        loss();
        network.backward(images.data(), labels.data(), noise.data(), 0.7, 2);
        const auto parameters = network.parameters();
        for (size_t p = 0; p < parameters.size(); ++p) {
          // Of large layers a part: all share one code.
          Parameter<double>& parameter = *parameters[p];
          const size_t some = std::min<size_t>(parameter.value.size(), 25);
          Numbers values(parameter.value.end() - static_cast<int64_t>(some), parameter.value.end());
          const Numbers gradient(parameter.gradient.end() - static_cast<int64_t>(some), parameter.gradient.end());
          expect_gradient(values, gradient, [&] {
            std::copy(values.begin(), values.end(), parameter.value.end() - static_cast<int64_t>(some));
            return loss();
          });
          std::copy(values.begin(), values.end(), parameter.value.end() - static_cast<int64_t>(some));
        }
      }
}

TEST(LatentMixture, FindsClustersThatOneNormalMisses) {
  std::vector<float> training, held_out, normal;
  const Numbers numbers = random_numbers(6000, 1);
  for (size_t i = 0; i < numbers.size(); i += 2) {
    std::vector<float>& to = i % 10 == 0 ? held_out : training;
    to.push_back(static_cast<float>((i % 4 == 0 ? 3 : -3) + 0.2 * numbers[i]));
    to.push_back(static_cast<float>(0.2 * numbers[i + 1]));
    normal.push_back(static_cast<float>(numbers[i]));
    normal.push_back(static_cast<float>(numbers[i + 1]));
  }
  const LatentMixture mixture = fit_latent_mixture(training, held_out, 2, 2, 1e9, {}, backend());
  EXPECT_GE(mixture.parameters->members, 2);
  const double ideal = -std::log(2.0) - std::log(2 * M_PI) - 2 * std::log(0.2) - 1;
  EXPECT_NEAR(*mixture.held_out, ideal, 0.1);
  EXPECT_LT(log_density_of_normal(held_out, 2), ideal - 3);
  EXPECT_NEAR(log_density_of_normal(normal, 2), -std::log(2 * M_PI) - 1, 0.06);
}

TEST(ImageVae, LearnsBothKindsOfNetworkAndLikelihood) {
  const Images all = make_bars(600, kSmall, 3, 3);
  for (const bool is_convolutional : {false, true})
    for (const auto likelihood : {PixelLikelihood::kBernoulli, PixelLikelihood::kLogistic}) {
      ImageVaeOptions options = quick_options(is_convolutional);
      options.likelihood = likelihood;
      options.schedule.epochs = 6;
      ImageVae vae = ImageVae::fit(all, options, backend());
      ASSERT_FALSE(vae.epochs().empty());
      EXPECT_LT(vae.epochs().back().held_out.total(), vae.epochs().front().training.total());
      EXPECT_GT(vae.epochs().back().held_out.divergence, 0.1) << "latents say something";
      const Images part = part_of(all, 0, 50);
      EXPECT_TRUE(std::isfinite(vae.loss(part, 1).total()));
    }
}

TEST(ImageVae, LearnsImagesWithoutLabels) {
  Images images = make_bars(100, {3, 9, 9}, 2, 3);
  images.labels.clear();
  images.label_names.clear();
  ImageVaeOptions options = quick_options(true);
  options.schedule.epochs = 1;
  ImageVae vae = ImageVae::fit(images, options, backend());
  EXPECT_TRUE(vae.label_names().empty());
  std::vector<uint8_t> pixels(5 * 243);
  sampler_of(vae, {}, 1)->sample(1, 0, 5, pixels.data(), nullptr);
  ImageVae loaded = ImageVae::load(parse_model_file(serialise(vae.save()), "test"));
  EXPECT_EQ(loaded.encode(images), vae.encode(images));
}

// What a made image is most like: the mean of which class's real images is nearest.
int32_t nearest_class(const Images& real, const uint8_t* image) {
  const auto size = static_cast<size_t>(real.shape.size());
  std::vector<Numbers> means(real.label_names.size(), Numbers(size));
  Numbers counts(means.size());
  for (int64_t i = 0; i < real.count(); ++i) {
    const auto label = static_cast<size_t>(real.labels[static_cast<size_t>(i)]);
    counts[label] += 1;
    for (size_t p = 0; p < size; ++p) means[label][p] += real.image(i)[p];
  }
  int32_t best = 0;
  double least = INFINITY;
  for (size_t c = 0; c < means.size(); ++c) {
    double distance = 0;
    for (size_t p = 0; p < size; ++p) distance += std::pow(image[p] - means[c][p] / counts[c], 2);
    if (distance < least) least = distance, best = static_cast<int32_t>(c);
  }
  return best;
}

TEST(ImageVae, MakesImagesOfTheLabelsAskedFor) {
  const ImageVae vae = ImageVae::load(bars_model());
  const Images real = make_bars(600, kSmall, 3, 3);
  const auto size = static_cast<size_t>(kSmall.size());
  constexpr int64_t kRows = 300;
  std::vector<uint8_t> pixels(kRows * size);
  std::vector<int32_t> labels(kRows);
  sampler_of(vae, {1, 0, 3}, 0.5)->sample(1, 0, kRows, pixels.data(), labels.data());
  int64_t first = 0, right = 0;
  for (int64_t row = 0; row < kRows; ++row) {
    ASSERT_NE(labels[row], 1);
    first += labels[row] == 0;
    right += nearest_class(real, pixels.data() + row * static_cast<int64_t>(size)) == labels[row];
  }
  EXPECT_NEAR(static_cast<double>(first), 0.25 * kRows, 4 * std::sqrt(0.25 * 0.75 * kRows));
  EXPECT_GT(static_cast<double>(right) / kRows, 0.6);  // by chance 1/3; bars at the edge are near to other means
}

TEST(ImageVae, AnImageDependsOnItsNumberAlone) {
  const ImageVae vae = ImageVae::load(bars_model());
  const auto size = static_cast<size_t>(kSmall.size());
  constexpr int64_t kRows = 2 * kImageBlockRows + 3, kFirst = kImageBlockRows - 2;
  std::vector<uint8_t> whole(kRows * size), parts(kRows * size);
  std::vector<int32_t> labels(kRows), part_labels(kRows);
  sampler_of(vae, {1, 1, 1}, 1)->sample(7, kFirst, kRows, whole.data(), labels.data());
  int64_t done = 0;
  for (const int64_t rows : {int64_t{1}, int64_t{2}, kImageBlockRows, int64_t{kRows - 3 - kImageBlockRows}}) {
    const auto sampler = sampler_of(vae, {1, 1, 1}, 1);
    sampler->sample(7, kFirst + static_cast<uint64_t>(done), rows, parts.data() + done * static_cast<int64_t>(size),
                    part_labels.data() + done);
    done += rows;
  }
  ASSERT_EQ(done, kRows);
  EXPECT_EQ(parts, whole);
  EXPECT_EQ(part_labels, labels);
  std::vector<uint8_t> other(kRows * size);
  sampler_of(vae, {1, 1, 1}, 1)->sample(8, kFirst, kRows, other.data(), nullptr);
  EXPECT_NE(other, whole);
}

TEST(ImageVae, DecodesWhatItEncodes) {
  ImageVae vae = ImageVae::load(bars_model());
  const Images real = part_of(make_bars(600, kSmall, 3, 3), 0, 200);
  const Images back = vae.decode(vae.encode(real), real.labels);
  ASSERT_EQ(back.pixels.size(), real.pixels.size());
  double error = 0, spread = 0, mean = 0;
  for (const uint8_t level : real.pixels) mean += level / static_cast<double>(real.pixels.size());
  for (size_t i = 0; i < real.pixels.size(); ++i) {
    error += std::pow(static_cast<double>(back.pixels[i]) - real.pixels[i], 2);
    spread += std::pow(real.pixels[i] - mean, 2);
  }
  EXPECT_LT(error, 0.5 * spread);
}

TEST(ImageVae, ComesBackFromItsFile) {
  ImageVae vae = ImageVae::load(bars_model());
  EXPECT_EQ(serialise(vae.save()), serialise(bars_model()));
  const Images images = make_bars(20, kSmall, 3, 9);
  ImageVae again = ImageVae::load(parse_model_file(serialise(vae.save()), "test"));
  EXPECT_EQ(again.encode(images), vae.encode(images));
  EXPECT_EQ(again.has_mixture(), vae.has_mixture());
}

TEST(ImageVae, LevelsAreRoundedMeans) {
  constexpr int64_t kCount = 3001;
  std::vector<float> logits(kCount);
  for (size_t i = 0; i < logits.size(); ++i) logits[i] = (static_cast<float>(i) - 1500) / 150;
  std::vector<uint8_t> levels(kCount);
  levels_of_outputs(PixelLikelihood::kBernoulli, logits.data(), kCount, levels.data());
  for (size_t i = 0; i < logits.size(); ++i)
    ASSERT_NEAR(levels[i], 255 / (1 + std::exp(-static_cast<double>(logits[i]))), 0.501) << logits[i];
  const std::vector<float> heads = {-1, 0, 0.5f, 3, 2, 0, 0.2f, 1};
  levels_of_outputs(PixelLikelihood::kLogistic, heads.data(), 4, levels.data());
  EXPECT_EQ(levels[0], 0);
  EXPECT_EQ(levels[1], 128);
  EXPECT_EQ(levels[2], 255);
  EXPECT_EQ(levels[3], 51);
}

TEST(ImageVae, RefusesWhatItCannotLearnFromOrMake) {
  Images images = make_bars(60, kSmall, 3, 3);
  ImageVaeOptions options = quick_options(false);
  options.schedule.epochs = 1;
  EXPECT_THROW(ImageVae::fit({kSmall, {}, {}, {}}, options, backend()), InputError);
  images.label_names.push_back("none");
  ImageVae vae = ImageVae::fit(images, options, backend());
  EXPECT_NO_THROW(sampler_of(vae, {1, 1, 1, 0}, 1));
  EXPECT_THROW(sampler_of(vae, {1, 1, 1, 1}, 1), UsageError);
  EXPECT_THROW(sampler_of(vae, {0, 0, 0, 0}, 1), UsageError);
  EXPECT_THROW(vae.encode(make_bars(2, {1, 10, 12}, 3, 1)), InputError);
  images.labels.pop_back();
  EXPECT_THROW(ImageVae::fit(images, options, backend()), InputError);
}

TEST(ImageVae, DamagedFilesAreRefused) {
  ASSERT_TRUE(ImageVae::load(bars_model()).has_mixture());
  const auto refuses = [&](const auto& damage) {
    ModelFile damaged = bars_model();
    damage(damaged);
    EXPECT_THROW(ImageVae::load(damaged), InputError);
  };
  refuses([](ModelFile& f) { f.metadata["kind"] = "image-cnn"; });
  refuses([](ModelFile& f) { f.metadata["version"] = 9; });
  refuses([](ModelFile& f) { f.metadata["image"]["width"] = 0; });
  refuses([](ModelFile& f) { f.metadata["network"]["latent"] = 5; });
  refuses([](ModelFile& f) { f.metadata["network"]["likelihood"] = "gauss"; });
  refuses([](ModelFile& f) { f.metadata["network"] = 1; });
  refuses([](ModelFile& f) { f.metadata["prior"] = "none"; });
  refuses([](ModelFile& f) { f.metadata["label_shares"] = {1.0}; });
  refuses([](ModelFile& f) { f.metadata["label_names"] = {"a", "b"}; });
  refuses([](ModelFile& f) { f.tensors.erase("decoder.label"); });
  refuses([](ModelFile& f) { f.tensors.erase("encoder.0.weight"); });
  refuses([](ModelFile& f) { f.tensors.erase("prior.mean"); });
  refuses([](ModelFile& f) {
    auto of_class = f.tensors["prior.class"].to<int32_t>();
    of_class.back() = 3;
    f.tensors["prior.class"] = Tensor::from(of_class, {static_cast<int64_t>(of_class.size())});
  });
}

}  // namespace
}  // namespace doppel
