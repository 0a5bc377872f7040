#include <nlohmann/json.hpp>

#include "engine/evaluation/image_evaluation.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

Json readings_json(const ImageReadings& readings, size_t classes) {
  Json json{{"images", readings.images},
            {"accuracy", readings.accuracy},
            {"mean_confidence", readings.mean_confidence},
            {"balance_of_classes_read", readings.balance},
            {"images_read_as", readings.read},
            {"images_by_confidence", readings.confidence}};
  if (readings.confusion.empty()) return json;
  json["class_accuracy"] = readings.class_accuracy;
  Json& confusion = json["confusion"] = Json::array();  // a row a class asked for
  for (auto row = readings.confusion.begin(); row != readings.confusion.end(); row += static_cast<int64_t>(classes))
    confusion.push_back(std::vector<int64_t>(row, row + static_cast<int64_t>(classes)));
  return json;
}

Json features_json(const FeatureScores& scores) {
  return {{"frechet_distance", scores.frechet_distance},
          {"frechet_images", scores.images},
          {"frechet_training_images", scores.real_images},
          {"precision", scores.manifold.precision},
          {"recall", scores.manifold.recall},
          {"precision_recall_images", scores.manifold_images},
          {"precision_recall_neighbours", kManifoldNeighbours}};
}

Json distances_json(const DistanceSummary& summary) {
  return {{"images", summary.rows}, {"percentile_5", summary.percentile_5}, {"median", summary.median}};
}

Json privacy_json(const ImagePrivacy& privacy) {
  Json repeated = Json::array();
  for (const RepeatedImage& image : privacy.repeated)
    repeated.push_back({{"synthetic_image", image.synthetic},
                        {"training_image", image.training},
                        {"distance", image.distance},
                        {"distance_to_held_out", image.to_held_out}});
  return {{"training_images_searched", privacy.training_images},
          {"synthetic_distance_to_nearest_training_image", distances_json(privacy.synthetic_distance)},
          {"holdout_distance_to_nearest_training_image", distances_json(privacy.holdout_distance)},
          {"identical_images_synthetic", privacy.identical_synthetic},
          {"identical_images_holdout", privacy.identical_holdout},
          {"compared_images", privacy.compared_images},
          {"nearer_to_training_share", privacy.nearer_share},
          {"tied_share", privacy.tied_share},
          {"copies_share", privacy.copies_share},
          {"holdout_nearer_to_training_share", privacy.holdout_nearer_share},
          {"most_repeated", std::move(repeated)}};
}

Json scatter_json(const CodeScatter& scatter) {
  return {{"explained_share", {scatter.explained_share_x, scatter.explained_share_y}},
          {"real_x", scatter.real_x},
          {"real_y", scatter.real_y},
          {"real_label", scatter.real_labels},
          {"synthetic_x", scatter.synthetic_x},
          {"synthetic_y", scatter.synthetic_y},
          {"synthetic_label", scatter.synthetic_labels}};
}

// Labels, here and above, are positions in "classes".
Json interpolations_json(const std::vector<Interpolation>& ways) {
  Json json = Json::array();
  for (const Interpolation& way : ways) {
    Json of_way{{"first_image", way.first}, {"second_image", way.second}};
    if (way.first_label >= 0) of_way.update({{"first_label", way.first_label}, {"second_label", way.second_label}});
    of_way["distance_of_codes"] = way.distance;
    json.push_back(std::move(of_way));
  }
  return json;
}

Json generator_json(const GeneratorEvaluation& generator) {
  return {{"kind", generator.kind},
          {"history", to_json(generator.history)},
          {"codes_per_image", generator.codes.width},
          {"code_scatter", scatter_json(generator.codes.scatter)},
          {"interpolations_within_classes", interpolations_json(generator.codes.within)},
          {"interpolations_between_classes", interpolations_json(generator.codes.between)}};
}

}  // namespace

Json to_json(const ImageEvaluation& evaluation) {
  const size_t classes = evaluation.classes.size();
  Json json{{"real_images", evaluation.real_images},
            {"synthetic_images", evaluation.synthetic_images},
            {"classes", evaluation.classes},
            {"synthetic_readings", readings_json(evaluation.synthetic, classes)},
            {evaluation.has_holdout ? "holdout_readings" : "real_readings", readings_json(evaluation.real, classes)},
            {"classes_covered", evaluation.coverage.covered},
            {"classes_of_real_images", evaluation.coverage.of},
            {"synthetic_features", features_json(evaluation.features)}};
  if (evaluation.holdout_features) json["holdout_features"] = features_json(*evaluation.holdout_features);
  json["privacy"] = privacy_json(evaluation.privacy);
  if (evaluation.utility) {
    const ImageUtility& utility = *evaluation.utility;
    json["utility"] = {{"accuracy_trained_on_synthetic", utility.trained_on_synthetic},
                       {"accuracy_trained_on_real", utility.trained_on_real},
                       {"synthetic_images", utility.synthetic_images},
                       {"real_images", utility.real_images},
                       {"test_images", utility.test_images},
                       {"epochs", utility.epochs}};
  }
  json["classifier_history"] = to_json(evaluation.classifier_history);
  if (evaluation.generator) json["generator"] = generator_json(*evaluation.generator);
  json["notes"] = evaluation.notes;
  return json;
}

}  // namespace doppel
