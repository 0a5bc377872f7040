#include "host/report/image_report.h"

#include <arrow/util/base64.h>

#include <algorithm>
#include <cmath>
#include <vector>

#include "host/image_grid.h"
#include "host/report/assets.h"
#include "host/report/image_charts.h"
#include "host/report/page.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownClasses = 40;
constexpr int32_t kInLine = 12;
constexpr size_t kUnlabelledLines = 5;

std::string two_digits(double share) {
  return format_number("%.2f %%", 100 * share);
}
std::string short_number(double value) {
  return format_number("%.4g", value);
}

// "data:image/png;base64,..." of lines of images.
std::string picture(const ImageShape& shape, const std::vector<std::vector<const uint8_t*>>& lines, int32_t in_line) {
  ByteBuffer png;
  encode_image_grid(shape, lines, in_line, png);
  return "data:image/png;base64," + arrow::util::base64_encode({reinterpret_cast<const char*>(png.data()), png.size()});
}

// The first images of a class; of all where `label` is negative.
std::vector<const uint8_t*> first_images(const Images& images, int32_t label, size_t most) {
  std::vector<const uint8_t*> found;
  for (int64_t i = 0; i < images.count() && found.size() < most; ++i)
    if (label < 0 || images.labels[static_cast<size_t>(i)] == label) found.push_back(images.image(i));
  return found;
}

Json picture_lines(const ImageEvaluation& evaluation, const EvaluatedImages& images) {
  const bool has_labels = !images.real.labels.empty() && !images.synthetic.labels.empty();
  Json lines = Json::array();
  const auto add = [&](const std::string& name, const std::vector<const uint8_t*>& real,
                       const std::vector<const uint8_t*>& synthetic) {
    lines.push_back(Json{{"name", name},
                         {"real", picture(images.real.shape, {real}, kInLine)},
                         {"synthetic", picture(images.real.shape, {synthetic}, kInLine)}});
  };
  if (has_labels) {
    for (size_t c = 0; c < std::min(evaluation.classes.size(), kShownClasses); ++c) {
      const auto label = static_cast<int32_t>(c);
      add(evaluation.classes[c], first_images(images.real, label, kInLine),
          first_images(images.synthetic, label, kInLine));
    }
    return lines;
  }
  const std::vector<const uint8_t*> real = first_images(images.real, -1, kUnlabelledLines * kInLine);
  const std::vector<const uint8_t*> synthetic = first_images(images.synthetic, -1, kUnlabelledLines * kInLine);
  const auto part = [](const std::vector<const uint8_t*>& all, size_t line) {
    const size_t first = std::min(line * kInLine, all.size()), last = std::min(first + kInLine, all.size());
    return std::vector<const uint8_t*>(all.begin() + static_cast<int64_t>(first),
                                       all.begin() + static_cast<int64_t>(last));
  };
  for (size_t line = 0; line < kUnlabelledLines; ++line) add("", part(real, line), part(synthetic, line));
  return lines;
}

Json repeated_json(const ImageEvaluation& evaluation, const EvaluatedImages& images) {
  Json pairs = Json::array();
  for (const RepeatedImage& pair : evaluation.privacy.repeated)
    pairs.push_back(Json{
        {"picture",
         picture(images.real.shape, {{images.synthetic.image(pair.synthetic), images.real.image(pair.training)}}, 2)},
        {"synthetic", count_text(pair.synthetic)},
        {"training", count_text(pair.training)},
        {"distance", short_number(pair.distance)},
        {"to_held_out", std::isnan(pair.to_held_out) ? Json(false) : Json(short_number(pair.to_held_out))}});
  return pairs;
}

// Figures, with what real images reach beside them.
Json figures_json(const ImageEvaluation& evaluation) {
  const ImageReadings &synthetic = evaluation.synthetic, &real = evaluation.real;
  Json rows = Json::array();
  const auto add = [&](const std::string& name, const std::string& explained, const std::string& of_synthetic,
                       const std::string& of_real) {
    rows.push_back(Json{{"name", name}, {"explained", explained}, {"synthetic", of_synthetic}, {"real", of_real}});
  };
  add("Accuracy", "share read as what was asked for", two_digits(synthetic.accuracy), two_digits(real.accuracy));
  add("Mean confidence", "probability of the class read", score_text(synthetic.mean_confidence),
      score_text(real.mean_confidence));
  add("Balance", "entropy of the classes read, 1 where all are as frequent", score_text(synthetic.balance),
      score_text(real.balance));
  add("Classes covered", "read at least a tenth as often as in real images",
      std::to_string(evaluation.coverage.covered), std::to_string(evaluation.coverage.of));
  const auto add_feature = [&](const std::string& name, const std::string& explained, const auto& text) {
    add(name, explained, text(evaluation.features),
        evaluation.holdout_features ? text(*evaluation.holdout_features) : std::string(kDash));
  };
  add_feature("Fréchet distance",
              "in the classifier’s features, " + count_text(evaluation.features.images) + " images beside " +
                  count_text(evaluation.features.real_images) + " training images; 0 is best",
              [](const FeatureScores& scores) { return short_number(scores.frechet_distance); });
  add_feature("Precision",
              "share within the real images’ neighbourhoods, " + count_text(evaluation.features.manifold_images) +
                  " images on either side",
              [](const FeatureScores& scores) { return score_text(scores.manifold.precision); });
  add_feature("Recall", "share of real images within the other images’ neighbourhoods",
              [](const FeatureScores& scores) { return score_text(scores.manifold.recall); });
  return rows;
}

Json utility_json(const ImageUtility& utility) {
  return {{"trained_on_synthetic", two_digits(utility.trained_on_synthetic)},
          {"trained_on_real", two_digits(utility.trained_on_real)},
          {"synthetic_images", count_text(utility.synthetic_images)},
          {"real_images", count_text(utility.real_images)},
          {"test_images", count_text(utility.test_images)},
          {"epochs", std::to_string(utility.epochs)}};
}

Json privacy_row(const std::string& name, int64_t identical, const DistanceSummary& distance) {
  return {{"name", name},
          {"identical", count_text(identical)},
          {"images", count_text(distance.rows)},
          {"percentile_5", short_number(distance.percentile_5)},
          {"median", short_number(distance.median)}};
}

Json privacy_json(const ImageEvaluation& evaluation) {
  const ImagePrivacy& privacy = evaluation.privacy;
  Json rows{privacy_row("synthetic", privacy.identical_synthetic, privacy.synthetic_distance)};
  if (evaluation.has_holdout)
    rows.push_back(privacy_row("held-out real", privacy.identical_holdout, privacy.holdout_distance));
  return {{"training_images", count_text(privacy.training_images)}, {"rows", std::move(rows)}};
}

Json comparison_json(const ImagePrivacy& privacy) {
  if (std::isnan(privacy.nearer_share)) return false;
  return {{"nearer", percent_text(privacy.nearer_share)},
          {"held_out_nearer", percent_text(privacy.holdout_nearer_share)},
          {"copies", percent_text(privacy.copies_share)},
          {"compared_images", count_text(privacy.compared_images)}};
}

Json class_note(size_t classes, size_t most, const std::string& which) {
  if (classes <= most) return false;
  return "Shown are " + std::to_string(most) + " of " + std::to_string(classes) + " classes" + which + ".";
}

// A line a way: the real images at its ends, and between them what their codes and those between decode to.
Json ways_json(const std::vector<Interpolation>& ways, const std::vector<std::string>& classes, const Images& real) {
  Json lines = Json::array();
  for (const Interpolation& way : ways) {
    std::vector<const uint8_t*> line{real.image(way.first)};
    for (int64_t step = 0; step < way.steps.count(); ++step) line.push_back(way.steps.image(step));
    line.push_back(real.image(way.second));
    std::string name;
    if (way.first_label >= 0) name = classes[static_cast<size_t>(way.first_label)];
    if (way.second_label != way.first_label) name += " → " + classes[static_cast<size_t>(way.second_label)];
    lines.push_back(Json{{"name", name}, {"picture", picture(real.shape, {line}, static_cast<int32_t>(line.size()))}});
  }
  return lines;
}

Json generator_json(const ImageEvaluation& evaluation, const EvaluatedImages& images, const Json& charts) {
  if (!evaluation.generator) return false;
  const ImageCodes& codes = evaluation.generator->codes;
  const Images& real = images.holdout != nullptr ? *images.holdout : images.real;
  return {{"width", std::to_string(codes.width)},
          {"x", percent_text(codes.scatter.explained_share_x)},
          {"y", percent_text(codes.scatter.explained_share_y)},
          {"most_codes", count_text(kMostCodes)},
          {"of_classes", !codes.scatter.real_labels.empty()},
          {"has_synthetic", charts.contains("codes-synthetic")},
          {"classes_note", class_note(evaluation.classes.size(), kMostCodeClasses, "")},
          {"within", ways_json(codes.within, evaluation.classes, real)},
          {"has_between", !codes.between.empty()},
          {"between", ways_json(codes.between, evaluation.classes, real)}};
}

Json training_json(const std::string& what, const std::string& model, const TrainingHistory& history) {
  Json charts = Json::array();
  for (const TrainingChart& chart : training_charts(what, history))
    charts.push_back(Json{{"id", chart.name}, {"caption", chart.caption}});
  return {{"what", what},
          {"model", file_name(model)},
          {"epochs", history.epochs() == 0 ? Json(false) : Json(std::to_string(history.epochs()))},
          {"charts", std::move(charts)}};
}

Json trainings_json(const ImageEvaluation& evaluation, const EvaluatingModels& models) {
  Json trainings = Json::array();
  if (evaluation.generator)
    trainings.push_back(training_json("generator", models.generator, evaluation.generator->history));
  trainings.push_back(training_json("classifier", models.classifier, evaluation.classifier_history));
  return trainings;
}

Json source_json(const std::string& path, int64_t images) {
  return {{"name", file_name(path)}, {"path", path}, {"images", count_text(images)}};
}

}  // namespace

std::string make_image_report(const ImageEvaluation& evaluation, const EvaluatedImages& images,
                              const EvaluatingModels& models, const ReportContext& context) {
  const Json charts = make_image_charts(evaluation);
  const Json& drawn = charts.at("charts");
  const ImageShape& shape = images.real.shape;
  const size_t classes = evaluation.classes.size();
  const Json repeated = repeated_json(evaluation, images);
  const Json page{
      {"real", source_json(context.real, evaluation.real_images)},
      {"synthetic", source_json(context.synthetic, evaluation.synthetic_images)},
      {"holdout", context.holdout.empty() ? Json(false) : Json(context.holdout)},
      {"size", std::to_string(shape.height) + " × " + std::to_string(shape.width) +
                   (shape.channels == 1 ? ", grey" : ", colour")},
      {"class_count", std::to_string(classes)},
      {"classifier", file_name(models.classifier)},
      {"generator_name", evaluation.generator ? Json(file_name(models.generator)) : Json(false)},
      {"real_name", evaluation.has_holdout ? "held-out real" : "real"},
      {"has_labels", !evaluation.synthetic.confusion.empty()},
      {"accuracy", two_digits(evaluation.synthetic.accuracy)},
      {"real_accuracy", two_digits(evaluation.real.accuracy)},
      {"has_real_confusion", drawn.contains("confusion-real")},
      {"frechet", short_number(evaluation.features.frechet_distance)},
      {"floor_frechet",
       evaluation.holdout_features ? Json(short_number(evaluation.holdout_features->frechet_distance)) : Json(false)},
      {"utility", evaluation.utility ? utility_json(*evaluation.utility) : Json(false)},
      {"comparison", comparison_json(evaluation.privacy)},
      {"figures", figures_json(evaluation)},
      {"lines", picture_lines(evaluation, images)},
      {"lines_note", class_note(classes, kShownClasses, "")},
      {"confusion_note", class_note(classes, kMostConfusionClasses, ", those that are misread most")},
      {"classes_note", class_note(classes, kMostAccuracyClasses, ", those that are misread most")},
      {"generator", generator_json(evaluation, images, drawn)},
      {"trainings", trainings_json(evaluation, models)},
      {"privacy", privacy_json(evaluation)},
      {"has_repeated", !repeated.empty()},
      {"repeated", repeated},
      {"notes", evaluation.notes}};
  return render_page(image_report_template(), page, charts, context);
}

}  // namespace doppel
