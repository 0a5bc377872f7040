#include "host/cli/fit_images.h"

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <vector>

#include "host/cli/model_output.h"
#include "host/manifest.h"
#include "host/progress.h"
#include "host/readers/images.h"
#include "host/readers/watched_table.h"
#include "host/scheduler.h"
#include "host/text_table.h"
#include "kernels/backend.h"

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
  json["peak_memory_bytes"] = peak_memory_bytes();
  json["backend"] = backend;
  json["versions"] = program_versions();
  return json;
}

}  // namespace

void fit_images(ImageFit command, const CommonOptions& common) {
  check_image_fit_options(command.fit);
  check_model_output(command.output);
  const std::unique_ptr<Backend> backend = make_backend(common.backend);
  StageProgress progress(Progress::style_for(common.quiet));
  progress.update("reading", 0);
  const Images images = read_images(command.data, {command.labels, common.memory_bytes / 2});
  command.fit.memory_bytes = common.memory_bytes - static_cast<int64_t>(images.pixels.size());
  command.fit.progress = [&](const std::string& stage, double share) {
    throw_if_interrupted();
    progress.update(stage, share);
  };
  const std::unique_ptr<Model> model = fit_image_model(images, command.fit, *backend);
  progress.update("writing", 0);
  const WrittenModel written = write_model(*model, command.output);
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
