#include "engine/models/image/image_classifier_model.h"

#include <algorithm>
#include <cstdio>
#include <optional>
#include <string>
#include <utility>

#include "engine/image/image_schema.h"
#include "engine/models/count_option.h"
#include "engine/models/image/image_classifier.h"
#include "engine/models/image/image_metadata.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMostEpochs = 16, kMostEpochsAsked = 100'000;
constexpr double kTrainingOperations = 2e13;  // multiply-adds

std::optional<int64_t> parse_epochs(const FitOptions& options) {
  return parse_count_option("--epochs", options.epochs, kMostEpochsAsked);
}

class ImageClassifierModel : public Model {
 public:
  explicit ImageClassifierModel(ImageClassifier classifier) : classifier_(std::move(classifier)) {
    for (const OutputColumn& column : make_image_schema(classifier_.image_shape(), classifier_.label_names()).columns)
      schema_.columns.push_back(column.schema);
  }
  std::string kind() const override { return kClassifierKind; }
  const TableSchema& schema() const override { return schema_; }
  ModelFile save() const override { return classifier_.save(); }
  std::shared_ptr<const Generator> make_generator(uint64_t, const Backend&) const override {
    throw UsageError("a model of --model cnn tells images apart and makes none: --model vae and pca do");
  }
  std::shared_ptr<const Generator> make_generator_of(const AskedImages&, uint64_t seed,
                                                     const Backend& backend) const override {
    return make_generator(seed, backend);
  }
  ConditionedRows make_generator_where(const std::string&, uint64_t seed, const Backend& backend) const override {
    make_generator(seed, backend);
    return {};
  }
  Json describe() const override { return classifier_.describe(); }

 private:
  ImageClassifier classifier_;
  TableSchema schema_;
};

}  // namespace

void check_image_classifier_options(const FitOptions& options) {
  parse_epochs(options);
  if (options.components != "auto" || options.members != "auto" || options.space != "scores" ||
      options.latent != "auto" || options.prior != "auto" || options.texture != "auto" || options.likelihood != "auto")
    throw UsageError(
        "--components, --members, --space, --latent, --prior, --texture and --likelihood are not of --model cnn: it "
        "has --epochs");
  if (!options.target.empty() || !options.constraints.empty())
    throw UsageError("--target and --constraint are of tables, and the data are images");
}

std::unique_ptr<Model> fit_image_classifier(const Images& images, const FitOptions& options, const Backend& backend) {
  ClassifierOptions how;
  how.seed = options.seed;
  how.keeper = options.keeper;
  const ClassifierShape shape{images.shape, static_cast<int32_t>(label_names_of(images).size()), how.channels,
                              how.features};
  const double of_epoch = static_cast<double>(images.count()) * ClassifierNetwork<float>::operations_per_row(shape);
  const auto affordable = static_cast<int64_t>(std::min(kTrainingOperations / std::max(of_epoch, 1.0), 1e9));
  how.epochs = parse_epochs(options).value_or(std::clamp<int64_t>(affordable, 1, kMostEpochs));
  how.progress = [&](double share, const ClassifierEpoch& epoch) {
    if (!options.progress) return;
    char stage[80];
    std::snprintf(stage, sizeof stage, "training, %.2f %% of the images held out are told right",
                  100 * epoch.held_out_accuracy);
    options.progress(stage, share);
  };
  return std::make_unique<ImageClassifierModel>(ImageClassifier::fit(images, how, backend));
}

std::unique_ptr<Model> load_image_classifier(const ModelFile& file) {
  return std::make_unique<ImageClassifierModel>(ImageClassifier::load(file));
}

}  // namespace doppel
