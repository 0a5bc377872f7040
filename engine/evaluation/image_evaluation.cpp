#include "engine/evaluation/image_evaluation.h"

#include <algorithm>
#include <map>

#include "engine/evaluation/choose_rows.h"
#include "engine/model.h"
#include "engine/models/image/image_metadata.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr int64_t kBlockImages = 2048;

// Evaluates step by step; tells of each.
class Evaluator {
 public:
  Evaluator(ImageClassifier& classifier, const Backend& backend, const ImageEvaluateOptions& options)
      : classifier_(classifier), backend_(backend), options_(options) {
    classifier_.use(backend_, Precision::kSingle);
  }

  ImageReadings read(const Images& images, const std::string& stage) { return read(classifier_, images, stage); }

  void compare_features(const Images& real, const Images& synthetic, const Images* holdout,
                        ImageEvaluation& evaluation) {
    const int64_t most = holdout == nullptr ? kMostFeatureImages : std::min(kMostFeatureImages, holdout->count());
    const std::vector<float> of_real = features_of(real, kMostFeatureImages, "features of real images");
    const FeatureMoments moments = moments_of(of_real, classifier_.feature_count());
    const int64_t manifold =
        std::min({kMostManifoldImages, real.count(), synthetic.count(), holdout == nullptr ? most : holdout->count()});
    const std::vector<float> real_points = part_of(of_real, manifold);
    const auto score = [&](const Images& images, const std::string& what) {
      const std::vector<float> features = features_of(images, most, "features of " + what);
      FeatureScores scores;
      scores.images = static_cast<int64_t>(features.size()) / classifier_.feature_count();
      scores.real_images = moments.count;
      scores.frechet_distance = frechet_distance(moments, moments_of(features, classifier_.feature_count()), backend_);
      tell("precision and recall of " + what, 0);
      scores.manifold_images = manifold;
      scores.manifold = precision_and_recall(real_points, part_of(features, manifold), classifier_.feature_count(),
                                             kManifoldNeighbours);
      return scores;
    };
    evaluation.features = score(synthetic, "synthetic images");
    if (holdout != nullptr) evaluation.holdout_features = score(*holdout, "held-out images");
  }

  ImageUtility train(const Images& synthetic, const Images& holdout, double trained_on_real) {
    ClassifierOptions training = classifier_.training();
    const int64_t real_images = classifier_.training_images();
    const int64_t most = real_images > 0 ? std::min(real_images, synthetic.count()) : synthetic.count();
    ImageUtility utility{.real_images = real_images, .test_images = holdout.count(), .epochs = training.epochs};
    utility.synthetic_images = most;
    const std::string stage =
        "training on " + std::to_string(most) + " synthetic images, " + std::to_string(training.epochs) + " epochs";
    tell(stage, 0);
    training.progress = [&](double share, const ClassifierEpoch&) { tell(stage, share); };
    const Images chosen = choose_images(synthetic, choose_rows(synthetic.count(), most, options_.seed));
    ImageClassifier trained = ImageClassifier::fit(chosen, training, backend_);
    trained.use(backend_, Precision::kSingle);
    utility.trained_on_synthetic = read(trained, holdout, "testing on held-out images").accuracy;
    utility.trained_on_real = trained_on_real;
    return utility;
  }

  // Of the images that `real` are: held-out ones if there are any.
  GeneratorEvaluation look_at_codes(const Model& generator, const Images& real, const Images& synthetic) {
    tell("codes of images", 0);
    return {generator.kind(), read_training_history(generator.describe()),
            evaluate_image_codes(*generator.coder(backend_), real, synthetic, backend_, options_.seed)};
  }

  void tell(const std::string& stage, double share) {
    if (options_.progress) options_.progress(stage, share);
  }

 private:
  ImageReadings read(ImageClassifier& classifier, const Images& images, const std::string& stage) {
    std::vector<float> probabilities;
    for_each_block(images, all_of(images), stage, [&](const Images& block) {
      const std::vector<float> of_block = classifier.probabilities(block);
      probabilities.insert(probabilities.end(), of_block.begin(), of_block.end());
    });
    return summarise_readings(probabilities, images.labels, classifier.classes());
  }

  static std::vector<int64_t> all_of(const Images& images) { return choose_rows(images.count(), images.count(), 0); }

  template <class Take>
  void for_each_block(const Images& images, const std::vector<int64_t>& numbers, const std::string& stage,
                      const Take& take) {
    const auto count = static_cast<int64_t>(numbers.size());
    for (int64_t first = 0; first < count; first += kBlockImages) {
      tell(stage, static_cast<double>(first) / static_cast<double>(count));
      const auto begin = numbers.begin() + first;
      take(choose_images(images, {begin, begin + std::min(kBlockImages, count - first)}));
    }
  }

  // Of images chosen, in the order of their hashes.
  std::vector<float> features_of(const Images& images, int64_t most, const std::string& stage) {
    const std::vector<int64_t> numbers = shuffle_rows(images.count(), most, options_.seed);
    std::vector<float> features;
    for_each_block(images, numbers, stage, [&](const Images& block) {
      const std::vector<float> of_block = classifier_.features(block);
      features.insert(features.end(), of_block.begin(), of_block.end());
    });
    return features;
  }

  std::vector<float> part_of(const std::vector<float>& features, int64_t images) const {
    return {features.begin(), features.begin() + images * classifier_.feature_count()};
  }

  ImageClassifier& classifier_;
  const Backend& backend_;
  const ImageEvaluateOptions& options_;
};

void note_what_is_missing(const Images& real, const Images& synthetic, const Images* holdout,
                          const ImageEvaluateOptions& options, ImageEvaluation& evaluation) {
  std::vector<std::string>& notes = evaluation.notes;
  if (synthetic.labels.empty())
    notes.push_back(
        "the synthetic images have no labels beside them: what was asked for is not known, so there is no "
        "accuracy of them");
  if (evaluation.generator && evaluation.generator->codes.scatter.synthetic_x.empty())
    notes.push_back(
        "the generator encodes an image together with its label, and the synthetic images have none: their codes are "
        "not known");
  if (holdout == nullptr)
    notes.push_back(
        "there is nothing to compare with: give --holdout with real images that were not used (accuracy of "
        "real images is that of images that the classifier may have learned)");
  const ImagePrivacy& privacy = evaluation.privacy;
  if (privacy.synthetic_distance.rows < synthetic.count())
    notes.push_back("the nearest training image is sought of " + std::to_string(privacy.synthetic_distance.rows) +
                    " of the " + std::to_string(synthetic.count()) + " synthetic images");
  if (privacy.training_images < real.count())
    notes.push_back("nearest images are sought among " + std::to_string(privacy.training_images) + " of the " +
                    std::to_string(real.count()) + " training images");
  if (options.train_on_synthetic && evaluation.utility &&
      evaluation.utility->synthetic_images < evaluation.utility->real_images)
    notes.push_back("the network trained on synthetic images saw " +
                    std::to_string(evaluation.utility->synthetic_images) + " of them, and the classifier " +
                    std::to_string(evaluation.utility->real_images) + " real ones: generate as many to compare them");
}

bool can_train_on(const Images& synthetic, const Images* holdout, const ImageEvaluateOptions& options) {
  if (!options.train_on_synthetic || holdout == nullptr || holdout->labels.empty() || synthetic.labels.empty())
    return false;
  return std::adjacent_find(synthetic.labels.begin(), synthetic.labels.end(), std::not_equal_to<>()) !=
         synthetic.labels.end();
}

}  // namespace

void match_labels(const std::vector<std::string>& classes, const std::string& what, Images& images) {
  if (images.labels.empty()) return;
  std::map<std::string, int32_t> known;
  for (const std::string& name : classes) known.emplace(name, static_cast<int32_t>(known.size()));
  std::vector<int32_t> numbers;
  for (const std::string& name : label_names_of(images)) {
    const auto found = known.find(name);
    if (found == known.end())
      throw InputError(what + ": has the label '" + name + "', which the classifier does not know: it knows " +
                       classes.front() + " to " + classes.back());
    numbers.push_back(found->second);
  }
  for (int32_t& label : images.labels) label = numbers[static_cast<size_t>(label)];
  images.label_names = classes;
}

ImageEvaluation evaluate_images(ImageClassifier& classifier, const Images& real, const Images& synthetic,
                                const Images* holdout, const Backend& backend, const ImageEvaluateOptions& options) {
  Evaluator evaluator(classifier, backend, options);
  ImageEvaluation evaluation;
  evaluation.classes = classifier.label_names();
  evaluation.real_images = real.count();
  evaluation.synthetic_images = synthetic.count();
  evaluation.has_holdout = holdout != nullptr;
  evaluation.classifier_history = read_training_history(classifier.describe());
  if (options.generator != nullptr)
    evaluation.generator = evaluator.look_at_codes(*options.generator, holdout != nullptr ? *holdout : real, synthetic);
  evaluation.synthetic = evaluator.read(synthetic, "reading synthetic images");
  evaluation.real = holdout != nullptr ? evaluator.read(*holdout, "reading held-out images")
                                       : evaluator.read(real, "reading real images");
  evaluation.coverage = count_covered(evaluation.real, evaluation.synthetic);
  evaluator.compare_features(real, synthetic, holdout, evaluation);
  evaluation.privacy = evaluate_image_privacy(real, synthetic, holdout, options.seed,
                                              [&](double share) { evaluator.tell("nearest training images", share); });
  if (can_train_on(synthetic, holdout, options))
    evaluation.utility = evaluator.train(synthetic, *holdout, evaluation.real.accuracy);
  note_what_is_missing(real, synthetic, holdout, options, evaluation);
  return evaluation;
}

}  // namespace doppel
