// Models as codes: what does not depend on how it is asked for, and scores beside the sums they are made of.
#include <gtest/gtest.h>

#include <cmath>
#include <numeric>

#include "engine/model.h"
#include "engine/models/image/image_vae_coder.h"
#include "engine/transcoded_rows.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"
#include "tests/engine/image_cases.h"
#include "tests/engine/memory_table.h"

namespace doppel {
namespace {

FitOptions options_of(const std::string& model) {
  FitOptions options;
  options.model = model;
  if (model != "pca") options.epochs = "2";
  return options;
}

const Backend& cpu() {
  static const std::unique_ptr<Backend> backend = make_backend("cpu");
  return *backend;
}

Images some_images() {
  return make_bars(300, {1, 12, 10}, 3, 3);
}

TEST(Codes, OfImagesDoNotDependOnHowManyAreAskedFor) {
  const Images images = some_images();
  for (const char* name : {"vae", "vae-dense", "pca"}) {
    const auto coder = fit_image_model(images, options_of(name), cpu())->coder(cpu());
    const auto width = static_cast<size_t>(coder->width());
    std::vector<double> whole(300 * width), parts(300 * width);
    std::vector<ImageScore> scores(300), parts_of_scores(300);
    const auto worker = coder->make_worker();
    worker->encode(images, 0, 300, whole.data());
    worker->score(images, 0, 300, scores.data());
    const auto other = coder->make_worker();
    for (const auto& [first, rows] : {std::pair{130, 170}, {0, 1}, {1, 129}}) {
      other->encode(images, first, rows, parts.data() + static_cast<size_t>(first) * width);
      other->score(images, first, rows, parts_of_scores.data() + first);
    }
    EXPECT_EQ(parts, whole) << name;
    for (size_t i = 0; i < 300; ++i) {
      EXPECT_EQ(parts_of_scores[i].nats, scores[i].nats) << name << i;
      EXPECT_EQ(parts_of_scores[i].error, scores[i].error) << name << i;
    }
    // Decoding gives the differences that the scores tell of.
    Batch batch(coder->rows(), 300);
    worker->decode(whole.data(), images.labels.data(), 300, batch);
    for (int64_t i = 0; i < 300; ++i) {
      const uint8_t* decoded = batch.images() + i * images.shape.size();
      EXPECT_EQ(scores[static_cast<size_t>(i)].error,
                root_mean_square_difference(images.image(i), decoded, images.shape.size()));
      EXPECT_EQ(static_cast<const int32_t*>(batch.buffer(0).values)[i], images.labels[static_cast<size_t>(i)]);
    }
  }
}

TEST(Codes, ScoresOfAVaeAreItsLoss) {
  const Images images = some_images();
  for (const PixelLikelihood likelihood : {PixelLikelihood::kBernoulli, PixelLikelihood::kLogistic}) {
    ImageVaeOptions options;
    options.is_convolutional = false;
    options.likelihood = likelihood;
    options.schedule.epochs = 3;
    const auto vae = std::make_shared<ImageVae>(ImageVae::fit(images, options, cpu()));
    std::vector<ImageScore> scores(300);
    make_image_vae_coder(vae, cpu())->make_worker()->score(images, 0, 300, scores.data());
    double mean = 0;
    for (const ImageScore& score : scores) mean += score.nats / 300;
    // Means over other draws: they differ by the draws' own spread.
    double sum = 0, squares = 0;
    constexpr int kDraws = 12;
    for (uint64_t seed = 1; seed <= kDraws; ++seed) {
      const double loss = vae->loss(images, seed).total();
      sum += loss, squares += loss * loss;
    }
    const double expected = sum / kDraws, deviation = std::sqrt(std::max(squares / kDraws - expected * expected, 0.0));
    EXPECT_NEAR(mean, expected, 5 * deviation * std::sqrt(1.0 / kScoreDraws + 1.0 / kDraws) + 1e-4);
    EXPECT_GT(deviation, 0);
  }
}

TEST(Codes, LabelsOfOtherNumbersAreTheModels) {
  const Images images = some_images();
  const auto coder = fit_image_model(images, options_of("pca"), cpu())->coder(cpu());
  Images given = images;
  given.label_names = {"bar 2", "bar 0", "bar 1"};
  const Images told = labelled_for(*coder, given, "x");
  for (size_t i = 0; i < 300; ++i)
    EXPECT_EQ(told.label_names[static_cast<size_t>(told.labels[i])],
              given.label_names[static_cast<size_t>(given.labels[i])]);
  EXPECT_EQ(told.label_names, images.label_names);
  given.label_names[1] = "bar 7";
  EXPECT_THROW(labelled_for(*coder, given, "x"), InputError);
  given = images;
  given.shape = {1, 10, 12};
  EXPECT_THROW(labelled_for(*coder, given, "x"), InputError);
  given = images;
  given.labels.clear();
  EXPECT_THROW(labelled_for(*coder, given, "x"), InputError);
}

TEST(Codes, KindsWithoutThemSaySo) {
  const auto model = fit_image_model(some_images(), options_of("cnn"), cpu());
  EXPECT_THROW(model->coder(cpu()), UsageError);
}

MemoryColumn reals(const std::string& name, std::vector<double> values) {
  MemoryColumn column;
  column.field.name = name;
  column.field.type = SourceType::kFloat64;
  column.reals = std::move(values);
  return column;
}

TEST(Codes, ThatAreNoneAreRefused) {
  Images images = some_images();
  images.labels.clear();
  images.label_names.clear();
  FitOptions options = options_of("pca");
  options.components = "2";
  const auto coder = fit_image_model(images, options, cpu())->coder(cpu());
  const auto decode = [&](std::vector<MemoryColumn> columns) {
    return decode_codes(coder, std::make_unique<MemoryTable>(std::move(columns)), {}).rows;
  };
  EXPECT_EQ(decode({reals("z1", {1, 2}), reals("z2", {0, 0})}), 2);
  EXPECT_EQ(decode({reals("z2", {1, 2}), reals("z1", {0, 0})}), 2);
  EXPECT_THROW(decode({reals("z1", {1, 2})}), InputError);
  EXPECT_THROW(decode({reals("z1", {1, 2}), reals("z3", {0, 0})}), InputError);
  EXPECT_THROW(decode({reals("z1", {1, 2}), reals("z2", {0, 0}), reals("z3", {0, 0})}), InputError);
  EXPECT_THROW(decode({reals("z1", {1, 2}), reals("z2", {0, 0}), reals("label", {0, 0})}), InputError);
  EXPECT_THROW(decode({reals("z1", {1, std::nan("")}), reals("z2", {0, 0})}), InputError);
  EXPECT_THROW(decode({reals("z1", {1, INFINITY}), reals("z2", {0, 0})}), InputError);
}

}  // namespace
}  // namespace doppel
