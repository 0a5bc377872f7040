// How good are synthetic images? What a classifier that learned from real ones (models/image_classifier.h) reads of
// them, how they lie among real ones in its features, what a network learns from them, and whether they repeat the
// images that they were made from.
//
// Real images are those that the synthetic ones were made from; held-out ones were not used, and say in the synthetic
// ones' place what the best double of as many images would reach (the floor). Everything is deterministic for a seed
// and a number of threads. What is sampled, by a hash of (seed, image) as choose_rows has it:
//   readings             nothing: all images
//   Fréchet distance     at most kMostFeatureImages a side; with a holdout as many synthetic as held-out images, as
//                        the distance falls with the number
//   precision, recall    at most kMostManifoldImages a side, as many on both
//   nearest images       at most kMostQueries synthetic and held-out images, fewer where images are large, in at most
//                        kMostSearched training images
//   train on synthetic   at most as many synthetic images as the classifier learned from
//   codes                as image_codes.h says
#pragma once

#include <cstdint>
#include <functional>
#include <nlohmann/json_fwd.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/evaluation/evaluation.h"
#include "engine/evaluation/image_codes.h"
#include "engine/evaluation/training_history.h"
#include "engine/image/images.h"
#include "engine/models/image/image_classifier.h"

namespace doppel {

class Backend;
class Model;

inline constexpr int64_t kMostFeatureImages = 60'000, kMostManifoldImages = 10'000;
inline constexpr int64_t kManifoldNeighbours = 3;
inline constexpr size_t kConfidenceBins = 20;
inline constexpr size_t kMostRepeated = 10;

// What a classifier reads of images: each as the class of the highest probability, its confidence.
struct ImageReadings {
  int64_t images = 0;
  std::vector<int64_t> read;        // [classes] images read as it
  std::vector<int64_t> confidence;  // [kConfidenceBins] images by confidence, bins of one width from 0 to 1
  double mean_confidence = kUndefined;
  double balance = kUndefined;  // entropy of the classes read / log(classes): 1 all as often, 0 one only
  // Of labelled images, whose label is what was asked for; empty and undefined of others.
  std::vector<int64_t> confusion;      // [classes asked for, classes read], row-major
  double accuracy = kUndefined;        // share read as what was asked for
  std::vector<double> class_accuracy;  // [classes] undefined where none was asked for
};

// `probabilities` [images, classes]; `labels` [images] of these classes, or empty.
ImageReadings summarise_readings(const std::vector<float>& probabilities, const std::vector<int32_t>& labels,
                                 int32_t classes);

// Classes read at least a tenth as often as in real images, in which they are read at all; so a class that is gone
// does not count for what is misread as it.
struct Coverage {
  int32_t covered = 0, of = 0;
};
Coverage count_covered(const ImageReadings& real, const ImageReadings& other);

// Of features [count, width], row-major.
struct FeatureMoments {
  int64_t count = 0;
  std::vector<double> mean;        // [width]
  std::vector<double> covariance;  // [width, width], with the divisor count - 1
};
FeatureMoments moments_of(const std::vector<float>& features, int64_t width);

// The Fréchet distance of the normal distributions with these moments (Heusel et al., "GANs trained by a two time-scale
// update rule", 2017, there in Inception's features):
//   |mean_a - mean_b|^2 + tr(A + B - 2 (A^1/2 B A^1/2)^1/2)
// In double, the traces of roots from eigenvalues. It is not negative.
double frechet_distance(const FeatureMoments& a, const FeatureMoments& b, const Backend& backend);

// Improved precision and recall (Kynkäänniemi et al., 2019): the share of the other images that lie within the distance
// of a real one to its k-th nearest real neighbour, and the share of real images within such a distance of another.
struct PrecisionRecall {
  double precision = kUndefined, recall = kUndefined;
};
// Both [count, width]; undefined where a side has no more than `neighbours` points.
PrecisionRecall precision_and_recall(const std::vector<float>& real, const std::vector<float>& other, int64_t width,
                                     int64_t neighbours);

// How images lie beside the real ones in the classifier's features.
struct FeatureScores {
  int64_t images = 0, real_images = 0;  // of the Fréchet distance
  double frechet_distance = kUndefined;
  int64_t manifold_images = 0;  // of precision and recall, on either side
  PrecisionRecall manifold;
};

// A synthetic image and the training image that is nearest to it, by their numbers; distances as in ImagePrivacy.
struct RepeatedImage {
  int64_t synthetic = 0, training = 0;
  double distance = 0, to_held_out = kUndefined;
};

// Are synthetic images nearer to the images that they were made from than to others? Distances are Euclidean, exact, of
// levels from 0 to 1.
struct ImagePrivacy {
  int64_t training_images = 0;                             // among which the nearest one was sought
  DistanceSummary synthetic_distance, holdout_distance;    // to the nearest of them
  int64_t identical_synthetic = 0, identical_holdout = 0;  // of those sought
  // As in Privacy: of synthetic images, beside as many training as held-out ones. The floor is that of one half of the
  // held-out images beside as many training ones and the other half.
  int64_t compared_images = 0;
  double nearer_share = kUndefined, tied_share = kUndefined, copies_share = kUndefined;
  double holdout_nearer_share = kUndefined;
  // Those that are nearest to a training image, compared with the nearest held-out image if there is a holdout; the
  // nearest first.
  std::vector<RepeatedImage> repeated;
};

// `holdout` may be null. `progress` is told the share done and may be empty.
ImagePrivacy evaluate_image_privacy(const Images& real, const Images& synthetic, const Images* holdout, uint64_t seed,
                                    const std::function<void(double)>& progress);

// A network like the classifier, trained as it was, on synthetic images, tested on the same held-out images.
struct ImageUtility {
  int64_t synthetic_images = 0, real_images = 0, test_images = 0;
  int64_t epochs = 0;
  double trained_on_synthetic = kUndefined, trained_on_real = kUndefined;  // accuracy
};

// The model that made the synthetic images.
struct GeneratorEvaluation {
  std::string kind;
  TrainingHistory history;
  ImageCodes codes;
};

struct ImageEvaluation {
  std::vector<std::string> classes;
  int64_t real_images = 0, synthetic_images = 0;
  bool has_holdout = false;
  ImageReadings synthetic, real;  // `real`: held-out images if there are any
  Coverage coverage;              // of the synthetic images
  FeatureScores features;
  std::optional<FeatureScores> holdout_features;
  ImagePrivacy privacy;
  std::optional<ImageUtility> utility;
  TrainingHistory classifier_history;
  std::optional<GeneratorEvaluation> generator;
  std::vector<std::string> notes;
};

struct ImageEvaluateOptions {
  uint64_t seed = 0;
  bool train_on_synthetic = true;    // with a holdout and labels; it takes as long as the classifier's training
  const Model* generator = nullptr;  // that made the synthetic images, if its codes are to be looked at
  std::function<void(const std::string& stage, double share)> progress;  // may be empty
};

// Renumbers labels by the names that the classifier knows. Throws InputError for an unknown label; `what` begins the
// message.
void match_labels(const std::vector<std::string>& classes, const std::string& what, Images& images);

// Labels are the classifier's (match_labels). Throws InputError for images of another shape than the classifier's, and
// what Model::coder and evaluate_image_codes throw.
ImageEvaluation evaluate_images(ImageClassifier& classifier, const Images& real, const Images& synthetic,
                                const Images* holdout, const Backend& backend, const ImageEvaluateOptions& options);

nlohmann::ordered_json to_json(const ImageEvaluation& evaluation);

}  // namespace doppel
