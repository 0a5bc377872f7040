#include "host/cli/evaluate_images.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <vector>

#include "engine/evaluation/image_evaluation.h"
#include "host/cli/model_output.h"
#include "host/cli/open_model.h"
#include "host/manifest.h"
#include "host/progress.h"
#include "host/readers/images.h"
#include "host/readers/watched_table.h"
#include "host/report/image_report.h"
#include "host/scheduler.h"
#include "host/text_table.h"
#include "host/writer.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kMostMatrixClasses = 12, kMostClassesShown = 40, kShownConfusions = 5, kShownRepeated = 3;
constexpr size_t kLabelCharacters = 16;

std::string number_text(const char* format, double value) {
  char text[64];
  std::snprintf(text, sizeof text, format, value);
  return std::isnan(value) ? "-" : text;
}
std::string percent_text(double share) {
  return number_text("%.2f %%", 100 * share);
}
std::string score_text(double score) {
  return number_text("%.4f", score);
}

ImageClassifier read_classifier(const std::string& path) {
  const std::vector<std::byte> bytes = read_file(path);
  const ModelFile file = parse_model_file(bytes, path);
  if (!file.metadata.is_object() || file.metadata.value("kind", nlohmann::json()) != kClassifierKind)
    throw UsageError("--model " + path + ": is no classifier of images: doppel fit IMAGES --model cnn -o cnn.doppel " +
                     "learns one");
  return ImageClassifier::load(file);
}

// The model that --generator names, or null. What would be wrong with it after minutes of evaluation shows now.
std::unique_ptr<Model> open_generator(const EvaluateImages& command, const CommonOptions& common,
                                      const ImageClassifier& classifier, const Backend& backend) {
  if (command.generator.empty()) return nullptr;
  if (command.report.empty() && common.json.empty())
    throw UsageError("--generator: what it is for is seen with -o report.html or --json FILE");
  std::unique_ptr<Model> generator = open_model(command.generator).model;
  const std::string name = "--generator " + command.generator + ": ";
  std::shared_ptr<const Coder> coder;
  try {
    coder = generator->coder(backend);
  } catch (const UsageError& error) {
    throw UsageError(name + error.what());
  }
  if (!(coder->rows().image == classifier.image_shape()))
    throw UsageError(name + "does not make images of the size and colour that " + command.model + " learned from");
  if (coder->rows().columns.empty()) return generator;
  const std::vector<std::string>& known = coder->rows().columns.front().schema.levels;
  for (const std::string& label : classifier.label_names())
    if (std::find(known.begin(), known.end(), label) == known.end())
      throw UsageError(name + "does not know the label '" + label + "' of " + command.model +
                       ": give the model that made the synthetic images");
  return generator;
}

struct ReadImages {
  Images real, synthetic, holdout;
};

// Half of the memory is for images.
ReadImages read_all(const EvaluateImages& command, const CommonOptions& common, const ImageClassifier& classifier) {
  ReadImages all;
  int64_t memory_bytes = common.memory_bytes / 2;
  const auto read = [&](const std::string& path, Images& images) {
    if (path.empty()) return;
    if (!holds_images(path))
      throw UsageError(path + ": holds no images, and --real " + command.real +
                       " does: give IDX, NPY, PNG files, or a folder of doppel generate --format idx, npy or png");
    images = read_images(path, {"", memory_bytes});
    if (!(images.shape == classifier.image_shape()))
      throw InputError(path + ": its images are of another size or colour than those that " + command.model +
                       " learned from");
    match_labels(classifier.label_names(), path, images);
    memory_bytes -= static_cast<int64_t>(images.pixels.size());
  };
  read(command.real, all.real);
  read(command.synthetic, all.synthetic);
  read(command.holdout, all.holdout);
  return all;
}

void check_labels(const EvaluateImages& command, const ReadImages& images, const Model* generator) {
  if (command.minimum_accuracy && images.synthetic.labels.empty())
    throw UsageError("--min-accuracy: " + command.synthetic +
                     " has no labels beside its images to tell what was asked for");
  const bool has_holdout = !command.holdout.empty();
  const Images& encoded = has_holdout ? images.holdout : images.real;
  if (generator != nullptr && !generator->schema().columns.empty() && encoded.labels.empty())
    throw UsageError("--generator " + command.generator + ": describes an image together with its label, and " +
                     (has_holdout ? command.holdout : command.real) + " has no labels beside its images");
}

// Of classes asked for and read, the pairs that are most often confused.
void print_confusions(const ImageEvaluation& evaluation) {
  const ImageReadings& readings = evaluation.synthetic;
  const size_t classes = evaluation.classes.size();
  std::vector<size_t> cells;
  for (size_t cell = 0; cell < readings.confusion.size(); ++cell)
    if (cell / classes != cell % classes && readings.confusion[cell] > 0) cells.push_back(cell);
  std::stable_sort(cells.begin(), cells.end(),
                   [&](size_t a, size_t b) { return readings.confusion[a] > readings.confusion[b]; });
  cells.resize(std::min(cells.size(), kShownConfusions));
  for (const size_t cell : cells)
    std::printf("most often: %s read as %s, %lld images\n",
                shorten_text(evaluation.classes[cell / classes], kLabelCharacters).c_str(),
                shorten_text(evaluation.classes[cell % classes], kLabelCharacters).c_str(),
                static_cast<long long>(readings.confusion[cell]));
}

// A line a class; of few classes with the synthetic images' confusion matrix.
void print_classes(const ImageEvaluation& evaluation) {
  const ImageReadings &synthetic = evaluation.synthetic, &real = evaluation.real;
  const size_t classes = evaluation.classes.size();
  const bool has_labels = !synthetic.confusion.empty(), has_matrix = has_labels && classes <= kMostMatrixClasses;
  std::vector<std::string> titles{has_labels ? "asked for" : "class", ">synthetic", ">real"};
  for (size_t c = 0; has_matrix && c < classes; ++c)
    titles.push_back(">" + shorten_text(evaluation.classes[c], kLabelCharacters));
  TextTable table(titles);
  for (size_t label = 0; label < std::min(classes, kMostClassesShown); ++label) {
    std::vector<std::string> cells{shorten_text(evaluation.classes[label], kLabelCharacters)};
    if (has_labels) {
      cells.push_back(percent_text(synthetic.class_accuracy[label]));
      cells.push_back(real.class_accuracy.empty() ? "-" : percent_text(real.class_accuracy[label]));
    } else {
      cells.push_back(std::to_string(synthetic.read[label]));
      cells.push_back(std::to_string(real.read[label]));
    }
    for (size_t c = 0; has_matrix && c < classes; ++c)
      cells.push_back(std::to_string(synthetic.confusion[label * classes + c]));
    table.add(std::move(cells));
  }
  std::printf("%s\n", has_labels ? has_matrix ? "share read as asked for, and synthetic images by what they are read as"
                                              : "share read as asked for"
                                 : "images read as");
  std::fputs(table.text().c_str(), stdout);
  if (classes > kMostClassesShown)
    std::printf("and %zu more classes (--json tells of all)\n", classes - kMostClassesShown);
  if (has_labels) print_confusions(evaluation);
}

void print_scores(const ImageEvaluation& evaluation) {
  const auto& [synthetic, real] = std::pair(evaluation.synthetic, evaluation.real);
  const std::string real_name = evaluation.has_holdout ? ">held-out real" : ">real";
  TextTable table({"read by the classifier", ">synthetic", real_name});
  table.add({"images", std::to_string(synthetic.images), std::to_string(real.images)});
  table.add({"accuracy: read as asked for", percent_text(synthetic.accuracy), percent_text(real.accuracy)});
  table.add({"mean confidence", score_text(synthetic.mean_confidence), score_text(real.mean_confidence)});
  table.add({"balance of classes read", score_text(synthetic.balance), score_text(real.balance)});
  table.add({"classes covered", std::to_string(evaluation.coverage.covered), std::to_string(evaluation.coverage.of)});
  const auto add = [&](const char* name, const auto& value) {
    table.add({name, score_text(value(evaluation.features)),
               evaluation.holdout_features ? score_text(value(*evaluation.holdout_features)) : "-"});
  };
  add("Fréchet distance of features", [](const FeatureScores& scores) { return scores.frechet_distance; });
  add("precision", [](const FeatureScores& scores) { return scores.manifold.precision; });
  add("recall", [](const FeatureScores& scores) { return scores.manifold.recall; });
  if (evaluation.utility)
    table.add({"accuracy of one trained on", percent_text(evaluation.utility->trained_on_synthetic),
               percent_text(evaluation.utility->trained_on_real)});
  std::printf("\n%s", table.text().c_str());
  if (evaluation.utility)
    std::printf("  trained for %lld epochs on %lld synthetic and %lld real images, tested on %lld held-out ones\n",
                static_cast<long long>(evaluation.utility->epochs),
                static_cast<long long>(evaluation.utility->synthetic_images),
                static_cast<long long>(evaluation.utility->real_images),
                static_cast<long long>(evaluation.utility->test_images));
}

void print_privacy(const ImagePrivacy& privacy, bool has_holdout) {
  TextTable table({"nearest training image", ">of images", ">identical", ">distance: 5 % at", ">median"});
  const auto add = [&](const char* name, const DistanceSummary& distance, int64_t identical) {
    table.add({name, std::to_string(distance.rows), std::to_string(identical), score_text(distance.percentile_5),
               score_text(distance.median)});
  };
  add("to synthetic images", privacy.synthetic_distance, privacy.identical_synthetic);
  if (has_holdout) add("to held-out real images", privacy.holdout_distance, privacy.identical_holdout);
  std::printf("\n%s", table.text().c_str());
  if (has_holdout)
    std::printf(
        "nearer to training images than to held-out ones (%lld of each): %.1f %% of synthetic images\n"
        "  50 %%: as to images never seen; held-out images: %.1f %%; copies of the training images would be at %.1f "
        "%%\n",
        static_cast<long long>(privacy.compared_images), 100 * privacy.nearer_share, 100 * privacy.holdout_nearer_share,
        100 * privacy.copies_share);
  for (size_t i = 0; i < std::min(privacy.repeated.size(), kShownRepeated); ++i)
    std::printf(
        "nearest: synthetic image %lld to training image %lld, at %.4f%s\n",
        static_cast<long long>(privacy.repeated[i].synthetic), static_cast<long long>(privacy.repeated[i].training),
        privacy.repeated[i].distance,
        has_holdout ? (", to the nearest held-out one " + score_text(privacy.repeated[i].to_held_out)).c_str() : "");
}

// Says which gates are not met.
bool meets_gates(const EvaluateImages& command, const ImageEvaluation& evaluation) {
  bool met = true;
  if (command.minimum_accuracy && !(evaluation.synthetic.accuracy >= *command.minimum_accuracy)) {
    std::fprintf(stderr, "doppel: the accuracy of synthetic images, %s, is below --min-accuracy %g\n",
                 score_text(evaluation.synthetic.accuracy).c_str(), *command.minimum_accuracy);
    met = false;
  }
  if (command.maximum_nearer_share && !(evaluation.privacy.nearer_share <= *command.maximum_nearer_share)) {
    std::fprintf(stderr, "doppel: the share of images nearer to training images, %s, is above --max-nearer-share %g\n",
                 score_text(evaluation.privacy.nearer_share).c_str(), *command.maximum_nearer_share);
    met = false;
  }
  return met;
}

}  // namespace

void evaluate_images(const EvaluateImages& command, const CommonOptions& common, int& status) {
  ImageClassifier classifier = read_classifier(command.model);
  const std::unique_ptr<Backend> backend = make_backend(common.backend);
  StageProgress progress(Progress::style_for(common.quiet));
  ImageEvaluateOptions options;
  options.seed = command.seed;
  options.train_on_synthetic = command.train_on_synthetic;
  options.progress = [&](const std::string& stage, double share) {
    throw_if_interrupted();
    progress.update(stage, share);
  };
  options.progress("reading files", 0);
  const std::unique_ptr<Model> generator = open_generator(command, common, classifier, *backend);
  options.generator = generator.get();
  const ReadImages images = read_all(command, common, classifier);
  check_labels(command, images, generator.get());
  const Images* held_out = command.holdout.empty() ? nullptr : &images.holdout;
  const ImageEvaluation evaluation =
      evaluate_images(classifier, images.real, images.synthetic, held_out, *backend, options);
  progress.finish();
  if (!command.report.empty()) {
    const std::string page =
        make_image_report(evaluation, {images.real, images.synthetic, held_out}, {command.model, command.generator},
                          {command.real, command.synthetic, command.holdout, common.command_line, command.seed});
    write_file_atomically(command.report, std::as_bytes(std::span(page)));
  }

  if (!common.quiet && common.json != "-") {
    print_classes(evaluation);
    print_scores(evaluation);
    print_privacy(evaluation.privacy, evaluation.has_holdout);
    if (!command.report.empty()) std::printf("report: %s\n", command.report.c_str());
  }
  if (!common.quiet)
    for (const std::string& note : evaluation.notes) std::fprintf(stderr, "doppel: note: %s\n", note.c_str());
  Json result{{"command", "evaluate"}, {"real", command.real}, {"synthetic", command.synthetic}};
  result["holdout"] = command.holdout.empty() ? Json(nullptr) : Json(command.holdout);
  result["model"] = command.model;
  result["generator_model"] = command.generator.empty() ? Json(nullptr) : Json(command.generator);
  result["backend"] = backend->description();
  result["seed"] = command.seed;
  result.update(to_json(evaluation));
  add_seconds(progress, result);
  result["peak_memory_bytes"] = peak_memory_bytes();
  result["versions"] = program_versions();
  write_json(common, result);
  if (!meets_gates(command, evaluation)) status = static_cast<int>(ExitStatus::kGateNotMet);
}

}  // namespace doppel
