#include "engine/models/image/image_classifier.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <utility>

#include "engine/models/image/image_metadata.h"
#include "engine/models/networks/network_trainer.h"
#include "engine/models/networks/training_file.h"
#include "engine/nn/adam.h"
#include "engine/nn/training.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr int kClassifierVersion = 1;
constexpr int64_t kMeasuredRows = 256;     // where nothing is learned
constexpr double kAveragedSteps = 500;  // that the parameters are means of
constexpr int64_t kStillShare = 8;      // of the epochs one in so many is of images that are not moved
constexpr double kMostLost = 0.02;  // accuracy of images held out that are moved; half of it of every other mirrored

// Of draws of Stream::kFit.
constexpr uint32_t kUseSplit = 0x71000000u;
constexpr uint32_t kUseShuffle = 0x72000000u;  // and the epoch
constexpr uint32_t kUseMotion = 0x73000000u;   // and the epoch
constexpr uint32_t kUseTrial = 0x74000000u;
constexpr uint32_t kUseDropout = 0x90000000u;  // and twice the step

std::vector<std::string> names_of(const Images& images) {
  std::vector<std::string> names = label_names_of(images);
  if (names.empty()) throw InputError("an image classifier learns from labelled images, and these have no labels");
  const auto [least, most] = std::minmax_element(images.labels.begin(), images.labels.end());
  if (*least == *most)
    throw InputError("an image classifier needs images of two classes at least, and these are of one");
  return names;
}

class Trainer {
 public:
  Trainer(ClassifierNetwork<float>& network, const Images& images, const ClassifierOptions& options,
          const Backend& backend)
      : network_(network),
        images_(images),
        options_(options),
        adam_(parameters_of(network.layers())),
        averages_(parameters_of(network.layers()), kAveragedSteps),
        trainer_(network, adam_, averages_, std::max(options.batch_rows, kMeasuredRows), backend) {
    std::vector<int64_t> order(static_cast<size_t>(images.count()));
    std::iota(order.begin(), order.end(), int64_t{0});
    shuffle(order, options.seed, kUseSplit);
    const auto held = static_cast<int64_t>(options.held_out * static_cast<double>(order.size()));
    held_out_.assign(order.begin(), order.begin() + held);
    training_.assign(order.begin() + held, order.end());
    const auto count = static_cast<int64_t>(training_.size());
    steps_ = options.epochs * ((count + options.batch_rows - 1) / options.batch_rows);
  }

  const Augmentation& augmentation() const { return augmentation_; }

  std::vector<ClassifierEpoch> train() {
    const int64_t still_epochs = (options_.epochs + kStillShare - 1) / kStillShare;
    if (options_.keeper.resumed) load(*options_.keeper.resumed);
    while (count() < options_.epochs) {
      if (count() == still_epochs && next_ == 0)
        augmentation_ = options_.tries_augmentation ? try_augmentation() : options_.augmentation;
      ClassifierEpoch epoch{run_epoch(static_cast<uint32_t>(count())), 0, 0};
      look_at_held_out(kNoMotion, epoch);
      epochs_.push_back(epoch);
      if (options_.progress)
        options_.progress(static_cast<double>(count()) / static_cast<double>(options_.epochs), epoch);
    }
    keep(true);
    trainer_.fetch();
    averages_.exchange();
    return epochs_;
  }

 private:
  int64_t count() const { return static_cast<int64_t>(epochs_.size()); }

  void keep(bool is_over) {
    if (!options_.keeper.after_step) return;
    options_.keeper.after_step(is_over, [&] {
      ModelFile state;
      save(state);
      return state;
    });
  }

  void save(ModelFile& file) {
    trainer_.fetch();
    adam_.steps() = step_;
    save_parameters(parameters_of(network_.layers()), file);
    save_adam(adam_, file);
    save_averages(averages_, file);
    save_place({next_, step_}, file);
    file.metadata["training"]["epoch_loss"] = next_ > 0 ? trainer_->losses().loss : 0;
    file.metadata["training"]["augmentation"] = {{"shift", augmentation_.shift},
                                                 {"rotation", augmentation_.rotation},
                                                 {"scale", augmentation_.scale},
                                                 {"flips", augmentation_.flips ? 1 : 0}};
    Json& epochs = file.metadata["training"]["epochs"] = Json::array();
    for (const ClassifierEpoch& epoch : epochs_)
      epochs.push_back({{"training_loss", epoch.training_loss},
                        {"held_out_loss", epoch.held_out_loss},
                        {"held_out_accuracy", epoch.held_out_accuracy}});
  }

  void load(const ModelFile& file) {
    load_parameters(file, parameters_of(network_.layers()));
    load_adam(file, adam_);
    load_averages(file, averages_);
    trainer_.send();
    const EpochPlace place = load_place(file, static_cast<int64_t>(training_.size()), steps_);
    next_ = place.row, step_ = place.step;
    const Json training = file.metadata.value("training", Json::object()), epochs = training.value("epochs", Json());
    trainer_->set_losses({load_number(training, "epoch_loss"), 0, 0});
    const Json moved = training.value("augmentation", Json());
    augmentation_ = {load_number(moved, "shift"), load_number(moved, "rotation"), load_number(moved, "scale"),
                     load_number(moved, "flips") != 0};
    if (!epochs.is_array() || static_cast<int64_t>(epochs.size()) > options_.epochs)
      throw InputError("its epochs are none of this training");
    for (const Json& epoch : epochs)
      epochs_.push_back({load_number(epoch, "training_loss"), load_number(epoch, "held_out_loss"),
                         load_number(epoch, "held_out_accuracy")});
    const int64_t shuffles = count() + (next_ > 0 ? 1 : 0);
    for (int64_t epoch = 0; epoch < shuffles; ++epoch)
      shuffle(training_, options_.seed, kUseShuffle + static_cast<uint32_t>(epoch));
  }

  // From where it is: a state may be of the middle of an epoch.
  double run_epoch(uint32_t epoch) {
    if (next_ == 0) {
      shuffle(training_, options_.seed, kUseShuffle + epoch);
      trainer_->set_losses({});
    }
    const auto count = static_cast<int64_t>(training_.size());
    while (next_ < count) {
      const int64_t rows = std::min(options_.batch_rows, count - next_);
      gather(training_, next_, rows, augmentation_, kUseMotion + epoch);
      const double done = static_cast<double>(step_) / static_cast<double>(steps_);
      const TrainingDraws draws{options_.seed, kUseDropout + 2 * static_cast<uint32_t>(step_)};
      ++step_;
      trainer_->step(
          rows, {draws, 1, options_.rate * cosine_rate(done + 1e-9, options_.warm_up), step_, averages_.next_share()});
      next_ += rows;
      keep(false);
    }
    next_ = 0;
    return trainer_->losses().loss / static_cast<double>(std::max<int64_t>(count, 1));
  }

  // What of the augmentation asked for the images held out bear.
  Augmentation try_augmentation() {
    Augmentation moved = options_.augmentation, mirrored = kNoMotion;
    moved.flips = false;
    mirrored.flips = options_.augmentation.flips;
    const auto accuracy_of = [&](const Augmentation& augmentation) {
      ClassifierEpoch epoch;
      look_at_held_out(augmentation, epoch);
      return epoch.held_out_accuracy;
    };
    const double still = accuracy_of(kNoMotion);
    Augmentation borne = kNoMotion;
    if (accuracy_of(moved) >= still - kMostLost) borne = moved;
    borne.flips = mirrored.flips && accuracy_of(mirrored) >= still - kMostLost / 2;
    return borne;
  }

  // By the means of the parameters.
  void look_at_held_out(const Augmentation& augmentation, ClassifierEpoch& epoch) {
    const auto count = static_cast<int64_t>(held_out_.size());
    trainer_->set_losses({});
    for (int64_t first = 0; first < count; first += kMeasuredRows) {
      const int64_t rows = std::min(kMeasuredRows, count - first);
      gather(held_out_, first, rows, augmentation, kUseTrial);
      trainer_->measure(rows, {}, true);
    }
    const TrainingLosses sums = trainer_->losses();
    const auto images = static_cast<double>(std::max<int64_t>(count, 1));
    epoch.held_out_loss = sums.loss / images;
    epoch.held_out_accuracy = sums.right / images;
  }

  // Some of the images, moved, to the trainer's batch.
  void gather(const std::vector<int64_t>& which, int64_t first, int64_t rows, const Augmentation& augmentation,
              uint32_t use) {
    const PreparedTrainer::Batch batch = trainer_->batch();
    for (int64_t row = 0; row < rows; ++row) {
      const int64_t image = which[static_cast<size_t>(first + row)];
      augmented_levels_of(images_.image(image), images_.shape, augmentation, options_.seed, use,
                          static_cast<uint64_t>(image), batch.x + row * images_.shape.size());
      batch.labels[row] = images_.labels[static_cast<size_t>(image)];
    }
  }

  ClassifierNetwork<float>& network_;
  const Images& images_;
  const ClassifierOptions& options_;
  Adam<float> adam_;
  AveragedParameters averages_;
  NetworkTrainer trainer_;
  Augmentation augmentation_ = kNoMotion;
  std::vector<int64_t> training_, held_out_;
  std::vector<ClassifierEpoch> epochs_;
  int64_t steps_ = 0, step_ = 0;
  int64_t next_ = 0;  // row of the epoch
};

Json describe_fit(const Images& images, const ClassifierOptions& options, const Augmentation& moved,
                  const std::vector<ClassifierEpoch>& epochs) {
  Json about;
  about["rows"] = images.count();
  about["provenance"] = {{"seed", options.seed}, {"epochs", options.epochs},     {"batch_rows", options.batch_rows},
                         {"rate", options.rate}, {"held_out", options.held_out}, {"doppel", DOPPEL_VERSION}};
  about["provenance"]["augmentation"] = {{"shift_pixels", moved.shift},
                                         {"rotation_degrees", moved.rotation},
                                         {"scale", moved.scale},
                                         {"flips", moved.flips}};
  Json& history = about["history"] = Json::array();
  for (const ClassifierEpoch& epoch : epochs)
    history.push_back({{"training_nats_per_image", epoch.training_loss},
                       {"held_out_nats_per_image", epoch.held_out_loss},
                       {"held_out_accuracy", epoch.held_out_accuracy}});
  return about;
}

}  // namespace

ImageClassifier ImageClassifier::fit(const Images& images, const ClassifierOptions& options, const Backend& backend) {
  std::vector<std::string> names = names_of(images);
  const ClassifierShape shape{images.shape, static_cast<int32_t>(names.size()), options.channels, options.features};
  ImageClassifier classifier(shape, std::move(names), options.seed);
  Trainer trainer(classifier.network_, images, options, backend);
  const std::vector<ClassifierEpoch> epochs = trainer.train();
  classifier.about_ = describe_fit(images, options, trainer.augmentation(), epochs);
  return classifier;
}

ClassifierOptions ImageClassifier::training() const {
  ClassifierOptions options;
  options.channels = network_.shape().channels;
  options.features = network_.shape().features;
  options.tries_augmentation = false;
  try {
    const Json provenance = about_.value("provenance", Json::object());
    options.epochs = provenance.value("epochs", options.epochs);
    options.batch_rows = provenance.value("batch_rows", options.batch_rows);
    options.rate = provenance.value("rate", options.rate);
    options.held_out = provenance.value("held_out", options.held_out);
    options.seed = provenance.value("seed", options.seed);
    const Json moved = provenance.value("augmentation", Json::object());
    Augmentation& augmentation = options.augmentation;
    augmentation.shift = moved.value("shift_pixels", augmentation.shift);
    augmentation.rotation = moved.value("rotation_degrees", augmentation.rotation);
    augmentation.scale = moved.value("scale", augmentation.scale);
    augmentation.flips = moved.value("flips", augmentation.flips);
  } catch (const Json::exception& error) {
    throw InputError(std::string("model file: what it says of its training makes no sense: ") + error.what());
  }
  if (options.epochs < 0 || options.batch_rows < 1 || !(options.held_out >= 0 && options.held_out < 1))
    throw InputError("model file: what it says of its training makes no sense");
  return options;
}

int64_t ImageClassifier::training_images() const {
  const Json rows = about_.value("rows", Json());
  return rows.is_number_integer() ? rows.get<int64_t>() : 0;
}

Json ImageClassifier::describe() const {
  Json about = about_;
  save_image_metadata(image_shape(), label_names_, about);
  about["channels"] = network_.shape().channels;
  about["features"] = network_.shape().features;
  return about;
}

ModelFile ImageClassifier::save() const {
  ModelFile file;
  file.metadata = describe();
  file.metadata["kind"] = kClassifierKind;
  file.metadata["version"] = kClassifierVersion;
  save_layers(network_.layers(), "layers", file);
  return file;
}

ImageClassifier ImageClassifier::load(const ModelFile& file) {
  check_image_model_file(file, kClassifierKind, kClassifierVersion);
  std::vector<std::string> names = load_label_names(file);
  if (names.size() < 2) throw InputError("model file: a classifier of less than two classes");
  ClassifierShape shape{load_image_shape(file), static_cast<int32_t>(names.size()),
                        load_extent(file.metadata, "channels", kMostLayerWidth),
                        load_extent(file.metadata, "features", kMostLayerWidth)};
  ImageClassifier classifier(shape, std::move(names), 0);
  load_layers(file, "layers", classifier.network_.layers());
  classifier.about_ = file.metadata;
  return classifier;
}

void ImageClassifier::use(const Backend& backend, Precision precision) {
  trained_.emplace(network_, precision, kMeasuredRows, backend);
}

void ImageClassifier::for_each_block(const Images& images, const std::function<void(int64_t, const float*)>& take) {
  check_image_shape(images, image_shape());
  if (!trained_) use(*make_backend("cpu"), Precision::kSingle);
  std::vector<float> levels(static_cast<size_t>(kMeasuredRows * images.shape.size()));
  for (int64_t first = 0; first < images.count(); first += kMeasuredRows) {
    const int64_t rows = std::min(kMeasuredRows, images.count() - first);
    levels_of(images.image(first), rows * images.shape.size(), levels.data());
    take(rows, trained_->forward(levels.data(), rows));
  }
}

std::vector<float> ImageClassifier::probabilities(const Images& images) {
  std::vector<float> all;
  all.reserve(static_cast<size_t>(images.count() * classes()));
  for_each_block(images, [&](int64_t rows, const float* probabilities) {
    all.insert(all.end(), probabilities, probabilities + rows * classes());
  });
  return all;
}

std::vector<float> ImageClassifier::features(const Images& images) {
  std::vector<float> all;
  all.reserve(static_cast<size_t>(images.count() * feature_count()));
  for_each_block(images, [&](int64_t rows, const float*) {
    all.insert(all.end(), trained_->features(), trained_->features() + rows * feature_count());
  });
  return all;
}

double accuracy(const std::vector<float>& probabilities, const std::vector<int32_t>& labels) {
  if (labels.empty()) return 0;
  const size_t classes = probabilities.size() / labels.size();
  int64_t right = 0;
  for (size_t row = 0; row < labels.size(); ++row) {
    const auto first = probabilities.begin() + static_cast<int64_t>(row * classes);
    right += std::max_element(first, first + static_cast<int64_t>(classes)) - first == labels[row];
  }
  return static_cast<double>(right) / static_cast<double>(labels.size());
}

}  // namespace doppel
