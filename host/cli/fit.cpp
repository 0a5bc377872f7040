// doppel fit: learns a table, or images, and writes a model file.
#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/model.h"
#include "engine/table/constraint_search.h"
#include "host/cli/commands.h"
#include "host/cli/fit_images.h"
#include "host/cli/model_output.h"
#include "host/cli/schema_file.h"
#include "host/encoders/csv_cells.h"
#include "host/interrupt.h"
#include "host/manifest.h"
#include "host/progress.h"
#include "host/readers/images.h"
#include "host/readers/reader.h"
#include "host/readers/watched_table.h"
#include "host/scheduler.h"
#include "host/text_table.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kFitExamples = R"(
DATA is CSV (also compressed by gzip, zstd, bzip2 or LZ4), Parquet or Arrow IPC, told by its content. What a column holds is
inferred from all of its cells; --write-schema writes that down, to be corrected and given back with --schema.
Or DATA is images, grey or colour and up to 128 x 128: an IDX or NPY file with its labels in a file beside it
(train-images-idx3-ubyte.gz and train-labels-idx1-ubyte.gz, x.npy and x_labels.npy), or a folder of a folder of PNG files
a class.

Examples:
  doppel fit adult.csv -o adult.doppel
  doppel fit life.csv -o life.doppel --target "Life expectancy"    kept for doppel evaluate; spaces and case do not matter
  doppel fit sales.parquet -o sales.doppel --components 0.95       as many components as explain 95 % of the variance
  doppel fit sales.parquet -o sales.doppel --write-schema s.json   what the columns were taken for ...
  doppel fit sales.parquet -o sales.doppel --schema s.json         ... and with corrections
  doppel fit trips.csv -o trips.doppel --constraint "start<=end" --constraint "fixed {city, country}"
  doppel fit train-images-idx3-ubyte.gz -o digits.doppel --model pca    a Gaussian of the images of each label
  doppel fit train-images-idx3-ubyte.gz -o digits.doppel --model vae    a network that makes images; vae-dense: a faster one
  doppel fit photos -o photos.doppel --model vae --likelihood logistic  of a folder of class folders of colour images
  doppel fit train-images-idx3-ubyte.gz -o judge.doppel --model cnn     a network that tells the labels apart

The training of networks of images writes M.doppel.checkpoint every two minutes and when it is interrupted (Ctrl-C):
the same command with --resume goes on, to the model that it would have come to. The finished model removes it.

Constraints (--constraint) hold in every row generated, under --where and --given, too. They are kept in the model; rows that
break one are drawn anew. A<=B, A<B, A>=B and A>B of two numbers or two dates hold where one of them is missing. fixed
{A, B, ...} of categories, whole or decimal numbers, or dates: only combinations that DATA has. A name with blanks or
with one of = ! < > { } , in it is put in quotes: "'infant deaths'<='under-five deaths'".
)";

constexpr size_t kShownColumns = 200, kShownLevels = 4, kShownLevelCharacters = 24;
constexpr double kGoodAcceptance = 0.2;  // of constraints
constexpr const char* kReading = "reading";
constexpr int64_t kLeastChunkBytes = 1 << 20, kMostChunkBytes = 16 << 20;

struct FitCommand {
  std::string data, labels, output, schema, write_schema, delimiter;
  std::vector<std::string> constraints;
  FitOptions fit;
  bool resumes = false;
};

char parse_delimiter(const std::string& text) {
  if (text.empty()) return 0;
  if (text == "\\t" || text == "tab") return '\t';
  if (text.size() != 1) throw UsageError("--delimiter '" + text + "': give one character, or tab");
  return text.front();
}

std::string in_quotes(const std::string& text) {
  return "'" + shorten_text(text, kShownLevelCharacters) + "'";
}

std::string describe_levels(const std::vector<std::string>& levels) {
  std::string text;
  for (size_t i = 0; i < std::min(levels.size(), kShownLevels); ++i)
    text += (i == 0 ? "" : ", ") + in_quotes(levels[i]);
  if (levels.size() > kShownLevels) text += " and " + std::to_string(levels.size() - kShownLevels) + " more";
  return text;
}

// "-0.05" of -5 and two decimals.
std::string decimal_text(int64_t quanta, int decimals, bool keeps_zeros) {
  char text[kDecimalBytes + kCellSlack];
  const char* const end = decimals == 0 ? write_integer(quanta, text)
                          : keeps_zeros ? write_decimal<true>(quanta, decimals, text)
                                        : write_decimal<false>(quanta, decimals, text);
  return std::string(text, static_cast<size_t>(end - text));
}

std::string describe_range(const ColumnSchema& column, const Distribution& values) {
  if (!values.quanta.empty()) {
    const int decimals = column.kind == ColumnKind::kDecimal ? column.decimals : 0;
    const bool keeps_zeros = column.keeps_trailing_zeros;
    return decimal_text(values.quanta.front(), decimals, keeps_zeros) + " to " +
           decimal_text(values.quanta.back(), decimals, keeps_zeros);
  }
  if (values.reals.empty()) return "";
  char text[80];
  std::snprintf(text, sizeof text, "%.6g to %.6g", values.reals.front(), values.reals.back());
  return text;
}

std::string describe_pattern(const ColumnProfile& profile) {
  if (profile.text_patterns.empty()) return "";
  const size_t others = profile.text_patterns.size() - 1;
  return "made anew like " + shorten_text(profile.text_patterns.front().first, 40) +
         (others > 0 ? " and " + std::to_string(others) + " other forms" : "");
}

// What a column's values look like, as far as it was inferred.
std::string describe_form(const ColumnSchema& column, const ColumnProfile& profile) {
  switch (column.kind) {
    case ColumnKind::kInteger:
    case ColumnKind::kReal:
      return describe_range(column, profile.distribution);
    case ColumnKind::kDecimal:
      return describe_range(column, profile.distribution) + ", " + std::to_string(column.decimals) +
             (column.decimals == 1 ? " decimal" : " decimals");
    case ColumnKind::kBoolean:
    case ColumnKind::kCategory:
      return describe_levels(column.levels);
    case ColumnKind::kDatetime:
      return column.datetime_format + (column.timezone.empty() ? "" : " " + column.timezone);
    case ColumnKind::kConstant:
      return "always " + describe_levels(column.levels);
    case ColumnKind::kKey:
      if (profile.key_is_sequence) return "counts from " + std::to_string(profile.first_key);
      return describe_pattern(profile);
    case ColumnKind::kText:
      return describe_pattern(profile);
    case ColumnKind::kEmpty:
      break;
  }
  return "";
}

std::string describe_missing(const CleaningReport& cleaning) {
  std::string text = std::to_string(cleaning.missing), markers;
  for (const std::string& marker : cleaning.missing_markers) {
    if (!marker.empty()) markers += (markers.empty() ? "" : " ") + marker;
  }
  return markers.empty() ? text : text + " (" + markers + ")";
}

void print_cleaning(const TableProfile& profile) {
  TextTable table({"column", "kind", ">distinct", ">missing", ">trimmed", ">outliers", "form"});
  const size_t shown = std::min(profile.columns.size(), kShownColumns);
  for (size_t i = 0; i < shown; ++i) {
    const ColumnSchema& column = profile.schema.columns[i];
    const CleaningReport& cleaning = profile.columns[i].cleaning;
    table.add({column.name, to_string(column.kind),
               (cleaning.distinct_is_exact ? "" : ">= ") + std::to_string(cleaning.distinct),
               describe_missing(cleaning), std::to_string(cleaning.trimmed), std::to_string(cleaning.outliers),
               describe_form(column, profile.columns[i])});
  }
  std::fputs(table.text().c_str(), stdout);
  if (shown < profile.columns.size()) {
    std::printf("and %zu more columns (--json tells of all)\n", profile.columns.size() - shown);
  }
  for (size_t i = 0; i < shown; ++i) {
    const std::string& note = profile.columns[i].cleaning.note;
    if (!note.empty()) std::printf("%s: %s\n", in_quotes(profile.schema.columns[i].name).c_str(), note.c_str());
  }
  std::printf("%s rows", std::to_string(profile.rows).c_str());
  if (profile.duplicate_rows >= 0)
    std::printf(", %s equal to an earlier one", std::to_string(profile.duplicate_rows).c_str());
  std::printf("; outliers and duplicates are kept\n");
}

Json cleaning_json(const TableProfile& profile) {
  Json columns = Json::array();
  for (size_t i = 0; i < profile.columns.size(); ++i) {
    Json& column = columns.emplace_back(Json{{"column", profile.schema.columns[i].name},
                                             {"kind", to_string(profile.schema.columns[i].kind)},
                                             {"present", profile.columns[i].present}});
    column.update(to_json(profile.columns[i].cleaning));
  }
  return columns;
}

// Reading shows as progress until `is_reading` is false: later passes belong to the model's stages.
std::unique_ptr<TableSource> open_data(const FitCommand& command, const CommonOptions& common, StageProgress& progress,
                                       const bool& is_reading) {
  ReadOptions options;
  options.delimiter = parse_delimiter(command.delimiter);
  options.chunk_bytes = std::clamp(common.memory_bytes / 64, kLeastChunkBytes, kMostChunkBytes);
  return watch_table(open_table(command.data, options), [&progress, &is_reading](int64_t done, int64_t total) {
    if (!is_reading) return;
    const double seconds = progress.seconds_in_stage();
    const std::string rate = seconds > 0 ? format_bytes(static_cast<double>(done) / seconds) + "/s" : "";
    progress.update(kReading, static_cast<double>(done) / static_cast<double>(std::max<int64_t>(total, 1)), rate);
  });
}

Json report(const FitCommand& command, const TableProfile& profile, const Model& model, const WrittenModel& written,
            const std::string& backend, const StageProgress& progress) {
  Json json{{"command", "fit"},
            {"data", command.data},
            {"model", command.output},
            {"model_kind", model.kind()},
            {"model_checksum", written.checksum},
            {"model_bytes", written.bytes},
            {"rows", profile.rows},
            {"columns", profile.columns.size()},
            {"duplicate_rows", profile.duplicate_rows < 0 ? Json(nullptr) : Json(profile.duplicate_rows)},
            {"target", command.fit.target.empty() ? Json(nullptr) : Json(command.fit.target)},
            {"seed", command.fit.seed}};
  add_seconds(progress, json);
  json.update(Json{{"peak_memory_bytes", peak_memory_bytes()},
                   {"backend", backend},
                   {"versions", program_versions()},
                   {"cleaning", cleaning_json(profile)},
                   {"schema", Json(to_json(profile.schema))}});
  return json;
}

// "" where the model has no constraints.
std::string describe_constraints(const nlohmann::json& model) {
  if (!model.contains("constraints")) return "";
  std::string texts;
  for (const nlohmann::json& text : model["constraints"])
    texts += (texts.empty() ? "" : " and ") + text.get<std::string>();
  const double acceptance = model["constraint_acceptance"].get<double>();
  char percent[32];
  std::snprintf(percent, sizeof percent, "%.3g %%", 100 * acceptance);
  return std::string("constraints ") + texts + ": " + percent +
         " of the model's rows hold them, the others are drawn anew" +
         (acceptance < kGoodAcceptance ? "; so few make generating slow and bend other columns: more --members may help"
                                       : "");
}

// For a shell, between double quotes.
std::string in_double_quotes(const std::string& text) {
  std::string quoted = "\"";
  for (const char c : text) {
    if (c == '"' || c == '\\' || c == '$' || c == '`') quoted += '\\';
    quoted += c;
  }
  return quoted + "\"";
}

// Constraints found that were not asked for.
std::vector<ConstraintHint> find_hints(TableSource& source, const TableProfile& profile, const Constraints& asked) {
  std::vector<ConstraintHint> hints = suggest_constraints(source, profile);
  std::erase_if(hints, [&](const ConstraintHint& hint) {
    return std::any_of(asked.begin(), asked.end(), [&](const Constraint& constraint) {
      return constraint.kind == hint.constraint.kind && constraint.columns == hint.constraint.columns;
    });
  });
  return hints;
}

void print_hints(const std::vector<ConstraintHint>& hints, const TableSchema& schema) {
  for (const ConstraintHint& hint : hints) {
    const std::string text = to_text(hint.constraint, schema);
    const bool is_fixed = hint.constraint.kind == Constraint::Kind::kFixed;
    std::printf("hint: %s in all %s rows: --constraint %s keeps it so\n",
                (is_fixed ? "one of " + text.substr(text.find('{')) + " decides the other" : text + " holds").c_str(),
                std::to_string(hint.rows).c_str(), in_double_quotes(text).c_str());
  }
}

Json hints_json(const std::vector<ConstraintHint>& hints, const TableSchema& schema) {
  Json list = Json::array();
  for (const ConstraintHint& hint : hints)
    list.push_back({{"constraint", to_text(hint.constraint, schema)},
                    {"rows", hint.rows},
                    {"share_broken_if_independent", hint.surprise}});
  return list;
}

// Whether DATA is images. Throws UsageError for options of the other kind of data. What is not there is no image:
// options that are wrong for any table are told first.
bool is_of_images(const FitCommand& command) {
  const bool asks_for_table = !command.schema.empty() || !command.write_schema.empty() || !command.delimiter.empty() ||
                              !command.constraints.empty();
  if (!std::filesystem::exists(command.data) || !holds_images(command.data)) {
    if (!command.labels.empty() || command.resumes)
      throw UsageError("--labels and --resume are of images, and '" + command.data + "' is a table");
    return false;
  }
  if (asks_for_table)
    throw UsageError("--schema, --write-schema, --delimiter and --constraint are of tables, and '" + command.data +
                     "' is images");
  return true;
}

void fit(FitCommand command, const CommonOptions& common) {
  if (is_of_images(command))
    return fit_images({command.data, command.labels, command.output, command.fit, command.resumes}, common);
  check_fit_options(command.fit);
  check_model_output(command.output);
  if (!command.write_schema.empty()) check_model_output(command.write_schema);
  ProfileOptions profile_options;
  if (!command.schema.empty()) profile_options.overrides = read_schema_file(command.schema);
  const std::unique_ptr<Backend> backend = make_backend(common.backend);

  StageProgress progress(Progress::style_for(common.quiet));
  progress.update(kReading, 0);
  bool is_reading = true;
  const std::unique_ptr<TableSource> source = open_data(command, common, progress, is_reading);
  const TableProfile profile = profile_table(*source, profile_options);
  if (!command.fit.target.empty()) {
    command.fit.target = profile.schema.columns[profile.schema.find(command.fit.target)].name;
  }
  is_reading = false;
  if (!command.constraints.empty()) progress.update("checking constraints", 0);
  command.fit.constraints = learn_constraints(command.constraints, *source, profile.schema);
  progress.update("looking for constraints", 0);
  const std::vector<ConstraintHint> hints = find_hints(*source, profile, command.fit.constraints);
  progress.update("learning", 0);
  command.fit.memory_bytes = common.memory_bytes;
  command.fit.progress = [&](const std::string& stage, double share) {
    throw_if_interrupted();
    progress.update(stage, share);
  };
  const std::unique_ptr<Model> model = fit_model(*source, profile, command.fit, *backend);
  progress.update("writing", 0);
  const WrittenModel written = write_model(*model, command.output);
  if (!command.write_schema.empty()) write_schema_file(command.write_schema, profile.schema);
  progress.finish();

  if (!common.quiet && common.json != "-") {
    print_cleaning(profile);
    print_hints(hints, profile.schema);
  }
  Json result = report(command, profile, *model, written, backend->description(), progress);
  result["constraint_hints"] = hints_json(hints, profile.schema);
  const nlohmann::json description = model->describe();
  for (const char* key : {"constraints", "constraint_acceptance"})
    if (description.contains(key)) result[key] = description[key];
  if (!common.quiet) {
    std::fflush(stdout);
    std::fprintf(stderr, "doppel: %s: %s rows of %zu columns learned in %s on %s, %s\n", command.output.c_str(),
                 format_count(static_cast<double>(profile.rows)).c_str(), profile.columns.size(),
                 format_duration(result["seconds"].get<double>()).c_str(), backend->description().c_str(),
                 format_bytes(static_cast<double>(written.bytes)).c_str());
    if (const std::string text = describe_constraints(description); !text.empty())
      std::fprintf(stderr, "doppel: %s\n", text.c_str());
  }
  write_json(common, result);
}

}  // namespace

void add_fit_command(CLI::App& app, CommonOptions& common, int&) {
  const auto options = std::make_shared<FitCommand>();
  CLI::App* command =
      app.add_subcommand("fit", "Learn a table or images: write a model file that generate makes rows from");
  command->footer(kFitExamples);
  command
      ->add_option("DATA", options->data,
                   "The table: CSV, Parquet or Arrow IPC; or images: IDX, NPY, or a folder of PNG files")
      ->required()
      ->type_name("FILE|DIR");
  command->add_option("-o,--output", options->output, "The model file, replaced if it exists")
      ->required()
      ->type_name("M.doppel");
  command
      ->add_option("--model", options->fit.model,
                   "Kind of model: mixture, pca, vae, or auto: a mixture unless the table is too wide for it or "
                   "--components or --space ask for pca; of images: pca, vae, vae-dense or cnn")
      ->capture_default_str()
      ->type_name("KIND");
  command
      ->add_option("--members", options->fit.members,
                   "Members of a mixture: a number, or auto: as many as rows held out and the privacy of the others "
                   "allow")
      ->capture_default_str()
      ->type_name("N");
  command
      ->add_option(
          "--epochs", options->fit.epochs,
          "Passes over the rows that a VAE trains at most: a number, or auto: what a fixed budget of operations "
          "affords; rows held out may end it earlier")
      ->capture_default_str()
      ->type_name("N");
  command->add_option("--latent", options->fit.latent, "Latents of a VAE: a number, or auto")
      ->capture_default_str()
      ->type_name("K");
  command
      ->add_option(
          "--prior", options->fit.prior,
          "What images of a VAE are made from: normal, mixture (fitted to the encodings of each label's images), "
          "or auto: what describes encodings held out better")
      ->capture_default_str()
      ->type_name("PRIOR");
  command
      ->add_option("--texture", options->fit.texture,
                   "Directions in which images of a VAE deviate from its smooth means, as the label's images do: a "
                   "number, none, or auto: 64, and fewer of large images or many labels")
      ->capture_default_str()
      ->type_name("K");
  command
      ->add_option(
          "--likelihood", options->fit.likelihood,
          "What a VAE of images says of a pixel: bernoulli (auto), for pixels that are mostly black or white, or "
          "logistic, for levels of grey and colours")
      ->capture_default_str()
      ->type_name("LIKELIHOOD");
  command
      ->add_option("--labels", options->labels,
                   "Of images: the file of their labels, IDX or NPY (default: beside them)")
      ->type_name("FILE");
  command->add_flag("--resume", options->resumes,
                    "Of networks of images: go on from M.doppel.checkpoint, which an interrupted fit leaves");
  command->add_option("--target", options->fit.target, "Column that evaluate learns from each table")
      ->type_name("COLUMN");
  command
      ->add_option("--constraint", options->constraints,
                   "What every row generated holds: A<=B, A<B, A>=B or A>B of two columns, or fixed {A, B}: only "
                   "combinations that DATA has; given once for each")
      ->allow_extra_args(false)
      ->type_name("C");
  command->add_option("--schema", options->schema, "Column kinds that override the inferred ones")->type_name("S.json");
  command->add_option("--write-schema", options->write_schema, "Write what the columns were taken for")
      ->type_name("S.json");
  command
      ->add_option("--components", options->fit.components,
                   "Principal components: a number, a share of the variance such as 0.95, all, or auto")
      ->capture_default_str()
      ->type_name("K");
  command
      ->add_option("--space", options->fit.space,
                   "scores: components of normal scores, which keep each column's distribution; standardised: the "
                   "classic principal components of the numbers as they are")
      ->capture_default_str()
      ->check(CLI::IsMember({"scores", "standardised"}))
      ->type_name("SPACE");
  command->add_option("--seed", options->fit.seed, "Seed of what is drawn while learning")
      ->capture_default_str()
      ->type_name("S");
  command->add_option("--delimiter", options->delimiter, "Of CSV: one character, or tab (default: found by itself)")
      ->type_name("C");
  add_common_options(*command, common);
  command->callback([options, &common] {
    install_signal_handlers();
    fit(*options, common);
  });
}

}  // namespace doppel
