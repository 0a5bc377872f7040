#include "host/cli/fit_images.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <span>
#include <vector>

#include "host/cli/checkpoint.h"
#include "host/cli/model_output.h"
#include "host/interrupt.h"
#include "host/manifest.h"
#include "host/progress.h"
#include "host/readers/images.h"
#include "host/readers/watched_table.h"
#include "host/scheduler.h"
#include "host/text_table.h"
#include "host/writer.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr size_t kShownLabels = 50, kShownLabelCharacters = 40;

std::vector<int64_t> images_of_labels(const Images& images) {
  std::vector<int64_t> counts(images.label_names.size());
  for (const int32_t label : images.labels) ++counts[static_cast<size_t>(label)];
  return counts;
}

std::string describe_images(const Images& images) {
  return std::to_string(images.count()) + " images of " + std::to_string(images.shape.height) + " x " +
         std::to_string(images.shape.width) + (images.shape.channels == 1 ? ", grey" : ", colour");
}

void print_images(const Images& images) {
  const std::vector<int64_t> counts = images_of_labels(images);
  if (!counts.empty()) {
    TextTable table({"label", ">images"});
    const size_t shown = std::min(counts.size(), kShownLabels);
    for (size_t i = 0; i < shown; ++i)
      table.add({shorten_text(images.label_names[i], kShownLabelCharacters), std::to_string(counts[i])});
    std::fputs(table.text().c_str(), stdout);
    if (shown < counts.size()) std::printf("and %zu more labels (--json tells of all)\n", counts.size() - shown);
  }
  std::printf("%s%s\n", describe_images(images).c_str(),
              counts.empty() ? "; no labels are beside them (--labels names their file)" : "");
}

Json report(const ImageFit& command, const Images& images, const Model& model, const WrittenModel& written,
            const std::string& backend, const StageProgress& progress) {
  Json labels = Json::array();
  const std::vector<int64_t> counts = images_of_labels(images);
  for (size_t i = 0; i < counts.size(); ++i)
    labels.push_back({{"label", images.label_names[i]}, {"images", counts[i]}});
  Json json{{"command", "fit"},
            {"data", command.data},
            {"model", command.output},
            {"model_kind", model.kind()},
            {"model_checksum", written.checksum},
            {"model_bytes", written.bytes},
            {"rows", images.count()},
            {"channels", images.shape.channels},
            {"height", images.shape.height},
            {"width", images.shape.width},
            {"labels", std::move(labels)},
            {"seed", command.fit.seed}};
  add_seconds(progress, json);
  const nlohmann::json description = model.describe();
  if (description.contains("history")) json["history"] = description["history"];
  json["peak_memory_bytes"] = peak_memory_bytes();
  json["backend"] = backend;
  json["versions"] = program_versions();
  return json;
}

bool is_network(const ImageFit& command) {
  return command.fit.model != "pca";
}

std::string checksum_of(const Images& images) {
  Checksum checksum;
  const auto add = [&](const auto& values) { checksum.update(values.data(), values.size() * sizeof values[0]); };
  const int32_t shape[] = {images.shape.channels, images.shape.height, images.shape.width};
  add(std::span(shape));
  add(images.pixels);
  add(images.labels);
  for (const std::string& name : images.label_names) checksum.update(name.c_str(), name.size() + 1);
  return checksum.hex();
}

// All that the bits of a training depend on but the number of threads.
nlohmann::json training_of(const ImageFit& command, const Images& images, const Backend& backend) {
  const FitOptions& fit = command.fit;
  const std::string description = backend.description();
  return {{"the backend", description.substr(0, description.find_first_of(": "))},
          {"the checksum of the images", checksum_of(images)},
          {"--model", fit.model},
          {"--epochs", fit.epochs},
          {"--latent", fit.latent},
          {"--prior", fit.prior},
          {"--texture", fit.texture},
          {"--likelihood", fit.likelihood},
          {"--seed", fit.seed},
          {"the version of doppel", program_versions()["doppel"]}};
}

void start_from(Checkpoint& checkpoint, ImageFit& command, bool quiet) {
  command.fit.keeper = checkpoint.keeper();
  if (!checkpoint.exists()) {
    if (command.resumes && !quiet)
      std::fprintf(stderr, "doppel: there is no '%s': the training begins\n", checkpoint.path().c_str());
    return;
  }
  if (!command.resumes)
    throw UsageError("'" + checkpoint.path() +
                     "' keeps what an interrupted fit has learned: --resume goes on, or delete it to start anew");
  command.fit.keeper.resumed = checkpoint.read();
}

std::unique_ptr<Model> learn(const Images& images, const ImageFit& command, const Checkpoint& checkpoint,
                             const Backend& backend) {
  try {
    return fit_image_model(images, command.fit, backend);
  } catch (const InputError& error) {
    if (!command.fit.keeper.resumed) throw;
    throw InputError(checkpoint.path() + ": " + error.what() + ": delete it to start anew");
  }
}

}  // namespace

void fit_images(ImageFit command, const CommonOptions& common) {
  check_image_fit_options(command.fit);
  if (command.resumes && !is_network(command))
    throw UsageError("--resume is of networks, and --model " + command.fit.model + " is learned in one go");
  check_model_output(command.output);
  const std::unique_ptr<Backend> backend = make_backend(common.backend);
  StageProgress progress(Progress::style_for(common.quiet));
  progress.update("reading", 0);
  const Images images = read_images(command.data, {command.labels, common.memory_bytes / 2});
  command.fit.memory_bytes = common.memory_bytes - static_cast<int64_t>(images.pixels.size());
  Checkpoint checkpoint(command.output,
                        is_network(command) ? training_of(command, images, *backend) : nlohmann::json());
  if (is_network(command)) start_from(checkpoint, command, common.quiet);
  command.fit.progress = [&](const std::string& stage, double share) {
    if (interrupted() && !checkpoint.is_training()) {
      if (is_network(command) && checkpoint.exists()) checkpoint.throw_interrupted();
      throw_if_interrupted();
    }
    progress.update(stage, share);
  };
  const std::unique_ptr<Model> model = learn(images, command, checkpoint, *backend);
  progress.update("writing", 0);
  const WrittenModel written = write_model(*model, command.output);
  if (is_network(command)) checkpoint.remove();
  progress.finish();

  if (!common.quiet && common.json != "-") print_images(images);
  const Json result = report(command, images, *model, written, backend->description(), progress);
  if (!common.quiet) {
    std::fflush(stdout);
    std::fprintf(stderr, "doppel: %s: %s learned in %s on %s, %s\n", command.output.c_str(),
                 describe_images(images).c_str(), format_duration(result["seconds"].get<double>()).c_str(),
                 backend->description().c_str(), format_bytes(static_cast<double>(written.bytes)).c_str());
  }
  write_json(common, result);
}

}  // namespace doppel
