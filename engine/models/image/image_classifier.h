// The image classifier, which says of images what they show, and so whether generated ones show what was asked for: a
// convolutional network (classifier_network.h) trained on labelled images.
//
// Training: Adam on shuffled batches of images, the step size falling by a cosine; the parameters kept are means over
// the last of its steps. After an eighth of the epochs images are moved a little each time, or mirrored, if that does
// not make them something else: if the network, which has not seen it yet, tells nearly as many of the images held out
// when they are moved, or mirrored, as when they are not. (Digits bear a motion; clothes that fill the frame do not:
// the best network of 8 epochs tells 91.1 % of Fashion-MNIST with shifts of a pixel.) Deterministic for a seed, a
// backend and, on the CPU, a number of threads.
//
// The file: metadata "kind": "image-cnn", "version", "image": {"channels", "height", "width"}, "label_names",
// "channels" of the first block, "features", "layers" (layer_list.h), "history" and "provenance" of the training;
// tensors layers.I.weight and layers.I.bias.
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/image/augment.h"
#include "engine/image/images.h"
#include "engine/model_file.h"
#include "engine/models/image/classifier_network.h"
#include "engine/models/networks/trained_networks.h"
#include "engine/training_state.h"

namespace doppel {

inline constexpr const char* kClassifierKind = "image-cnn";

// Of an epoch: means of images, in nats. Without images held out, `held_out` is 0.
struct ClassifierEpoch {
  double training_loss = 0, held_out_loss = 0, held_out_accuracy = 0;
};

struct ClassifierOptions {
  int64_t epochs = 16;
  int64_t batch_rows = 128;
  double rate = 2e-3;                           // of Adam, the highest
  double warm_up = 0.05;                        // share of the steps in which it is reached
  double held_out = 0.05;                       // share of the images that is only looked at
  int64_t channels = 32, features = 256;        // ClassifierShape
  Augmentation augmentation = {.flips = true};  // at most
  bool tries_augmentation = true;               // and leaves out what the images do not bear
  uint64_t seed = 0;
  std::function<void(double share, const ClassifierEpoch&)> progress;  // after each epoch; may be empty
  TrainingKeeper keeper;
};

// For one thread at a time: a network keeps what it works with.
class ImageClassifier {
 public:
  // Throws InputError where images have no labels or less than two of them, or where a label has no name.
  static ImageClassifier fit(const Images& images, const ClassifierOptions& options, const Backend& backend);
  // Throws InputError for a file that is no image classifier, of another version, or that contradicts itself.
  static ImageClassifier load(const ModelFile& file);
  ModelFile save() const;
  nlohmann::json describe() const;  // the images, the fit and the network, as in the file's metadata

  const ImageShape& image_shape() const { return network_.shape().image; }
  int32_t classes() const { return network_.shape().classes; }
  int64_t feature_count() const { return network_.shape().features; }
  const std::vector<std::string>& label_names() const { return label_names_; }
  // How it was trained, to train another network likewise; of a file that does not say, the defaults.
  ClassifierOptions training() const;
  int64_t training_images() const;  // 0 of a file that does not say

  // Of the network that answers below; until then the CPU, in single precision.
  void use(const Backend& backend, Precision precision);

  // [count, classes], and [count, feature_count()] of what the last layer sees. Throws InputError for images of
  // another shape.
  std::vector<float> probabilities(const Images& images);
  std::vector<float> features(const Images& images);

 private:
  ImageClassifier(const ClassifierShape& shape, std::vector<std::string> label_names, uint64_t seed)
      : network_(shape, seed), label_names_(std::move(label_names)) {}
  // Calls take(rows, probabilities) for block after block; trained_ then has their features.
  void for_each_block(const Images& images, const std::function<void(int64_t, const float*)>& take);

  mutable ClassifierNetwork<float> network_;  // lists its layers by pointers, for files, too
  std::optional<TrainedClassifier> trained_;  // made when it is first asked
  std::vector<std::string> label_names_;
  nlohmann::json about_;
};

// The share of images whose most probable class is their label.
double accuracy(const std::vector<float>& probabilities, const std::vector<int32_t>& labels);

}  // namespace doppel
