// doppel inspect: what is in a model file, or in an output folder?
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>
#include <vector>

#include "engine/model.h"
#include "host/cli/commands.h"
#include "host/cli/schema_file.h"
#include "host/manifest.h"
#include "host/progress.h"
#include "host/text_table.h"
#include "host/verification.h"
#include "host/writer.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr size_t kShownColumns = 200, kShownLoadings = 5, kShownFiles = 20, kLatentCharacters = 36;

constexpr const char* kInspectExamples = R"(
Examples:
  doppel inspect adult.doppel                            columns, explained variance, loadings
  doppel inspect adult.doppel --components 10 --json -   all of it, for programs
  doppel inspect adult.doppel --write-schema s.json      the schema, to be corrected and given to doppel fit --schema
  doppel inspect rows                                    a folder of doppel generate: what is there, what is missing
)";

struct InspectCommand {
  std::string path, write_schema;
  int components = 5;
};

std::string percent(double share) {
  char text[32];
  std::snprintf(text, sizeof text, "%.2f %%", 100 * share);
  return text;
}

std::string number(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%+.3f", value);
  return text;
}

std::string text_of(const nlohmann::json& value) {
  return value.is_string() ? value.get<std::string>() : value.dump();
}

void print_columns(const TableSchema& schema, const nlohmann::json& cleaning) {
  TextTable table({"column", "kind", "source", ">levels", ">missing", ">distinct"});
  const nlohmann::json columns = to_json(schema)["columns"];
  const size_t shown = std::min(schema.columns.size(), kShownColumns);
  for (size_t i = 0; i < shown; ++i) {
    const nlohmann::json report = i < cleaning.size() ? cleaning[i] : nlohmann::json::object();
    const std::vector<std::string>& levels = schema.columns[i].levels;
    table.add({schema.columns[i].name, to_string(schema.columns[i].kind), text_of(columns[i].value("source", "")),
               levels.empty() ? "" : std::to_string(levels.size()),
               text_of(report.value("missing", nlohmann::json(""))),
               text_of(report.value("distinct", nlohmann::json("")))});
  }
  std::printf("\n%s", table.text().c_str());
  if (shown < schema.columns.size()) std::printf("and %zu more columns (--json)\n", schema.columns.size() - shown);
}

// "age +0.61, education -0.43, ...": the largest of a component.
std::string top_loadings(const nlohmann::json& loadings, const nlohmann::json& latents) {
  std::vector<size_t> order(std::min(loadings.size(), latents.size()));
  for (size_t i = 0; i < order.size(); ++i) order[i] = i;
  std::stable_sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::abs(loadings[a].get<double>()) > std::abs(loadings[b].get<double>());
  });
  std::string text;
  for (size_t i = 0; i < std::min(order.size(), kShownLoadings); ++i) {
    text += (i == 0 ? "" : ", ") + shorten_text(text_of(latents[order[i]]), kLatentCharacters) + " " +
            number(loadings[order[i]].get<double>());
  }
  return text;
}

void print_components(const nlohmann::json& model, size_t shown) {
  const nlohmann::json none = nlohmann::json::array();
  const nlohmann::json& variance = model.contains("explained_variance") ? model["explained_variance"] : none;
  const nlohmann::json& loadings = model.contains("loadings") ? model["loadings"] : none;
  const nlohmann::json& latents = model.contains("latents") ? model["latents"] : none;
  if (variance.empty()) return;
  TextTable table({">component", ">variance", ">cumulative", "largest loadings"});
  double sum = 0;
  for (size_t k = 0; k < variance.size(); ++k) {
    sum += variance[k].get<double>();
    if (k >= shown) continue;
    table.add({std::to_string(k + 1), percent(variance[k].get<double>()), percent(sum),
               k < loadings.size() ? top_loadings(loadings[k], latents) : ""});
  }
  std::printf("\n%s", table.text().c_str());
  std::printf("%zu components explain %s of the variance of %zu dimensions%s\n", variance.size(), percent(sum).c_str(),
              model.value("dimensions", latents.size()), variance.size() > shown ? "; --components shows more" : "");
}

// How the number of members was chosen, where it was.
void print_trials(const nlohmann::json& trials) {
  if (trials.empty()) return;
  TextTable table({">members tried", ">nats a row", ">of rows held out", ">nearer to rows fitted to"});
  for (const nlohmann::json& trial : trials) {
    const bool is_measured = trial.contains("nearer_to_training_share");
    table.add({text_of(trial.value("members", nlohmann::json(""))),
               number(trial.value("log_likelihood_training_nats_per_row", 0.0)),
               number(trial.value("log_likelihood_held_out_nats_per_row", 0.0)),
               is_measured ? percent(trial.value("nearer_to_training_share", 0.0)) + " +- " +
                                 percent(trial.value("nearer_to_training_standard_error", 0.0))
                           : ""});
  }
  std::printf("\n%s", table.text().c_str());
}

// What each epoch of a network's training came to.
void print_history(const nlohmann::json& history) {
  if (history.empty() || !history.front().is_object()) return;
  const std::string unit = history.front().contains("held_out_nats_per_image") ? "image" : "row";
  const bool has_accuracy = history.front().contains("held_out_accuracy");
  TextTable table({">epoch", ">nats/" + unit + " learned", ">held out", has_accuracy ? ">told right" : ""});
  for (size_t i = 0; i < history.size(); ++i) {
    const nlohmann::json& epoch = history[i];
    table.add({std::to_string(i + 1), number(epoch.value("training_nats_per_" + unit, 0.0)),
               number(epoch.value("held_out_nats_per_" + unit, 0.0)),
               has_accuracy ? percent(epoch.value("held_out_accuracy", 0.0)) : ""});
  }
  std::printf("\n%s", table.text().c_str());
}

// "rows of 12 columns", "images of 28 x 28, grey".
std::string describe_rows(const Model& model, const nlohmann::json& description) {
  if (!description.contains("image")) return "rows of " + std::to_string(model.schema().columns.size()) + " columns";
  const nlohmann::json& image = description["image"];
  return "images of " + text_of(image.value("height", nlohmann::json("?"))) + " x " +
         text_of(image.value("width", nlohmann::json("?"))) + (image.value("channels", 1) == 1 ? ", grey" : ", colour");
}

void inspect_model(const InspectCommand& command, const CommonOptions& common) {
  const std::vector<std::byte> bytes = read_file(command.path);
  const ModelFile file = parse_model_file(bytes, command.path);
  const std::unique_ptr<Model> model = load_model(file);
  const nlohmann::json description = model->describe();
  const std::string checksum = model_checksum(bytes);
  if (!command.write_schema.empty()) write_schema_file(command.write_schema, model->schema());
  if (!common.quiet && common.json != "-") {
    std::printf("%s: a model of kind %s, learned from %s %s, %s\n", command.path.c_str(), model->kind().c_str(),
                text_of(description.value("rows", nlohmann::json("?"))).c_str(),
                describe_rows(*model, description).c_str(), format_bytes(static_cast<double>(bytes.size())).c_str());
    std::printf("checksum %s\n", checksum.c_str());
    if (description.contains("target") && description["target"].is_string())
      std::printf("target '%s'\n", text_of(description["target"]).c_str());
    for (const nlohmann::json& constraint : description.value("constraints", nlohmann::json::array()))
      std::printf("constraint %s\n", text_of(constraint).c_str());
    if (description.contains("provenance")) std::printf("provenance %s\n", description["provenance"].dump().c_str());
    print_columns(model->schema(), description.value("cleaning", nlohmann::json::array()));
    print_components(description, static_cast<size_t>(command.components));
    print_trials(description.value("trials", nlohmann::json::array()));
    // A table's VAE has its history under "epochs".
    for (const char* key : {"history", "epochs"}) print_history(description.value(key, nlohmann::json::array()));
  }
  Json tensors = Json::object();
  for (const auto& [name, tensor] : file.tensors)
    tensors[name] = {{"shape", tensor.shape}, {"bytes", tensor.bytes.size()}};
  Json result{{"command", "inspect"},
              {"model", command.path},
              {"kind", model->kind()},
              {"model_checksum", checksum},
              {"model_bytes", bytes.size()},
              {"columns", model->schema().columns.size()},
              {"schema", Json(to_json(model->schema()))},
              {"tensors", tensors},
              {"versions", program_versions()}};
  result.update(Json(description));
  write_json(common, result);
}

void inspect_folder(const InspectCommand& command, const CommonOptions& common) {
  if (!command.write_schema.empty())
    throw UsageError("--write-schema needs a model, and '" + command.path + "' is a folder");
  const FolderCheck check = list_folder(command.path);
  const ManifestHead& head = check.head;
  if (!common.quiet && common.json != "-") {
    std::printf("%s: %lld of %lld rows as %s (compression %s) in %zu files, %s\n", command.path.c_str(),
                static_cast<long long>(check.whole_rows), static_cast<long long>(head.rows), head.format.c_str(),
                head.compression.c_str(), check.whole.size(),
                format_bytes(static_cast<double>(check.whole_bytes)).c_str());
    std::printf("made by %s (checksum %s), seed %llu, %lld rows a file, %lld part%s\n", head.model.c_str(),
                head.model_checksum.c_str(), static_cast<unsigned long long>(head.seed),
                static_cast<long long>(head.rows_per_file), static_cast<long long>(head.parts),
                head.parts == 1 ? "" : "s");
    if (!head.where.empty()) std::printf("rows where %s\n", head.where.c_str());
    const Json asked = asked_images_json(head.images);
    for (const auto& [name, value] : asked.items())
      std::printf("%s %s\n", name.c_str(), value.is_string() ? value.get<std::string>().c_str() : value.dump().c_str());
    if (!head.given_checksum.empty())
      std::printf("columns given by %s (checksum %s)\n", head.given.c_str(), head.given_checksum.c_str());
    for (const auto& [what, findings] : {std::pair{"missing", &check.missing},
                                         {"damaged", &check.corrupt},
                                         {"not listed in a manifest", &check.extra}}) {
      for (size_t i = 0; i < std::min(findings->size(), kShownFiles); ++i)
        std::printf("%s: %s\n", what, (*findings)[i].c_str());
      if (findings->size() > kShownFiles) std::printf("%s: and %zu more\n", what, findings->size() - kShownFiles);
    }
    std::printf("%s\n", check.is_good() ? "complete (doppel verify compares the checksums)" : "not complete");
  }
  Json json{{"command", "inspect"},
            {"folder", command.path},
            {"complete", check.is_good()},
            {"model", head.model},
            {"model_checksum", head.model_checksum},
            {"seed", head.seed},
            {"rows", head.rows},
            {"rows_per_file", head.rows_per_file},
            {"format", head.format},
            {"compression", head.compression},
            {"parts", head.parts},
            {"files_written", check.whole.size()},
            {"rows_written", check.whole_rows},
            {"bytes_written", check.whole_bytes},
            {"missing", check.missing},
            {"corrupt", check.corrupt},
            {"extra", check.extra},
            {"made_by_versions", Json(head.versions)},
            {"versions", program_versions()}};
  if (!head.where.empty()) json["where"] = head.where;
  json.update(asked_images_json(head.images));
  if (!head.given_checksum.empty()) json.update({{"given", head.given}, {"given_checksum", head.given_checksum}});
  write_json(common, json);
}

}  // namespace

void add_inspect_command(CLI::App& app, CommonOptions& common, int&) {
  const auto options = std::make_shared<InspectCommand>();
  CLI::App* command = app.add_subcommand("inspect", "Tell what is in a model file or an output folder");
  command->footer(kInspectExamples);
  command->add_option("PATH", options->path, "A model file, or a folder that doppel generate wrote")
      ->required()
      ->type_name("M.doppel|DIR");
  command->add_option("--components", options->components, "Components shown")
      ->capture_default_str()
      ->check(CLI::Range(0, 1'000'000))
      ->type_name("N");
  command->add_option("--write-schema", options->write_schema, "Write the model's schema to a file")
      ->type_name("S.json");
  add_common_options(*command, common);
  command->callback([options, &common] {
    if (fs::is_directory(options->path)) return inspect_folder(*options, common);
    inspect_model(*options, common);
  });
}

}  // namespace doppel
