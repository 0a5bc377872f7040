// What a classifier finds out about images: readings, distances of features, nearest images, planted faults.
#include "engine/evaluation/image_evaluation.h"

#include <gtest/gtest.h>

#include <cmath>
#include <nlohmann/json.hpp>
#include <random>

#include "engine/evaluation/nearest_images.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"
#include "tests/engine/image_cases.h"

namespace doppel {
namespace {

constexpr ImageShape kSmall = {1, 12, 10};

std::vector<float> normal_points(int64_t count, int64_t width, double mean, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<float> normal(static_cast<float>(mean), 1);
  std::vector<float> points(static_cast<size_t>(count * width));
  for (float& value : points) value = normal(random);
  return points;
}

std::vector<float> joined(std::vector<float> first, const std::vector<float>& second) {
  first.insert(first.end(), second.begin(), second.end());
  return first;
}

std::vector<int64_t> numbers_to(int64_t count) {
  std::vector<int64_t> numbers;
  for (int64_t i = 0; i < count; ++i) numbers.push_back(i);
  return numbers;
}

TEST(ImageReadings, CountWhatIsReadAsWhat) {
  const std::vector<float> probabilities = {0.9f, 0.1f, 0, 0.2f, 0.5f, 0.3f, 0.24f, 0.26f, 0.5f, 1, 0, 0};
  const ImageReadings readings = summarise_readings(probabilities, {0, 1, 1, 1}, 3);
  EXPECT_EQ(readings.images, 4);
  EXPECT_EQ(readings.read, (std::vector<int64_t>{2, 1, 1}));
  EXPECT_EQ(readings.confusion, (std::vector<int64_t>{1, 0, 0, 1, 1, 1, 0, 0, 0}));
  EXPECT_DOUBLE_EQ(readings.accuracy, 0.5);
  EXPECT_DOUBLE_EQ(readings.class_accuracy[1], 1 / 3.0);
  EXPECT_TRUE(std::isnan(readings.class_accuracy[2]));
  EXPECT_EQ(readings.confidence[10], 2);
  EXPECT_EQ(readings.confidence[kConfidenceBins - 1], 1);  // a probability of 1 is in the last bin
  EXPECT_NEAR(readings.mean_confidence, 2.9 / 4, 1e-6);
  EXPECT_NEAR(readings.balance, 1.5 * std::log(2) / std::log(3), 1e-12);
}

TEST(ImageReadings, WithoutLabelsTellNoAccuracy) {
  const ImageReadings readings = summarise_readings({0.9f, 0.1f, 0.7f, 0.3f}, {}, 2);
  EXPECT_TRUE(std::isnan(readings.accuracy));
  EXPECT_TRUE(readings.confusion.empty());
  EXPECT_DOUBLE_EQ(readings.balance, 0);
}

TEST(ImageReadings, AClassThatAFewAreMisreadAsIsNotCovered) {
  ImageReadings real, other;
  real.images = other.images = 300;
  real.read = {100, 100, 100, 0};
  other.read = {200, 91, 9, 0};
  const Coverage coverage = count_covered(real, other);
  EXPECT_EQ(coverage.covered, 2);
  EXPECT_EQ(coverage.of, 3);
}

TEST(FrechetDistance, OfDiagonalMomentsIsThatOfEachCoordinate) {
  const auto backend = make_backend("cpu");
  const FeatureMoments a{10, {1, 2}, {4, 0, 0, 9}}, b{10, {0, 4}, {1, 0, 0, 16}};
  EXPECT_NEAR(frechet_distance(a, b, *backend), 1 + 4 + (2 - 1) * (2 - 1) + (3 - 4) * (3 - 4), 1e-12);
  const FeatureMoments flat{10, {0, 4}, {0, 0, 0, 0}};  // singular
  EXPECT_NEAR(frechet_distance(a, flat, *backend), 1 + 4 + 4 + 9, 1e-12);
}

TEST(FrechetDistance, OfASetFromItselfIsZero) {
  const auto backend = make_backend("cpu");
  const std::vector<float> points = normal_points(600, 20, 3, 1);
  const FeatureMoments moments = moments_of(points, 20);
  EXPECT_EQ(moments.count, 600);
  EXPECT_NEAR(frechet_distance(moments, moments, *backend), 0, 1e-9);
  const FeatureMoments moved = moments_of(normal_points(600, 20, 4, 1), 20);  // the same points, each value 1 more
  EXPECT_NEAR(frechet_distance(moments, moved, *backend), 20, 1e-4);
}

TEST(PrecisionRecall, OfASetWithItselfAreOne) {
  const std::vector<float> points = normal_points(700, 8, 1, 2);
  const PrecisionRecall found = precision_and_recall(points, points, 8, 3);
  EXPECT_DOUBLE_EQ(found.precision, 1);
  EXPECT_DOUBLE_EQ(found.recall, 1);
  EXPECT_TRUE(std::isnan(precision_and_recall(points, normal_points(3, 8, 0, 1), 8, 3).recall));
}

TEST(PrecisionRecall, ADroppedModeLowersRecallAndAnInventedOnePrecision) {
  const std::vector<float> left = normal_points(300, 4, 0, 3), right = normal_points(300, 4, 40, 4);
  const PrecisionRecall dropped = precision_and_recall(joined(left, right), normal_points(600, 4, 0, 5), 4, 3);
  EXPECT_GT(dropped.precision, 0.8);
  EXPECT_LT(dropped.recall, 0.5);
  EXPECT_GT(dropped.recall, 0.4);
  const PrecisionRecall invented =
      precision_and_recall(normal_points(600, 4, 0, 5), joined(normal_points(300, 4, 0, 6), right), 4, 3);
  EXPECT_LT(invented.precision, 0.5);
  EXPECT_GT(invented.recall, 0.8);
}

TEST(NearestImages, AreThoseOfWholeNumbers) {
  // Of nearly equal distances, which single precision cannot tell apart; more than a block of either.
  Images images{{3, 31, 33}, {}, {}, {}};
  std::mt19937_64 random(7);
  for (int64_t i = 0; i < 60 * images.shape.size(); ++i)
    images.pixels.push_back(static_cast<uint8_t>(254 + (random() % 64 == 0)));
  const std::vector<int64_t> queries = {0, 3, 7}, references = {1, 2, 4, 5, 9, 20, 40, 59};
  const std::vector<NearestImage> found = find_nearest_images(images, queries, images, references);
  for (size_t q = 0; q < queries.size(); ++q) {
    NearestImage expected;
    for (const int64_t reference : references) {
      int64_t sum = 0;
      for (int64_t i = 0; i < images.shape.size(); ++i) {
        const int64_t difference = int64_t{images.image(queries[q])[i]} - images.image(reference)[i];
        sum += difference * difference;
      }
      if (sum < expected.squared) expected = {reference, sum};
    }
    EXPECT_EQ(found[q].number, expected.number);
    EXPECT_EQ(found[q].squared, expected.squared);
  }
  EXPECT_EQ(find_nearest_images(images, queries, images, {})[0].number, -1);
}

TEST(NearestImages, AreFoundInEveryBlock) {
  const Images images = make_bars(2600, {1, 6, 5}, 3, 8);
  std::vector<double> told;
  const std::vector<NearestImage> found = find_nearest_images(images, numbers_to(1100), images, numbers_to(2600),
                                                              [&](double share) { told.push_back(share); });
  for (const NearestImage& nearest : found) ASSERT_EQ(nearest.squared, 0);
  EXPECT_TRUE(std::is_sorted(told.begin(), told.end()));
  EXPECT_DOUBLE_EQ(told.back(), 1);
}

TEST(ImagePrivacy, CopiesAreFound) {
  const Images all = make_bars(600, kSmall, 4, 1);
  const Images real = part_of(all, 0, 200), holdout = part_of(all, 200, 200), fresh = part_of(all, 400, 200);
  const ImagePrivacy copied = evaluate_image_privacy(real, real, &holdout, 1, {});
  EXPECT_DOUBLE_EQ(copied.nearer_share, 1);
  EXPECT_DOUBLE_EQ(copied.copies_share, 1);
  EXPECT_EQ(copied.identical_synthetic, 200);
  EXPECT_EQ(copied.identical_holdout, 0);
  ASSERT_EQ(copied.repeated.size(), kMostRepeated);
  EXPECT_EQ(copied.repeated[0].synthetic, copied.repeated[0].training);
  EXPECT_EQ(copied.repeated[0].distance, 0);

  const ImagePrivacy honest = evaluate_image_privacy(real, fresh, &holdout, 1, {});
  EXPECT_NEAR(honest.nearer_share, 0.5, 5 * std::sqrt(0.25 / 200));
  EXPECT_NEAR(honest.holdout_nearer_share, 0.5, 5 * std::sqrt(0.25 / 100));
  EXPECT_EQ(honest.identical_synthetic, 0);

  Images one_copied = fresh;
  std::copy_n(real.image(7), kSmall.size(), one_copied.pixels.begin() + 5 * kSmall.size());
  const ImagePrivacy found = evaluate_image_privacy(real, one_copied, &holdout, 1, {});
  EXPECT_EQ(found.repeated[0].synthetic, 5);
  EXPECT_EQ(found.repeated[0].training, 7);
  EXPECT_EQ(found.identical_synthetic, 1);
}

// A classifier of bars, and images that it did not learn from.
class ImageEvaluationOfBars : public testing::Test {
 protected:
  ImageEvaluationOfBars()
      : all_(make_bars(1200, kSmall, 4, 3)),
        real_(part_of(all_, 0, 600)),
        holdout_(part_of(all_, 600, 300)),
        fresh_(part_of(all_, 900, 300)),
        classifier_(ImageClassifier::fit(real_, quick_options(), *make_backend("cpu"))) {}

  static ClassifierOptions quick_options() {
    ClassifierOptions options;
    options.epochs = 3;
    options.batch_rows = 32;
    options.rate = 4e-3;
    options.channels = 8;
    options.features = 16;
    options.augmentation = {1, 0, 0, false};
    options.tries_augmentation = false;
    return options;
  }
  ImageEvaluation evaluate(const Images& synthetic, bool train_on_synthetic = false) {
    ImageEvaluateOptions options;
    options.train_on_synthetic = train_on_synthetic;
    return evaluate_images(classifier_, real_, synthetic, &holdout_, *backend_, options);
  }

  std::unique_ptr<Backend> backend_ = make_backend("cpu");
  Images all_, real_, holdout_, fresh_;
  ImageClassifier classifier_;
};

TEST_F(ImageEvaluationOfBars, FindsPlantedFaults) {
  const ImageEvaluation honest = evaluate(fresh_, true);
  EXPECT_GT(honest.synthetic.accuracy, 0.9);
  EXPECT_EQ(honest.coverage.covered, 4);
  EXPECT_GT(honest.features.manifold.recall, 0.6);
  EXPECT_EQ(honest.features.images, 300);
  EXPECT_EQ(honest.features.real_images, 600);
  EXPECT_LT(honest.features.frechet_distance, 3 * honest.holdout_features->frechet_distance);
  ASSERT_TRUE(honest.utility);
  EXPECT_EQ(honest.utility->epochs, 3);
  EXPECT_EQ(honest.utility->synthetic_images, 300);
  EXPECT_GT(honest.utility->trained_on_synthetic, 0.6);
  EXPECT_DOUBLE_EQ(honest.utility->trained_on_real, honest.real.accuracy);

  Images permuted = fresh_;
  for (int32_t& label : permuted.labels) label = (label + 1) % 4;
  EXPECT_LT(evaluate(permuted).synthetic.accuracy, 0.1);

  Images dropped = fresh_;  // what shows the last class shows another image of the first ones
  for (int64_t i = 0, last = 0; i < dropped.count(); ++i) {
    if (dropped.labels[static_cast<size_t>(i)] != 3) {
      last = i;
      continue;
    }
    std::copy_n(fresh_.image(last), kSmall.size(), dropped.pixels.begin() + i * kSmall.size());
    dropped.labels[static_cast<size_t>(i)] = dropped.labels[static_cast<size_t>(last)];
  }
  const ImageEvaluation found = evaluate(dropped);
  EXPECT_EQ(found.coverage.covered, 3);
  EXPECT_LT(found.features.manifold.recall, honest.features.manifold.recall - 0.1);
  EXPECT_GT(found.features.frechet_distance, 3 * honest.features.frechet_distance);
  EXPECT_LT(found.synthetic.balance, honest.synthetic.balance - 0.1);
}

TEST_F(ImageEvaluationOfBars, OfTheRealImagesThemselvesIsPerfect) {
  ImageEvaluateOptions options;
  const ImageEvaluation same = evaluate_images(classifier_, real_, real_, nullptr, *backend_, options);
  EXPECT_NEAR(same.features.frechet_distance, 0, 1e-9);
  EXPECT_DOUBLE_EQ(same.features.manifold.precision, 1);
  EXPECT_DOUBLE_EQ(same.features.manifold.recall, 1);
  EXPECT_EQ(same.synthetic.confusion, same.real.confusion);
  EXPECT_EQ(same.privacy.identical_synthetic, 600);
  EXPECT_TRUE(std::isnan(same.privacy.nearer_share));
  EXPECT_FALSE(same.utility);
  EXPECT_FALSE(same.notes.empty());
}

TEST_F(ImageEvaluationOfBars, IsAFunctionOfTheSeed) {
  EXPECT_EQ(to_json(evaluate(fresh_, true)), to_json(evaluate(fresh_, true)));
}

TEST_F(ImageEvaluationOfBars, LabelsAreMatchedByTheirNames) {
  Images some = part_of(fresh_, 0, 3);
  some.labels = {0, 1, 0};
  some.label_names = {"bar 3", "bar 1"};
  match_labels(classifier_.label_names(), "x.npy", some);
  EXPECT_EQ(some.labels, (std::vector<int32_t>{3, 1, 3}));
  some.label_names[3] = "beam";
  EXPECT_THROW(match_labels(classifier_.label_names(), "x.npy", some), InputError);
  EXPECT_EQ(classifier_.training_images(), 600);
  EXPECT_EQ(classifier_.training().features, 16);
  EXPECT_EQ(classifier_.training().augmentation.shift, 1);
}

}  // namespace
}  // namespace doppel
