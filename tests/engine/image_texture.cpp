// The texture of images of a VAE: what is found in images of a known one, what is made of it, its file.
#include "engine/models/image/image_texture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/models/image/image_vae.h"
#include "kernels/common/error.h"
#include "kernels/cpu/texture.h"
#include "tests/engine/image_cases.h"
#include "tests/engine/nn_cases.h"

namespace doppel {
namespace {

constexpr ImageShape kSmall = {1, 3, 4};
constexpr int64_t kLevels = 12, kClasses = 2, kDirections = 2;

// Two labels whose directions differ, with spreads that grow with the mean.
ImageTexture known_texture() {
  ImageTexture texture{kLevels, kDirections, {}, {}, {}};
  for (int64_t label = 0; label < kClasses; ++label)
    for (int64_t mean = 0; mean < ImageTexture::kMeans; ++mean)
      texture.spread.push_back(static_cast<float>(label + 1) * static_cast<float>(mean) / 16);
  const Numbers numbers = random_numbers(kClasses * kDirections * kLevels, 4);
  texture.factor.assign(numbers.begin(), numbers.end());
  for (int64_t i = 0; i < kClasses * kLevels; ++i) texture.noise.push_back(static_cast<float>(i % 5) / 4);
  return texture;
}

// Of deviations from means.
Numbers covariance(const std::vector<uint8_t>& pixels, const std::vector<float>& means) {
  Numbers sums(kLevels * kLevels);
  const int64_t rows = static_cast<int64_t>(pixels.size()) / kLevels;
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t i = 0; i < kLevels; ++i)
      for (int64_t j = 0; j < kLevels; ++j)
        sums[i * kLevels + j] += (pixels[row * kLevels + i] - static_cast<double>(means[row * kLevels + i])) *
                                 (pixels[row * kLevels + j] - static_cast<double>(means[row * kLevels + j])) /
                                 static_cast<double>(rows);
  return sums;
}

TEST(ImageTexture, LevelsAroundMeansAreRoundedAndClipped) {
  for (const int64_t count : {1, 15, 16, 17, 261}) {
    std::vector<float> means, deviations, noise, normals, spread(ImageTexture::kMeans);
    std::iota(spread.begin(), spread.end(), 1.0f);
    const Numbers numbers = random_numbers(3 * count, 3);
    for (int64_t i = 0; i < count; ++i) {
      means.push_back(static_cast<float>(std::clamp(128 + 90 * numbers[i], 0.0, 255.0)));
      deviations.push_back(static_cast<float>(numbers[count + i]));
      normals.push_back(static_cast<float>(numbers[2 * count + i]));
      noise.push_back(static_cast<float>(i % 3) / 3);
    }
    std::vector<uint8_t> levels(count);
    levels_around_means({means.data(), deviations.data(), noise.data(), normals.data(), spread.data()}, count,
                        levels.data());
    for (int64_t i = 0; i < count; ++i) {
      const double mean = means[i], scale = 1 + std::floor(mean + 0.5);
      const double level =
          mean + scale * (static_cast<double>(deviations[i]) + static_cast<double>(noise[i] * normals[i]));
      ASSERT_NEAR(levels[i], std::clamp(level, 0.0, 255.0), 0.501) << i << " of " << count;
    }
  }
}

TEST(ImageTexture, MeansThatAreNoNumbersAreLevelsAllTheSame) {  // of a model file whose weights overflow
  const std::vector<float> means(17, std::numeric_limits<float>::quiet_NaN()), ones(17, 1),
      spread(ImageTexture::kMeans, 3);
  std::vector<uint8_t> levels(17);
  levels_around_means({means.data(), ones.data(), ones.data(), ones.data(), spread.data()}, 17, levels.data());
  EXPECT_EQ(levels, std::vector<uint8_t>(17, 6));  // around 0
}

TEST(ImageTexture, MeansAreThoseOfTheLikelihood) {
  std::vector<float> logits, means(301);
  for (int i = 0; i < 301; ++i) logits.push_back(static_cast<float>(i - 150) / 15);
  means_of_outputs(PixelLikelihood::kBernoulli, logits.data(), 301, means.data());
  for (size_t i = 0; i < means.size(); ++i)
    ASSERT_NEAR(means[i], 255 / (1 + std::exp(-static_cast<double>(logits[i]))), 1e-3);
  const std::vector<float> heads = {-1, 0, 0.5f, 3, 2, 0};
  means_of_outputs(PixelLikelihood::kLogistic, heads.data(), 3, means.data());
  EXPECT_EQ(means[0], 0);
  EXPECT_EQ(means[1], 127.5f);
  EXPECT_EQ(means[2], 255);
}

TEST(ImageTexture, ImagesHaveTheCovarianceOfTheirLabel) {
  constexpr int64_t kRows = 40000;
  const ImageTexture texture = known_texture();
  TextureSampler sampler(std::make_shared<const ImageTexture>(texture));
  std::vector<int32_t> labels;
  std::vector<float> means, normals;
  for (const double normal : random_numbers(kDirections * kRows, 6)) normals.push_back(static_cast<float>(normal));
  for (int64_t row = 0; row < kRows; ++row) {
    labels.push_back(row % 3 == 0 ? 1 : 0);
    for (int64_t j = 0; j < kLevels; ++j)  // with fractions, so that rounding is noise
      means.push_back(static_cast<float>(90 + 6 * j) + static_cast<float>(row % 16) / 16 - 15.0f / 32);
  }
  constexpr double kScale = 0.5;
  std::vector<uint8_t> pixels(kRows * kLevels);
  sampler.make({1, 5, kRows, means.data(), labels.data(), normals.data(), 3, kScale}, pixels.data());
  for (int32_t label = 0; label < kClasses; ++label) {
    std::vector<uint8_t> of_label;
    std::vector<float> means_of_label;
    for (int64_t row = 0; row < kRows; ++row) {
      if (labels[row] != label) continue;
      of_label.insert(of_label.end(), pixels.begin() + row * kLevels, pixels.begin() + (row + 1) * kLevels);
      means_of_label.insert(means_of_label.end(), means.begin() + row * kLevels, means.begin() + (row + 1) * kLevels);
    }
    const Numbers found = covariance(of_label, means_of_label);
    const double count = static_cast<double>(of_label.size()) / kLevels;
    const auto expected = [&](int64_t i, int64_t j) {
      double sum = 0;
      for (int64_t k = 0; k < kDirections; ++k)
        sum += static_cast<double>(texture.factor[(label * kDirections + k) * kLevels + i]) *
               static_cast<double>(texture.factor[(label * kDirections + k) * kLevels + j]);
      const auto spread = [&](int64_t at) { return (label + 1) * (90 + 6 * static_cast<double>(at)) / 16; };
      const double noise = static_cast<double>(texture.noise[label * kLevels + i]);
      if (i == j) sum += noise * noise;
      return kScale * kScale * sum * spread(i) * spread(j) + (i == j ? 1.0 / 12 : 0);
    };
    for (int64_t i = 0; i < kLevels; ++i)
      for (int64_t j = 0; j < kLevels; ++j) {
        const double deviation =
            std::sqrt((std::pow(expected(i, j), 2) + expected(i, i) * expected(j, j)) / count);  // of normals
        EXPECT_NEAR(found[i * kLevels + j], expected(i, j), 5 * deviation + 0.02) << label << ": " << i << ", " << j;
      }
  }
}

// A decoder that says 127.5 of every level, and images that deviate from it in a known way. With as many directions as
// there are, or fewer: then the noise has the rest of the variances.
Numbers found_covariance(const ImageTexture& found, int64_t label) {
  Numbers sums(kLevels * kLevels);
  const double spread = found.spread[label * ImageTexture::kMeans + 128];
  for (int64_t i = 0; i < kLevels; ++i)
    for (int64_t j = 0; j < kLevels; ++j) {
      for (int64_t k = 0; k < found.directions; ++k)
        sums[i * kLevels + j] += spread * spread *
                                 static_cast<double>(found.factor[(label * found.directions + k) * kLevels + i]) *
                                 static_cast<double>(found.factor[(label * found.directions + k) * kLevels + j]);
      if (i == j) sums[i * kLevels + j] += std::pow(spread * static_cast<double>(found.noise[label * kLevels + i]), 2);
    }
  return sums;
}

TEST(ImageTexture, FindsHowImagesDeviateFromTheirMeans) {
  constexpr int64_t kImages = 6000;
  Images images{kSmall, {}, {}, {"a", "b"}};
  const Numbers numbers = random_numbers(kImages * kDirections, 8);
  ImageTexture known = known_texture();
  for (int64_t i = 0; i < kImages; ++i) {
    const auto label = static_cast<int32_t>(i % kClasses);
    images.labels.push_back(label);
    for (int64_t j = 0; j < kLevels; ++j) {
      double level = 127.5;
      for (int64_t k = 0; k < kDirections; ++k)
        level += 8 * numbers[i * kDirections + k] *
                 static_cast<double>(known.factor[(label * kDirections + k) * kLevels + j]);
      images.pixels.push_back(static_cast<uint8_t>(std::clamp(level + 0.5, 0.0, 255.0)));
    }
  }
  ImageVaeNetwork<float> network({kSmall, kClasses, false, 2, 8, 1, PixelLikelihood::kBernoulli}, 1);
  for (Parameter<float>* parameter : parameters_of(network.decoder().layers()))
    std::fill(parameter->value.begin(), parameter->value.end(), 0.0f);
  std::vector<int64_t> all(kImages);
  std::iota(all.begin(), all.end(), int64_t{0});
  TrainedVae trained(network, kEncodedRows, *make_backend("cpu"));
  const ImageTexture found = fit_texture(trained, images, all, 3, 1, {});
  ASSERT_EQ(found.directions, 3);
  ASSERT_EQ(found.factor.size(), static_cast<size_t>(kClasses * 3 * kLevels));
  const ImageTexture fewer = fit_texture(trained, images, all, 1, 1, {});
  for (int64_t label = 0; label < kClasses; ++label) {
    const Numbers covariance = found_covariance(found, label), variances = found_covariance(fewer, label);
    double largest = 0;
    for (int64_t i = 0; i < kLevels; ++i)
      for (int64_t j = 0; j < kLevels; ++j) {
        double expected = 0;
        for (int64_t k = 0; k < kDirections; ++k)
          expected += 64 * static_cast<double>(known.factor[(label * kDirections + k) * kLevels + i]) *
                      static_cast<double>(known.factor[(label * kDirections + k) * kLevels + j]);
        largest = std::max(largest, std::abs(expected));
        // A covariance of 3,000 normals is known to sqrt(2 / 3000) of the variances; rounding adds 1 / 12.
        const double tolerance = 5 * std::sqrt(2.0 / 3000) * largest + 0.3;
        EXPECT_NEAR(covariance[i * kLevels + j], expected, tolerance) << label << ": " << i << ", " << j;
        if (i == j) {
          EXPECT_NEAR(variances[i * kLevels + i], expected, tolerance) << label << ": " << i;
        }
      }
  }
}

TEST(ImageTexture, FewImagesHaveFewDirections) {
  const Images images = make_bars(60, {1, 12, 10}, 3, 3);
  ImageVaeNetwork<float> network({images.shape, 3, false, 2, 8, 1, PixelLikelihood::kBernoulli}, 1);
  std::vector<int64_t> all(60);
  std::iota(all.begin(), all.end(), int64_t{0});
  TrainedVae trained(network, kEncodedRows, *make_backend("cpu"));
  const ImageTexture texture = fit_texture(trained, images, all, 4, 1, {});
  for (int64_t label = 0; label < 3; ++label) {  // of 20 images each, or about
    const auto of_direction = [&](int64_t k) {
      const auto begin = texture.factor.begin() + (label * 4 + k) * texture.levels;
      return std::any_of(begin, begin + texture.levels, [](float value) { return value != 0; });
    };
    EXPECT_TRUE(of_direction(0));
    EXPECT_FALSE(of_direction(2));
    EXPECT_FALSE(of_direction(3));
  }
}

TEST(ImageTexture, ImagesOfAVaeDeviateFromItsMeansByIt) {
  const Images bars = make_bars(300, {1, 12, 10}, 3, 3);
  ImageVaeOptions options;
  options.is_convolutional = false;
  options.latent = 3;
  options.hidden = 16;
  options.schedule.epochs = 4;
  options.seed = 2;
  const std::unique_ptr<Backend> backend = make_backend("cpu");
  const ImageVae with = ImageVae::fit(bars, options, *backend);
  options.texture = 0;
  const ImageVae without = ImageVae::fit(bars, options, *backend);
  ASSERT_NE(with.texture(), nullptr);
  EXPECT_EQ(without.texture(), nullptr);
  constexpr int64_t kRows = 200;
  const auto made = [&](const ImageVae& vae, double temperature) {
    std::vector<uint8_t> pixels(kRows * bars.shape.size());
    backend->prepare_image_sampler(vae.image_sampler({1, 1, 1}, temperature))
        ->sample(1, 3, kRows, pixels.data(), nullptr);
    return pixels;
  };
  const auto difference = [](const std::vector<uint8_t>& a, const std::vector<uint8_t>& b) {
    double squares = 0;
    for (size_t i = 0; i < a.size(); ++i) squares += std::pow(a[i] - b[i], 2) / static_cast<double>(a.size());
    return std::sqrt(squares);
  };
  EXPECT_GT(difference(made(with, 1), made(without, 1)), 10);
  EXPECT_LT(difference(made(with, 0.001), made(without, 0.001)), 0.5);
  EXPECT_EQ(made(ImageVae::load(parse_model_file(serialise(with.save()), "test")), 1), made(with, 1));
}

TEST(ImageTexture, DamagedFilesAreRefused) {
  ModelFile file;
  EXPECT_EQ(load_texture(file, kClasses, kLevels), nullptr);
  save_texture(known_texture(), file);
  const auto back = load_texture(file, kClasses, kLevels);
  ASSERT_NE(back, nullptr);
  EXPECT_EQ(back->factor, known_texture().factor);
  EXPECT_EQ(back->spread, known_texture().spread);
  EXPECT_EQ(back->noise, known_texture().noise);
  EXPECT_THROW(load_texture(file, kClasses, kLevels + 1), InputError);
  EXPECT_THROW(load_texture(file, kClasses + 1, kLevels), InputError);
  ModelFile damaged = file;
  damaged.tensors.erase("texture.spread");
  EXPECT_THROW(load_texture(damaged, kClasses, kLevels), InputError);
  damaged = file;
  damaged.tensors.erase("texture.noise");
  EXPECT_THROW(load_texture(damaged, kClasses, kLevels), InputError);
  damaged = file;
  std::vector<float> factor = known_texture().factor;
  factor[3] = std::numeric_limits<float>::quiet_NaN();
  damaged.tensors["texture.factor"] = Tensor::from(factor, {kClasses, kDirections, kLevels});
  EXPECT_THROW(load_texture(damaged, kClasses, kLevels), InputError);
}

}  // namespace
}  // namespace doppel
