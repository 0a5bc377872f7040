#include "engine/models/image/image_texture.h"

#include <algorithm>
#include <cmath>

#include "engine/models/image/image_vae_trainer.h"
#include "engine/models/leading_directions.h"
#include "kernels/common/error.h"
#include "kernels/cpu/texture.h"

namespace doppel {
namespace {

constexpr int64_t kMeans = ImageTexture::kMeans;
constexpr int64_t kBlockRows = 256;
constexpr int64_t kMostDifferences = int64_t{1} << 24;  // held, of a label
constexpr int64_t kImagesPerDirection = 16;
constexpr int kReach = 12;             // of the smoothing of spreads over means ...
constexpr double kSmoothing = 4;       // ... whose weights are normal, of this deviation
constexpr double kPooledLevels = 100;  // as many levels of any mean as count beside those of one
constexpr double kLeastSpread = 0.5;   // less is rounding

// How images of a label differ from what their encodings decode to.
struct Differences {
  int64_t levels = 0;
  std::vector<uint8_t> mean;  // [images, levels], rounded
  std::vector<float> value;   // [images, levels]
};

Differences find_differences(TrainedVae& network, const Images& images, const std::vector<int64_t>& which,
                             uint64_t seed) {
  const int64_t levels = images.shape.size(), latent = network.shape().latent;
  const auto count = static_cast<int64_t>(which.size());
  const std::vector<float> latents = draw_latents(encode_images(network, images, which), latent, 1, seed);
  Differences found{levels, {}, {}};
  found.mean.resize(static_cast<size_t>(count * levels));
  found.value.resize(static_cast<size_t>(count * levels));
  std::vector<int32_t> labels;
  for (int64_t first = 0; first < count; first += kBlockRows) {
    const int64_t rows = std::min(kBlockRows, count - first);
    labels.assign(static_cast<size_t>(rows), 0);
    if (!images.labels.empty())
      for (int64_t row = 0; row < rows; ++row)
        labels[static_cast<size_t>(row)] = images.labels[static_cast<size_t>(which[static_cast<size_t>(first + row)])];
    const float* outputs = network.decode(latents.data() + first * latent, labels.data(), rows);
    float* values = found.value.data() + first * levels;
    means_of_outputs(network.shape().likelihood, outputs, rows * levels, values);
    for (int64_t row = 0; row < rows; ++row) {
      const uint8_t* image = images.image(which[static_cast<size_t>(first + row)]);
      for (int64_t j = 0; j < levels; ++j) {
        float& value = values[row * levels + j];
        found.mean[static_cast<size_t>((first + row) * levels + j)] = static_cast<uint8_t>(value + 0.5f);
        value = static_cast<float>(image[j]) - value;
      }
    }
  }
  return found;
}

std::vector<float> spread_by_mean(const Differences& differences) {
  std::vector<double> count(kMeans), squares(kMeans);
  double all = 0;
  for (size_t i = 0; i < differences.value.size(); ++i) {
    const double square = std::pow(static_cast<double>(differences.value[i]), 2);
    count[differences.mean[i]] += 1;
    squares[differences.mean[i]] += square;
    all += square;
  }
  const double pooled = all / static_cast<double>(std::max<size_t>(differences.value.size(), 1));
  std::vector<float> spread;
  for (int mean = 0; mean < static_cast<int>(kMeans); ++mean) {
    double weights = kPooledLevels, sum = kPooledLevels * pooled;
    for (int other = std::max(mean - kReach, 0); other <= std::min(mean + kReach, static_cast<int>(kMeans) - 1);
         ++other) {
      const double weight = std::exp(-0.5 * std::pow((other - mean) / kSmoothing, 2));
      weights += weight * count[static_cast<size_t>(other)];
      sum += weight * squares[static_cast<size_t>(other)];
    }
    spread.push_back(static_cast<float>(std::max(std::sqrt(sum / weights), kLeastSpread)));
  }
  return spread;
}

// To factor [directions, levels] and noise [levels].
void find_factor(Differences& differences, const std::vector<float>& spread, int64_t directions, float* factor,
                 float* noise) {
  for (size_t i = 0; i < differences.value.size(); ++i) differences.value[i] /= spread[differences.mean[i]];
  const int64_t levels = differences.levels, count = static_cast<int64_t>(differences.value.size()) / levels;
  const int64_t kept = std::min(directions, count / kImagesPerDirection);
  const Directions found = leading_directions(levels, kept, [&](const RowConsumer& take) {
    for (int64_t first = 0; first < count; first += kBlockRows)
      take(differences.value.data() + first * levels, std::min(kBlockRows, count - first));
  });
  for (int64_t k = 0; k < static_cast<int64_t>(found.values.size()); ++k) {
    const auto stride = static_cast<int64_t>(found.values.size());
    const double deviation = std::sqrt(found.values[static_cast<size_t>(k)] / static_cast<double>(count));
    for (int64_t j = 0; j < levels; ++j)
      factor[k * levels + j] = static_cast<float>(deviation * found.vectors[static_cast<size_t>(j * stride + k)]);
  }
  std::vector<double> variance(static_cast<size_t>(levels));
  for (size_t i = 0; i < differences.value.size(); ++i)
    variance[i % variance.size()] +=
        std::pow(static_cast<double>(differences.value[i]), 2) / static_cast<double>(count);
  for (int64_t j = 0; j < levels; ++j) {
    double left = variance[static_cast<size_t>(j)];
    for (int64_t k = 0; k < directions; ++k) left -= std::pow(static_cast<double>(factor[k * levels + j]), 2);
    noise[j] = static_cast<float>(std::sqrt(std::max(left, 0.0)));
  }
}

}  // namespace

ImageTexture fit_texture(TrainedVae& network, const Images& images, const std::vector<int64_t>& which,
                         int64_t directions, uint64_t seed, const std::function<void(double)>& progress) {
  const int64_t levels = images.shape.size(), classes = std::max(network.shape().classes, 1);
  ImageTexture texture{levels, directions, {}, {}, {}};
  texture.factor.resize(static_cast<size_t>(classes * directions * levels));
  texture.noise.resize(static_cast<size_t>(classes * levels));
  const auto most = static_cast<size_t>(std::max(kMostDifferences / levels, kImagesPerDirection));
  for (int64_t label = 0; label < classes; ++label) {
    if (progress) progress(static_cast<double>(label) / static_cast<double>(classes));
    std::vector<int64_t> of_label;
    for (const int64_t image : which)
      if (of_label.size() < most && (images.labels.empty() || images.labels[static_cast<size_t>(image)] == label))
        of_label.push_back(image);
    Differences differences = find_differences(network, images, of_label, seed);
    const std::vector<float> spread = spread_by_mean(differences);
    find_factor(differences, spread, directions, texture.factor.data() + label * directions * levels,
                texture.noise.data() + label * levels);
    texture.spread.insert(texture.spread.end(), spread.begin(), spread.end());
  }
  return texture;
}

void save_texture(const ImageTexture& texture, ModelFile& file) {
  const auto classes = static_cast<int64_t>(texture.spread.size()) / kMeans;
  file.tensors["texture.spread"] = Tensor::from(texture.spread, {classes, kMeans});
  file.tensors["texture.factor"] = Tensor::from(texture.factor, {classes, texture.directions, texture.levels});
  file.tensors["texture.noise"] = Tensor::from(texture.noise, {classes, texture.levels});
}

std::shared_ptr<const ImageTexture> load_texture(const ModelFile& file, int64_t classes, int64_t levels) {
  if (!file.tensors.contains("texture.factor")) return nullptr;
  ImageTexture texture;
  texture.levels = levels;
  texture.directions = file.tensor("texture.factor", {classes, -1, levels}).shape[1];
  if (texture.directions < 1 || classes * texture.directions * levels > kMostTextureWeights)
    throw InputError("model file: 'texture.factor' has no or too many directions");
  texture.spread = finite_values(file, "texture.spread", {classes, kMeans});
  texture.factor = finite_values(file, "texture.factor", {classes, texture.directions, levels});
  texture.noise = finite_values(file, "texture.noise", {classes, levels});
  return std::make_shared<const ImageTexture>(std::move(texture));
}

}  // namespace doppel
