// Networks of images and what they compute, written for tests/oracle/test_networks.py and bench/peers/networks.py; and
// what an evaluation of images finds.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <nlohmann/json.hpp>

#include "engine/evaluation/image_evaluation.h"
#include "engine/models/image/image_classifier.h"
#include "engine/models/image/image_vae.h"
#include "kernels/backend.h"
#include "tests/engine/image_cases.h"

namespace doppel {
namespace {

void write(const std::string& path, const ModelFile& file) {
  const std::vector<std::byte> bytes = serialise(file);
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

TEST(NetworksForTheOracle, WriteWhatTheyCompute) {
  const char* folder = std::getenv("DOPPEL_ORACLE_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "tests/oracle/test_networks.py runs this";
  const std::string path = folder;
  const Images images = make_bars(40, {3, 21, 18}, 3, 1);
  const int64_t count = images.count();
  ClassifierOptions of_classifier;
  of_classifier.epochs = 2;
  of_classifier.channels = 8;
  of_classifier.features = 16;
  ImageClassifier classifier = ImageClassifier::fit(images, of_classifier, *make_backend("cpu"));
  write(path + "/classifier.doppel", classifier.save());
  ModelFile computed;
  computed.metadata = {{"kind", "values"}, {"version", 1}};
  computed.tensors["images"] =
      Tensor::from(images.pixels, {count, images.shape.height, images.shape.width, images.shape.channels});
  computed.tensors["labels"] = Tensor::from(images.labels, {count});
  computed.tensors["probabilities"] = Tensor::from(classifier.probabilities(images), {count, 3});
  computed.tensors["features"] = Tensor::from(classifier.features(images), {count, 16});
  for (const bool is_convolutional : {false, true}) {
    const std::string name = is_convolutional ? "convolutional" : "dense";
    ImageVaeOptions options;
    options.is_convolutional = is_convolutional;
    options.latent = 4;
    options.hidden = 24;
    options.channels = 8;
    options.schedule.epochs = 3;
    options.schedule.batch_rows = 16;
    ImageVae vae = ImageVae::fit(images, options, *make_backend("cpu"));
    write(path + "/" + name + ".doppel", vae.save());
    const std::vector<float> means = vae.encode(images);
    computed.tensors[name + ".means"] = Tensor::from(means, {count, 4});
    computed.tensors[name + ".levels"] =
        Tensor::from(vae.decode(means, images.labels).pixels, computed.tensors["images"].shape);
  }
  write(path + "/computed.doppel", computed);
}

// What tests/oracle/test_image_evaluation.py looks at.
TEST(ImageEvaluationForTheOracle, WritesWhatItFinds) {
  const char* folder = std::getenv("DOPPEL_ORACLE_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "tests/oracle/test_image_evaluation.py runs this";
  const Images all = make_bars(700, {3, 9, 10}, 5, 1);
  const Images real = part_of(all, 0, 300), synthetic = part_of(all, 300, 200), holdout = part_of(all, 500, 200);
  ClassifierOptions options;
  options.epochs = 2;
  options.channels = 4;
  options.features = 12;
  ImageClassifier classifier = ImageClassifier::fit(real, options, *make_backend("cpu"));
  ModelFile found;
  found.metadata = {{"kind", "values"}, {"version", 1}};
  const auto write_images = [&](const std::string& name, const Images& images) {
    found.tensors[name + ".pixels"] = Tensor::from(images.pixels, {images.count(), images.shape.size()});
    found.tensors[name + ".labels"] = Tensor::from(images.labels, {images.count()});
    found.tensors[name + ".features"] = Tensor::from(classifier.features(images), {images.count(), 12});
    found.tensors[name + ".probabilities"] = Tensor::from(classifier.probabilities(images), {images.count(), 5});
  };
  write_images("real", real);
  write_images("synthetic", synthetic);
  write_images("holdout", holdout);
  ImageEvaluateOptions how;
  how.train_on_synthetic = false;
  found.metadata["evaluation"] =
      to_json(evaluate_images(classifier, real, synthetic, &holdout, *make_backend("cpu"), how)).dump();
  // By themselves, of all points.
  const auto backend = make_backend("cpu");
  const std::vector<float> reals = classifier.features(real), others = classifier.features(synthetic);
  const PrecisionRecall manifold = precision_and_recall(reals, others, 12, 3);
  found.metadata["scores"] = {
      {"frechet_distance", frechet_distance(moments_of(reals, 12), moments_of(others, 12), *backend)},
      {"precision", manifold.precision},
      {"recall", manifold.recall}};
  write(std::string(folder) + "/evaluation.doppel", found);
}

}  // namespace
}  // namespace doppel
