// doppel evaluate: is a synthetic table as good as the real one? (Of images: evaluate_images.cpp.)
#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <iterator>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/evaluation/evaluation.h"
#include "engine/table/profile.h"
#include "engine/table/table.h"
#include "host/cli/commands.h"
#include "host/cli/evaluate_images.h"
#include "host/cli/schema_file.h"
#include "host/interrupt.h"
#include "host/manifest.h"
#include "host/readers/images.h"
#include "host/readers/reader.h"
#include "host/readers/watched_table.h"
#include "host/report/report.h"
#include "host/text_table.h"
#include "host/writer.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;
constexpr size_t kShownPairs = 10;

constexpr const char* kEvaluateExamples = R"(
Scores lie between 0 and 1, 1 is best. Shapes and trends are SDMetrics' column shapes and column pair trends, on all rows.
With --holdout: what real rows that were not used score in the synthetic table's place, and how many synthetic rows lie
nearer to the rows they were made from than to those.
Of images (as doppel fit takes them, or a folder of doppel generate) --model names a classifier learned from real ones:
what it reads of the synthetic ones beside what was asked for, how they lie among real ones in its features (Fréchet
distance, precision and recall), how well a network like it learns from them, and the nearest training images. With
--generator, the model that made them, -o and --json also tell of its codes of real and synthetic images, of its training,
and -o shows what it makes of the codes between two images.
Exit status: 0 evaluated, 4 the score is below --min-quality or --min-accuracy, or privacy's share above
--max-nearer-share.

Examples:
  doppel evaluate --real adult.csv --synthetic double.csv
  doppel evaluate --real adult.csv --synthetic rows               a folder that doppel generate wrote
  doppel evaluate --real train.csv --synthetic double.csv --holdout test.csv --target income
  doppel evaluate --real adult.csv --synthetic double.csv -o report.html        charts and tables, one file for any browser
  doppel evaluate --real adult.csv --synthetic double.csv --min-quality 0.9 --json -
  doppel evaluate --real train-images-idx3-ubyte.gz --synthetic digits --model cnn.doppel --holdout t10k-images-idx3-ubyte.gz \
      --generator digits.doppel -o report.html
)";

struct EvaluateCommand {
  std::string real, synthetic, holdout, target, schema, report, model, generator;
  uint64_t seed = 0;
  std::optional<double> minimum_quality, minimum_accuracy, maximum_nearer_share;
  bool no_detection = false, no_train_on_synthetic = false;
};

void evaluate_real_images(const EvaluateCommand& command, const CommonOptions& common, int& status) {
  if (command.model.empty())
    throw UsageError("--real " + command.real + ": holds images, and a classifier judges them: doppel fit " +
                     command.real + " --model cnn -o cnn.doppel, then --model cnn.doppel");
  if (!command.target.empty() || !command.schema.empty() || command.minimum_quality || command.no_detection)
    throw UsageError("--target, --schema, --min-quality and --no-detection are of tables, and --real " + command.real +
                     " holds images");
  evaluate_images(
      {command.real, command.synthetic, command.holdout, command.model, command.generator, command.report, command.seed,
       !command.no_train_on_synthetic, command.minimum_accuracy, command.maximum_nearer_share},
      common, status);
}

void check_table_options(const EvaluateCommand& command) {
  if (!command.model.empty() || !command.generator.empty() || command.minimum_accuracy || command.no_train_on_synthetic)
    throw UsageError("--model, --generator, --min-accuracy and --no-train-on-synthetic are of images, and --real " +
                     command.real + " is a table: leave them out");
}

double seconds_since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

// The file itself, or the files of a folder that doppel generate wrote, in row order.
std::vector<std::string> files_of(const std::string& path) {
  if (!fs::is_directory(path)) return {path};
  std::vector<ManifestEntry> entries;
  for (const std::string& name : find_manifests(path)) {
    const std::optional<Manifest> manifest = read_manifest(path + "/" + name);
    if (manifest) entries.insert(entries.end(), manifest->entries.begin(), manifest->entries.end());
  }
  if (entries.empty())
    throw InputError(path + ": no manifest lists files there: give a data file or a folder that doppel generate wrote");
  std::sort(entries.begin(), entries.end(),
            [](const ManifestEntry& a, const ManifestEntry& b) { return a.first_row < b.first_row; });
  std::vector<std::string> files;
  for (const ManifestEntry& entry : entries) files.push_back(path + "/" + entry.file);
  return files;
}

template <typename Value>
void append_values(std::vector<Value>& values, std::vector<Value>& more) {
  values.insert(values.end(), std::make_move_iterator(more.begin()), std::make_move_iterator(more.end()));
}

void append_table(Table& table, Table&& more) {
  for (size_t j = 0; j < table.columns.size(); ++j) {
    Column &column = table.columns[j], &addition = more.columns[j];
    if (!column.missing.empty() || !addition.missing.empty()) {  // an empty mask says that nothing is missing
      column.missing.resize(static_cast<size_t>(table.rows));
      addition.missing.resize(static_cast<size_t>(more.rows));
    }
    append_values(column.missing, addition.missing);
    append_values(column.quanta, addition.quanta);
    append_values(column.reals, addition.reals);
    append_values(column.codes, addition.codes);
    append_values(column.texts, addition.texts);
  }
  table.rows += more.rows;
}

Table read_all(const std::string& path, const TableSchema& schema) {
  std::optional<Table> table;
  for (const std::string& file : files_of(path)) {
    Table part = read_table(*watch_table(open_table(file)), schema);
    if (table)
      append_table(*table, std::move(part));
    else
      table = std::move(part);
  }
  return std::move(*table);
}

TableSchema infer_schema(const EvaluateCommand& command, TableSource& source) {
  ProfileOptions options;
  if (!command.schema.empty()) options.overrides = read_schema_file(command.schema);
  return profile_table(source, options).schema;
}

// "0.987", or a dash where the score is not defined.
std::string format_score(double score) {
  char text[32];
  std::snprintf(text, sizeof text, "%.4f", score);
  return std::isnan(score) ? "-" : text;
}

void print_columns(const Evaluation& evaluation) {
  std::printf("%s  %8s  %8s  %8s  %8s\n", fit_text("column", 28).c_str(), "shape", "missing", "coverage", "adherence");
  for (const ColumnEvaluation& column : evaluation.columns) {
    const bool discrete = column.shape == ColumnShape::kDiscrete;
    std::printf("%s  %8s  %8s  %8s  %8s\n", fit_text(column.name, 28).c_str(), format_score(column.shape_score).c_str(),
                format_score(column.missing_value_similarity).c_str(),
                format_score(discrete ? column.category_coverage : column.range_coverage).c_str(),
                format_score(discrete ? column.category_adherence : column.boundary_adherence).c_str());
  }
}

void print_worst_pairs(const Evaluation& evaluation) {
  const std::vector<const PairEvaluation*> pairs = worst_pairs(evaluation, kShownPairs);
  if (pairs.empty()) return;
  std::printf("\n%s  %8s  %8s  %8s   (dependence: correlation or Cramer's V)\n", fit_text("worst pairs", 50).c_str(),
              "trend", "real", "synthetic");
  for (const PairEvaluation* pair : pairs) {
    const Dependence dependence = dependence_of(*pair);
    std::printf("%s  %s  %8s  %8s  %8s\n", fit_text(evaluation.columns[pair->first].name, 24).c_str(),
                fit_text(evaluation.columns[pair->second].name, 24).c_str(), format_score(pair->trend_score).c_str(),
                format_score(dependence.real).c_str(), format_score(dependence.synthetic).c_str());
  }
}

void print_utility(const Utility& utility) {
  std::printf("\nutility: learning '%s' from %lld real or %lld synthetic rows, tested on %lld %s rows\n",
              utility.target.c_str(), static_cast<long long>(utility.real_rows),
              static_cast<long long>(utility.synthetic_rows), static_cast<long long>(utility.test_rows),
              utility.has_holdout ? "held-out" : "set-aside real");
  const bool classification = utility.is_classification;
  std::printf("%-20s  %-10s  %9s  %9s  %9s\n", "learner", "trained on", classification ? "auc" : "r2",
              classification ? "accuracy" : "rmse", classification ? "macro f1" : "mae");
  const auto print = [&](const std::string& learner, const char* what, const LearnerScores& scores) {
    if (classification)
      std::printf("%-20s  %-10s  %9s  %9s  %9s", learner.c_str(), what, format_score(scores.auc).c_str(),
                  format_score(scores.accuracy).c_str(), format_score(scores.macro_f1).c_str());
    else
      std::printf("%-20s  %-10s  %9s  %9.4g  %9.4g", learner.c_str(), what, format_score(scores.r2).c_str(),
                  scores.root_mean_square_error, scores.mean_absolute_error);
  };
  for (const LearnerEvaluation& learner : utility.learners) {
    print(learner.learner, "real", learner.trained_on_real);
    std::printf("\n");
    print("", "synthetic", learner.trained_on_synthetic);
    std::printf("   %.1f %% of real's %s\n", 100 * learner.share_of_real, utility.headline.c_str());
  }
}

void print_totals(const Evaluation& evaluation) {
  const auto print = [](const char* name, const QualityScore& score) {
    std::printf("%-28s  %8s  %8s  %8s\n", name, format_score(score.shapes).c_str(), format_score(score.trends).c_str(),
                format_score(score.overall).c_str());
  };
  std::printf("\n%-28s  %8s  %8s  %8s\n", "quality", "shapes", "trends", "overall");
  print("all pairs (classic)", evaluation.classic);
  if (evaluation.holdout) print("  held-out real rows score", evaluation.holdout->classic);
  print("strong pairs (thresholds)", evaluation.with_thresholds);
  if (evaluation.holdout) print("  held-out real rows score", evaluation.holdout->with_thresholds);
  if (std::isnan(evaluation.detection_auc)) return;
  std::printf("detection AUC: %.4f (0.5: boosted trees cannot tell synthetic from real rows, 1: always)\n",
              evaluation.detection_auc);
  if (evaluation.holdout)
    std::printf("  held-out real rows score %s\n", format_score(evaluation.holdout->detection_auc).c_str());
}

void print_privacy(const Evaluation& evaluation) {
  const Privacy& privacy = *evaluation.privacy;
  if (privacy.columns == 0) return;
  std::printf("\n%-28s  %20s  %18s  %8s\n", "privacy: training rows", "identical", "nearest: 5 % at", "median");
  const auto print = [](const char* name, int64_t identical, double share, const DistanceSummary& distance) {
    std::printf("%-28s  %10lld  %6.2f %%  %18s  %8s\n", name, static_cast<long long>(identical), 100 * share,
                format_score(distance.percentile_5).c_str(), format_score(distance.median).c_str());
  };
  print("to synthetic rows", privacy.identical_synthetic_rows, privacy.identical_synthetic_share,
        privacy.synthetic_distance);
  if (!privacy.has_holdout) return;
  print("to held-out real rows", privacy.identical_holdout_rows, privacy.identical_holdout_share,
        privacy.holdout_distance);
  std::printf(
      "nearer to training rows than to held-out ones (%lld of each): %.1f %% of synthetic rows\n"
      "  50 %%: as to rows never seen; copies of the training rows would be at %.1f %%\n",
      static_cast<long long>(privacy.compared_rows), 100 * privacy.nearer_share, 100 * privacy.copies_share);
}

void write_report(const EvaluateCommand& command, const CommonOptions& common, const Evaluation& evaluation) {
  if (command.report.empty()) return;
  const std::string page =
      make_report(evaluation, {command.real, command.synthetic, command.holdout, common.command_line, command.seed});
  write_file_atomically(command.report, std::as_bytes(std::span(page)));
}

// Says which gates are not met.
bool meets_gates(const EvaluateCommand& command, const Evaluation& evaluation) {
  bool met = true;
  if (command.minimum_quality && !(evaluation.classic.overall >= *command.minimum_quality)) {
    std::fprintf(stderr, "doppel: quality %s is below --min-quality %g\n",
                 format_score(evaluation.classic.overall).c_str(), *command.minimum_quality);
    met = false;
  }
  if (command.maximum_nearer_share && !(evaluation.privacy->nearer_share <= *command.maximum_nearer_share)) {
    std::fprintf(stderr, "doppel: the share of rows nearer to training rows, %s, is above --max-nearer-share %g\n",
                 format_score(evaluation.privacy->nearer_share).c_str(), *command.maximum_nearer_share);
    met = false;
  }
  return met;
}

void evaluate(const EvaluateCommand& command, const CommonOptions& common, int& status) {
  check_table_options(command);
  EvaluateOptions options;
  options.seed = command.seed;
  options.detection = !command.no_detection;
  options.on_stage = [&common](const std::string& stage) {
    throw_if_interrupted();
    if (!common.quiet) std::fprintf(stderr, "doppel: evaluating: %s\n", stage.c_str());
  };
  const std::unique_ptr<Backend> backend = make_backend(common.backend);
  options.on_stage("reading");
  const TableSchema schema = infer_schema(command, *watch_table(open_table(command.real)));
  if (!command.target.empty()) options.target = schema.find(command.target);
  const Table real = read_all(command.real, schema), synthetic = read_all(command.synthetic, schema);
  std::optional<Table> holdout;
  if (!command.holdout.empty()) holdout = read_all(command.holdout, schema);

  options.on_stage("shapes and trends");
  const auto start = std::chrono::steady_clock::now();
  Evaluation evaluation = evaluate_quality(schema, real, synthetic, *backend);
  evaluation.quality_seconds = seconds_since(start);
  const Table* held_out = holdout ? &*holdout : nullptr;
  evaluate_beside_holdout(schema, real, synthetic, held_out, *backend, options, evaluation);
  evaluate_learning(schema, real, synthetic, held_out, options, evaluation);

  throw_if_interrupted();
  write_report(command, common, evaluation);
  if (!common.quiet && common.json != "-") {
    print_columns(evaluation);
    print_worst_pairs(evaluation);
    if (evaluation.utility) print_utility(*evaluation.utility);
    print_totals(evaluation);
    print_privacy(evaluation);
    if (!command.report.empty()) std::printf("report: %s\n", command.report.c_str());
  }
  if (!common.quiet)
    for (const std::string& note : evaluation.notes) std::fprintf(stderr, "doppel: note: %s\n", note.c_str());
  nlohmann::ordered_json result{{"command", "evaluate"}, {"real", command.real}, {"synthetic", command.synthetic}};
  result["holdout"] =
      command.holdout.empty() ? nlohmann::ordered_json(nullptr) : nlohmann::ordered_json(command.holdout);
  result["backend"] = backend->description();
  result.update(to_json(evaluation));
  write_json(common, result);
  if (!meets_gates(command, evaluation)) status = static_cast<int>(ExitStatus::kGateNotMet);
}

}  // namespace

void add_evaluate_command(CLI::App& app, CommonOptions& common, int& status) {
  const auto options = std::make_shared<EvaluateCommand>();
  CLI::App* command = app.add_subcommand("evaluate", "Score a synthetic table, or images, against the real ones");
  command->footer(kEvaluateExamples);
  command->add_option("--real", options->real, "The real table, or images")->required()->type_name("FILE|DIR");
  command
      ->add_option("--synthetic", options->synthetic,
                   "The synthetic table, or images: a file, or a folder of doppel generate")
      ->required()
      ->type_name("FILE|DIR");
  auto* holdout = command
                      ->add_option("--holdout", options->holdout,
                                   "Real rows that the synthetic table was not made from, to test on and compare with")
                      ->type_name("FILE|DIR");
  command
      ->add_option("--model", options->model,
                   "Of images: the classifier that judges them (doppel fit IMAGES --model cnn), learned from --real")
      ->type_name("CNN.doppel");
  command
      ->add_option(
          "--generator", options->generator,
          "Of images: the model that made the synthetic ones, which has codes (vae, vae-dense, pca): the report "
          "shows images as its codes and what lies between two images")
      ->type_name("M.doppel");
  command->add_option("--target", options->target, "Column to learn from each table (default: no utility)")
      ->type_name("COLUMN");
  command->add_option("-o,--output", options->report, "Report with charts: one HTML file that needs nothing beside it")
      ->type_name("FILE.html");
  command->add_option("--schema", options->schema, "Column kinds that override the inferred ones")->type_name("S.json");
  command->add_option("--min-quality", options->minimum_quality, "Exit with status 4 if the overall score is lower")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("SCORE");
  command
      ->add_option("--min-accuracy", options->minimum_accuracy,
                   "Of images: exit with status 4 if a lower share of synthetic ones is read as what was asked for")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("SHARE");
  command
      ->add_option("--max-nearer-share", options->maximum_nearer_share,
                   "Exit with status 4 if more synthetic rows are nearer to training than to held-out rows (ideal 0.5)")
      ->check(CLI::Range(0.0, 1.0))
      ->type_name("SHARE")
      ->needs(holdout);
  command->add_option("--seed", options->seed, "Seed of splits and learners")->capture_default_str()->type_name("N");
  command->add_flag("--no-detection", options->no_detection, "Leave out the classifier that tells synthetic from real");
  command->add_flag(
      "--no-train-on-synthetic", options->no_train_on_synthetic,
      "Of images with a holdout: leave out training a classifier on the synthetic ones, which takes as long "
      "as training --model did");
  add_common_options(*command, common);
  command->callback([options, &common, &status] {
    install_signal_handlers();
    if (holds_images(options->real)) {
      evaluate_real_images(*options, common, status);
    } else {
      evaluate(*options, common, status);
    }
  });
}

}  // namespace doppel
