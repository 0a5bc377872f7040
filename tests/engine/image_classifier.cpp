// The image classifier: its network's gradients against differences, motion of images, learning, its file.
#include "engine/models/image/image_classifier.h"

#include <gtest/gtest.h>

#include <cmath>
#include <random>

#include "kernels/backend.h"
#include "kernels/common/error.h"
#include "tests/engine/image_cases.h"
#include "tests/engine/nn_cases.h"

namespace doppel {
namespace {

constexpr ImageShape kSmall = {1, 12, 10};

ClassifierOptions quick_options() {
  ClassifierOptions options;
  options.epochs = 3;
  options.batch_rows = 32;
  options.rate = 4e-3;
  options.channels = 8;
  options.features = 16;
  options.augmentation = {1, 0, 0, false};
  options.tries_augmentation = false;
  options.seed = 5;
  return options;
}

TEST(ClassifierNetwork, BlocksHalveAnImageUntilItIsSmall) {
  ClassifierShape shape{{3, 28, 28}, 10, 32, 128};
  ASSERT_EQ(shape.blocks().size(), 2u);
  EXPECT_EQ(shape.blocks()[0].inputs, 3);
  EXPECT_EQ(shape.blocks()[1].outputs, 64);
  EXPECT_EQ(shape.reduced(), (ImageShape{64, 7, 7}));
  shape.image = {1, 128, 128};
  EXPECT_EQ(shape.reduced(), (ImageShape{256, 8, 8}));
  shape.image = {1, 8, 100};
  EXPECT_EQ(shape.reduced(), shape.image);
}

TEST(ClassifierNetwork, GradientsAreThoseOfDifferences) {
  for (const ImageShape image : {ImageShape{2, 18, 9}, ImageShape{1, 4, 3}}) {
    const ClassifierShape shape{image, 3, 2, 5};
    ClassifierNetwork<double> network(shape, 1);
    const Numbers images = random_numbers(4 * image.size(), 2);
    const std::vector<int32_t> labels = {0, 2, 1, 2};
    const auto loss = [&] { return network.forward_training(images.data(), labels.data(), 4, 7, 8) / 4; };
    loss();
    network.backward(images.data(), labels.data(), 4);
    for (Parameter<double>* parameter : parameters_of(network.layers()))
      expect_gradient(parameter->value, parameter->gradient, loss);
  }
}

TEST(Augmentation, ImagesMoveAsTheirNumbersSay) {
  const Images images = make_bars(1, {3, 9, 7}, 2, 1);
  const auto size = static_cast<size_t>(images.shape.size());
  std::vector<float> still(size), moved(size), again(size), other(size);
  levels_of(images.image(0), images.shape.size(), still.data());
  augmented_levels_of(images.image(0), images.shape, {0, 0, 0, false}, 1, 2, 3, moved.data());
  EXPECT_EQ(moved, still);
  const Augmentation how{2, 20, 0.2, true};
  augmented_levels_of(images.image(0), images.shape, how, 1, 2, 3, moved.data());
  augmented_levels_of(images.image(0), images.shape, how, 1, 2, 3, again.data());
  augmented_levels_of(images.image(0), images.shape, how, 1, 2, 4, other.data());
  EXPECT_EQ(moved, again);
  EXPECT_NE(moved, other);
  for (const float level : moved) EXPECT_TRUE(level >= 0 && level <= 1);
}

TEST(Augmentation, FlipsExchangeLeftAndRight) {
  const Images images = make_bars(1, {1, 3, 6}, 2, 1);
  std::vector<float> still(18), moved(18);
  levels_of(images.image(0), 18, still.data());
  int flipped = 0;
  for (uint64_t row = 0; row < 64; ++row) {
    augmented_levels_of(images.image(0), images.shape, {0, 0, 0, true}, 1, 2, row, moved.data());
    const bool is_flipped = std::abs(moved[0] - still[5]) < 1e-6 && std::abs(moved[0] - still[0]) > 1e-6;
    flipped += is_flipped;
    for (size_t i = 0; i < 18; ++i) ASSERT_NEAR(moved[i], still[is_flipped ? i / 6 * 6 + 5 - i % 6 : i], 1e-6);
  }
  EXPECT_GT(flipped, 16);
  EXPECT_LT(flipped, 48);
}

TEST(ImageClassifier, LearnsWhatBarsShow) {
  const Images all = make_bars(1000, kSmall, 4, 3);
  const Images training = part_of(all, 0, 800), test = part_of(all, 800, 200);
  std::vector<ClassifierEpoch> epochs;
  ClassifierOptions options = quick_options();
  options.progress = [&](double, const ClassifierEpoch& epoch) { epochs.push_back(epoch); };
  ImageClassifier classifier = ImageClassifier::fit(training, options, *make_backend("cpu"));
  ASSERT_EQ(epochs.size(), 3u);
  EXPECT_LT(epochs[2].training_loss, 0.5 * epochs[0].training_loss);
  const std::vector<float> probabilities = classifier.probabilities(test);
  ASSERT_EQ(probabilities.size(), 800u);
  EXPECT_GT(accuracy(probabilities, test.labels), 0.9);  // by chance 0.25
  EXPECT_EQ(classifier.features(test).size(), 200u * 16);
}

TEST(ImageClassifier, ImagesAreMovedAndMirroredWhereTheyBearIt) {
  const Images images = make_bars(900, {1, 12, 12}, 4, 3);  // of directions: a mirrored one is of another class
  ClassifierOptions options = quick_options();
  options.epochs = 16;
  options.held_out = 0.25;
  options.tries_augmentation = true;
  options.augmentation = {0.5, 0, 0, true};
  const ClassifierOptions shifted = ImageClassifier::fit(images, options, *make_backend("cpu")).training();
  EXPECT_EQ(shifted.augmentation.shift, 0.5);
  EXPECT_FALSE(shifted.augmentation.flips);
  EXPECT_FALSE(shifted.tries_augmentation);
  EXPECT_EQ(shifted.epochs, 16);
  options.augmentation = {0, 90, 0, false};
  EXPECT_EQ(ImageClassifier::fit(images, options, *make_backend("cpu")).training().augmentation.rotation, 0);
  Images halves{{1, 12, 12}, {}, {}, {"top", "bottom"}};  // one of them bright: a mirror leaves them as they are
  std::mt19937_64 random(1);
  for (int32_t i = 0; i < 400; ++i) {
    halves.labels.push_back(i % 2);
    for (int64_t at = 0; at < 144; ++at)
      halves.pixels.push_back(static_cast<uint8_t>((at / 72 == i % 2 ? 100 : 0) + random() % 150));
  }
  options.augmentation = {0, 0, 0, true};
  EXPECT_TRUE(ImageClassifier::fit(halves, options, *make_backend("cpu")).training().augmentation.flips);
}

TEST(ImageClassifier, IsAFunctionOfTheSeed) {
  const Images images = make_bars(100, kSmall, 2, 3);
  ClassifierOptions options = quick_options();
  options.epochs = 1;
  const auto first = ImageClassifier::fit(images, options, *make_backend("cpu")).probabilities(images);
  EXPECT_EQ(ImageClassifier::fit(images, options, *make_backend("cpu")).probabilities(images), first);
  options.seed = 6;
  EXPECT_NE(ImageClassifier::fit(images, options, *make_backend("cpu")).probabilities(images), first);
}

TEST(ImageClassifier, ComesBackFromItsFile) {
  const Images images = make_bars(60, {3, 17, 18}, 3, 3);
  ClassifierOptions options = quick_options();
  options.epochs = 1;
  ImageClassifier classifier = ImageClassifier::fit(images, options, *make_backend("cpu"));
  const ModelFile file = classifier.save();
  ImageClassifier loaded = ImageClassifier::load(parse_model_file(serialise(file), "test"));
  EXPECT_EQ(loaded.label_names(), images.label_names);
  EXPECT_EQ(loaded.probabilities(images), classifier.probabilities(images));
  EXPECT_EQ(serialise(loaded.save()), serialise(file));
}

TEST(ImageClassifier, FlatImagesAreChannelsFirstInFiles) {
  const Images images = make_bars(20, {2, 17, 18}, 2, 3);
  ClassifierOptions options = quick_options();
  options.epochs = 0;
  const ModelFile file = ImageClassifier::fit(images, options, *make_backend("cpu")).save();
  const ClassifierShape shape{images.shape, 2, 8, 16};
  ClassifierNetwork<float> network(shape, options.seed);
  const auto layers = network.layers();
  const auto flat = static_cast<int64_t>(shape.reduced().size());
  const auto saved = file.tensor("layers.4.weight", {16, flat}).to<float>();
  const ImageShape reduced = shape.reduced();
  for (int64_t c = 0; c < reduced.channels; ++c)
    for (int64_t p = 0; p < reduced.pixels(); ++p)
      ASSERT_EQ(saved[3 * flat + c * reduced.pixels() + p],
                layers[4].weight->value[3 * flat + p * reduced.channels + c]);
}

TEST(ImageClassifier, RefusesWhatItCannotLearnFromOrLookAt) {
  Images images = make_bars(20, kSmall, 2, 3);
  ClassifierOptions options = quick_options();
  options.epochs = 0;
  ImageClassifier classifier = ImageClassifier::fit(images, options, *make_backend("cpu"));
  EXPECT_THROW(classifier.probabilities(make_bars(2, {1, 10, 12}, 2, 1)), InputError);
  Images odd = images;
  odd.labels[3] = 2;
  EXPECT_THROW(ImageClassifier::fit(odd, options, *make_backend("cpu")), InputError);
  odd.labels.assign(20, 1);
  EXPECT_THROW(ImageClassifier::fit(odd, options, *make_backend("cpu")), InputError);
  odd.labels.clear();
  EXPECT_THROW(ImageClassifier::fit(odd, options, *make_backend("cpu")), InputError);
}

TEST(ImageClassifier, DamagedFilesAreRefused) {
  const Images images = make_bars(20, kSmall, 2, 3);
  ClassifierOptions options = quick_options();
  options.epochs = 0;
  const ModelFile file = ImageClassifier::fit(images, options, *make_backend("cpu")).save();
  const auto refuses = [&](const auto& damage) {
    ModelFile damaged = file;
    damage(damaged);
    EXPECT_THROW(ImageClassifier::load(damaged), InputError);
  };
  refuses([](ModelFile& f) { f.metadata["kind"] = "vae"; });
  refuses([](ModelFile& f) { f.metadata["version"] = 2; });
  refuses([](ModelFile& f) { f.metadata["image"]["height"] = 40; });
  refuses([](ModelFile& f) { f.metadata["image"] = 3; });
  refuses([](ModelFile& f) { f.metadata["features"] = -1; });
  refuses([](ModelFile& f) { f.metadata["label_names"] = {"one"}; });
  refuses([](ModelFile& f) { f.metadata["layers"].erase(0); });
  refuses([](ModelFile& f) { f.tensors.erase("layers.0.bias"); });
  refuses([](ModelFile& f) { f.tensors["layers.0.weight"].shape = {1, 8, 3, 3}; });
  refuses([](ModelFile& f) {
    auto weight = f.tensors["layers.0.weight"].to<float>();
    weight[0] = NAN;
    f.tensors["layers.0.weight"] = Tensor::from(weight, {8, 1, 3, 3});
  });
}

}  // namespace
}  // namespace doppel
