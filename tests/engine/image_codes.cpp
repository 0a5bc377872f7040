// Images as a generator's codes: the plane that they are shown in, the ways between images, the history of a training.
#include "engine/evaluation/image_codes.h"

#include <gtest/gtest.h>

#include <cmath>
#include <memory>
#include <nlohmann/json.hpp>
#include <random>
#include <set>

#include "engine/evaluation/training_history.h"
#include "engine/image/image_schema.h"
#include "engine/model.h"
#include "tests/engine/image_cases.h"

namespace doppel {
namespace {

constexpr uint64_t kSeed = 5;

const Backend& cpu() {
  static const std::unique_ptr<Backend> backend = make_backend("cpu");
  return *backend;
}

// An image of three pixels as a code of their levels, and back; the last pixel becomes ten times the label.
class PixelCoder : public Coder {
 public:
  explicit PixelCoder(std::vector<std::string> labels) : rows_(make_image_schema({1, 1, 3}, labels)) {}
  int64_t width() const override { return 3; }
  Storage storage() const override { return Storage::kFloat32; }
  const TableSchema& schema() const override { return schema_; }
  const OutputSchema& rows() const override { return rows_; }
  int64_t worker_bytes() const override { return 0; }
  std::unique_ptr<CoderWorker> make_worker() const override { return std::make_unique<Worker>(); }

 private:
  struct Worker : CoderWorker {
    void encode(const Images& images, int64_t first, int64_t rows, double* codes) override {
      std::copy(images.image(first), images.image(first + rows), codes);
    }
    void decode(const double* codes, const int32_t* labels, int64_t rows, Batch& batch) override {
      for (int64_t row = 0; row < rows; ++row)
        for (int64_t j = 0; j < 3; ++j)
          batch.images()[row * 3 + j] =
              static_cast<uint8_t>(j < 2 ? std::lround(codes[row * 3 + j]) : 10 * labels[row]);
    }
  };
  OutputSchema rows_;
  TableSchema schema_;
};

Images random_pixels(int64_t count, int32_t classes) {
  std::mt19937_64 random(kSeed);
  Images images;
  images.shape = {1, 1, 3};
  for (int32_t c = 0; c < classes; ++c) images.label_names.push_back(std::to_string(c));
  for (int64_t i = 0; i < count; ++i) {
    if (classes > 0) images.labels.push_back(static_cast<int32_t>(i % classes));
    for (int64_t j = 0; j < 3; ++j) images.pixels.push_back(static_cast<uint8_t>(random() % 256));
  }
  return images;
}

// The eigenvector of the largest eigenvalue by powers of a matrix, deflated by those already found.
std::vector<double> leading_vector(std::vector<double> matrix, const std::vector<std::vector<double>>& found) {
  const auto width = static_cast<size_t>(std::lround(std::sqrt(static_cast<double>(matrix.size()))));
  std::vector<double> vector(width, 1);
  vector[0] = 0.5;
  for (int round = 0; round < 3000; ++round) {
    std::vector<double> next(width);
    for (size_t i = 0; i < width; ++i)
      for (size_t j = 0; j < width; ++j) next[i] += matrix[i * width + j] * vector[j];
    for (const std::vector<double>& other : found) {
      double along = 0;
      for (size_t i = 0; i < width; ++i) along += next[i] * other[i];
      for (size_t i = 0; i < width; ++i) next[i] -= along * other[i];
    }
    double square = 0;
    for (const double value : next) square += value * value;
    for (size_t i = 0; i < width; ++i) vector[i] = next[i] / std::sqrt(square);
  }
  return vector;
}

TEST(CodeScatter, IsTheProjectionOnTheTwoLeadingDirectionsOfRealCodes) {
  constexpr size_t kWidth = 5, kReal = 300, kSynthetic = 20;
  std::mt19937_64 random(kSeed);
  std::normal_distribution<float> normal;
  std::vector<float> real, synthetic;
  for (size_t i = 0; i < kReal + kSynthetic; ++i) {
    const float common = 3 * normal(random), second = 2 * normal(random);
    std::vector<float>& codes = i < kReal ? real : synthetic;
    for (size_t j = 0; j < kWidth; ++j)
      codes.push_back(7 + common * static_cast<float>(j) + (j % 2 == 0 ? second : -second) + normal(random));
  }
  std::vector<double> mean(kWidth), covariance(kWidth * kWidth);
  for (size_t i = 0; i < real.size(); ++i) mean[i % kWidth] += static_cast<double>(real[i]) / kReal;
  for (size_t i = 0; i < kReal; ++i)
    for (size_t j = 0; j < kWidth; ++j)
      for (size_t k = 0; k < kWidth; ++k)
        covariance[j * kWidth + k] += (static_cast<double>(real[i * kWidth + j]) - mean[j]) *
                                      (static_cast<double>(real[i * kWidth + k]) - mean[k]) / (kReal - 1);
  const std::vector<double> first = leading_vector(covariance, {}), other = leading_vector(covariance, {first});

  const CodeScatter scatter = scatter_codes(real, synthetic, kWidth, cpu());
  ASSERT_EQ(scatter.real_x.size(), kReal);
  ASSERT_EQ(scatter.synthetic_y.size(), kSynthetic);
  double total = 0, square_x = 0, square_y = 0;
  for (size_t j = 0; j < kWidth; ++j) total += covariance[j * (kWidth + 1)];
  const auto check = [&](const std::vector<float>& codes, const std::vector<double>& along,
                         const std::vector<double>& direction) {
    double naive_first = 0;
    for (size_t i = 0; i < along.size(); ++i) {
      double naive = 0;
      for (size_t j = 0; j < kWidth; ++j)
        naive += (static_cast<double>(codes[i * kWidth + j]) - mean[j]) * direction[j];
      if (i == 0) naive_first = naive;
      EXPECT_NEAR(along[i] * along[0], naive * naive_first, 1e-7 * total);  // whatever the direction's sign
    }
  };
  check(real, scatter.real_x, first);
  check(real, scatter.real_y, other);
  check(synthetic, scatter.synthetic_x, first);
  check(synthetic, scatter.synthetic_y, other);
  for (const double x : scatter.real_x) square_x += x * x / (kReal - 1);
  for (const double y : scatter.real_y) square_y += y * y / (kReal - 1);
  EXPECT_NEAR(scatter.explained_share_x, square_x / total, 1e-9);
  EXPECT_NEAR(scatter.explained_share_y, square_y / total, 1e-9);
  EXPECT_GT(scatter.explained_share_x, scatter.explained_share_y);
}

TEST(CodeScatter, OfOneNumberHasNoSecondDirection) {
  const CodeScatter scatter = scatter_codes({1, 3}, {5}, 1, cpu());
  EXPECT_EQ(scatter.real_x, (std::vector<double>{-1, 1}));
  EXPECT_EQ(scatter.synthetic_x, std::vector<double>{3});
  EXPECT_EQ(scatter.synthetic_y, std::vector<double>{0});
  EXPECT_EQ(scatter.explained_share_x, 1);
  EXPECT_EQ(scatter.explained_share_y, 0);
  EXPECT_TRUE(std::isnan(scatter_codes({2, 2}, {}, 1, cpu()).explained_share_x));
}

TEST(Interpolation, GoesStraightAndWithTheLabelOfTheNearerEnd) {
  const Images images = random_pixels(40, 3);
  // The coder knows the same labels, numbered the other way round.
  const PixelCoder coder({"2", "1", "0"});
  const ImageCodes codes = evaluate_image_codes(coder, images, images, cpu(), kSeed);
  EXPECT_EQ(codes.width, 3);
  ASSERT_EQ(codes.within.size(), 3);
  ASSERT_EQ(codes.between.size(), 3);  // 0 to 1, 1 to 2, 2 to 0
  std::vector<Interpolation> all = codes.within;
  all.insert(all.end(), codes.between.begin(), codes.between.end());
  for (size_t way = 0; way < all.size(); ++way) {
    const Interpolation& of_way = all[way];
    const auto from = static_cast<int32_t>(way % 3);
    EXPECT_EQ(of_way.first_label, from);
    EXPECT_EQ(of_way.second_label, way < 3 ? from : (from + 1) % 3);
    EXPECT_EQ(images.labels[static_cast<size_t>(of_way.first)], of_way.first_label);
    EXPECT_EQ(images.labels[static_cast<size_t>(of_way.second)], of_way.second_label);
    EXPECT_NE(of_way.first, of_way.second);
    ASSERT_EQ(of_way.steps.count(), kInterpolationSteps);
    const uint8_t *a = images.image(of_way.first), *b = images.image(of_way.second);
    double square = 0;
    for (int64_t j = 0; j < 3; ++j) square += (a[j] - b[j]) * (a[j] - b[j]);
    EXPECT_DOUBLE_EQ(of_way.distance, std::sqrt(square));
    for (int64_t step = 0; step < kInterpolationSteps; ++step) {
      const uint8_t* made = of_way.steps.image(step);
      for (int64_t j = 0; j < 2; ++j)
        EXPECT_NEAR(made[j], a[j] + (b[j] - a[j]) * static_cast<double>(step) / 9, 0.5 + 1e-9);
      EXPECT_EQ(made[2], 10 * (2 - (step <= 4 ? of_way.first_label : of_way.second_label)));
    }
  }
}

TEST(Interpolation, EndsAreWhatTheModelDecodesOfTheEnds) {
  const Images images = make_bars(120, {1, 8, 8}, 3, kSeed);
  FitOptions options;
  options.model = "pca";
  options.components = "4";
  const std::unique_ptr<Model> model = fit_image_model(images, options, cpu());
  const std::shared_ptr<const Coder> coder = model->coder(cpu());
  const ImageCodes codes = evaluate_image_codes(*coder, images, images, cpu(), kSeed);
  ASSERT_EQ(codes.between.size(), 3);
  const auto worker = coder->make_worker();
  Batch batch(coder->rows(), 1);
  std::vector<double> code(static_cast<size_t>(coder->width()));
  for (const Interpolation& way : codes.between) {
    const auto expect_end = [&](int64_t image, int64_t step) {
      worker->encode(images, image, 1, code.data());
      worker->decode(code.data(), &images.labels[static_cast<size_t>(image)], 1, batch);
      EXPECT_TRUE(std::equal(batch.images(), batch.images() + images.shape.size(), way.steps.image(step)));
    };
    expect_end(way.first, 0);
    expect_end(way.second, kInterpolationSteps - 1);
  }
}

TEST(ImageCodes, OfImagesWithoutLabels) {
  const Images images = random_pixels(5, 0);
  const ImageCodes codes = evaluate_image_codes(PixelCoder({}), images, images, cpu(), kSeed);
  ASSERT_EQ(codes.within.size(), 2);
  EXPECT_TRUE(codes.between.empty());
  std::set<int64_t> ends;
  for (const Interpolation& way : codes.within) ends.insert({way.first, way.second});
  EXPECT_EQ(ends.size(), 4);
  EXPECT_EQ(codes.within[0].first_label, -1);
  EXPECT_EQ(codes.scatter.real_x.size(), 5);
  EXPECT_TRUE(codes.scatter.real_labels.empty());
}

TEST(ImageCodes, SyntheticImagesWithoutTheLabelsThatCodesNeedAreLeftOut) {
  const Images images = random_pixels(12, 2);
  const ImageCodes codes = evaluate_image_codes(PixelCoder({"0", "1"}), images, random_pixels(9, 0), cpu(), kSeed);
  EXPECT_EQ(codes.scatter.real_x.size(), 12);
  EXPECT_EQ(codes.scatter.real_labels.size(), 12);
  EXPECT_TRUE(codes.scatter.synthetic_x.empty());
  EXPECT_EQ(codes.between.size(), 1);  // there and back would be the same
}

TEST(TrainingHistory, IsWhatTheFileTells) {
  const auto vae = nlohmann::json::parse(R"({"history": [
    {"training_nats_per_image": 9, "training_divergence_nats_per_image": 2,
     "held_out_nats_per_image": 10, "held_out_divergence_nats_per_image": 4},
    {"training_nats_per_image": 7, "training_divergence_nats_per_image": 1.5,
     "held_out_nats_per_image": 8.5, "held_out_divergence_nats_per_image": 3}]})");
  const TrainingHistory history = read_training_history(vae);
  EXPECT_EQ(history.training, (std::vector<double>{9, 7}));
  EXPECT_EQ(history.training_reconstruction, (std::vector<double>{7, 5.5}));
  EXPECT_EQ(history.training_divergence, (std::vector<double>{2, 1.5}));
  EXPECT_EQ(history.held_out_reconstruction, (std::vector<double>{6, 5.5}));
  EXPECT_EQ(history.held_out_divergence, (std::vector<double>{4, 3}));
  EXPECT_TRUE(history.held_out_accuracy.empty());
  const auto none_held_out = nlohmann::json::parse(
      R"({"history": [{"training_nats_per_image": 9, "held_out_nats_per_image": 0, "held_out_accuracy": 0}]})");
  const TrainingHistory alone = read_training_history(none_held_out);
  EXPECT_EQ(alone.epochs(), 1);
  EXPECT_TRUE(alone.held_out.empty() && alone.held_out_accuracy.empty());
  for (const char* text : {"{}", R"({"history": 3})", R"({"history": []})", R"({"history": [3]})",
                           R"({"history": [{"training_nats_per_image": "x"}]})"})
    EXPECT_EQ(read_training_history(nlohmann::json::parse(text)).epochs(), 0) << text;
}

}  // namespace
}  // namespace doppel
