// What imported networks compute, for tests/oracle/test_import.py.
#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>
#include <iterator>

#include "engine/models/image/image_classifier.h"
#include "engine/models/image/image_vae.h"

namespace doppel {
namespace {

std::vector<std::byte> read(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  const std::vector<char> bytes((std::istreambuf_iterator<char>(in)), {});
  return {reinterpret_cast<const std::byte*>(bytes.data()),
          reinterpret_cast<const std::byte*>(bytes.data()) + bytes.size()};
}

TEST(ImportsForTheOracle, WriteWhatTheyCompute) {
  const char* folder = std::getenv("DOPPEL_ORACLE_FOLDER");
  if (folder == nullptr) GTEST_SKIP() << "tests/oracle/test_import.py runs this";
  const std::string path = folder;
  const auto given = parse_tensors(read(path + "/given.safetensors"), "given");
  const auto load = [&](const std::string& name) {
    return parse_model_file(read(path + "/" + name + ".doppel"), name);
  };
  ImageClassifier classifier = ImageClassifier::load(load("classifier"));
  Images images;
  images.shape = classifier.image_shape();
  images.pixels = given.at("images").to<uint8_t>();
  ModelFile computed;
  computed.metadata = {{"kind", "values"}, {"version", 1}};
  computed.tensors["probabilities"] =
      Tensor::from(classifier.probabilities(images), {images.count(), classifier.classes()});
  auto network = ImageVae::load(load("decoder")).network();
  const auto latents = given.at("latents").to<float>();
  const auto labels = given.at("labels").to<int32_t>();
  const float* outputs = network.decoder().forward(latents.data(), labels.data(), images.count());
  computed.tensors["outputs"] = Tensor::from(std::vector<float>(outputs, outputs + images.pixels.size()),
                                             {images.count(), images.shape.height, images.shape.width, 1});
  const std::vector<std::byte> bytes = serialise(computed);
  std::ofstream(path + "/computed.doppel", std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()), static_cast<std::streamsize>(bytes.size()));
}

}  // namespace
}  // namespace doppel
