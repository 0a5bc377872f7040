// Networks of images and what they compute, written for tests/oracle/test_networks.py and bench/peers/networks.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "engine/models/image_classifier.h"
#include "engine/models/image_vae.h"
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
  ImageClassifier classifier = ImageClassifier::fit(images, of_classifier);
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

}  // namespace
}  // namespace doppel
