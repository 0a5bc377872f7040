// doppel verify: is an output folder complete and unharmed, and are its rows those that the model gives?
#include <algorithm>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "engine/model.h"
#include "host/cli/commands.h"
#include "host/cli/open_model.h"
#include "host/interrupt.h"
#include "host/scheduler.h"
#include "host/verification.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kVerifyExamples = R"(
Exit status: 0 all is well, 4 a file is missing, corrupt, unlisted, or does not hold the model's rows, 1 could not check.

Examples:
  doppel verify rows                                       sizes and checksums against the manifest
  doppel verify rows --recompute 5% --model adult.doppel   and 5 % of the files made again on this machine, compared byte by byte
)";

struct VerifyOptions {
  std::string folder, recompute, model, given;
};

double parse_percent(std::string text) {
  if (text.ends_with('%')) text.pop_back();
  size_t used = 0;
  double percent = -1;
  try {
    percent = std::stod(text, &used);
  } catch (const std::exception&) {
    used = std::string::npos;
  }
  if (used != text.size() || !(percent > 0 && percent <= 100)) {
    throw UsageError("--recompute takes a share of the files above 0 and up to 100 %, such as 5%");
  }
  return percent;
}

// About `percent` of the files, evenly spread, at least one.
std::vector<ManifestEntry> choose_files(const std::vector<ManifestEntry>& entries, double percent) {
  std::vector<ManifestEntry> chosen;
  const auto count = static_cast<size_t>(std::ceil(static_cast<double>(entries.size()) * percent / 100));
  for (size_t i = 0; i < count; ++i) chosen.push_back(entries[i * entries.size() / count]);
  return chosen;
}

// The rows that the folder's were completed from.
void check_given(const VerifyOptions& options, const ManifestHead& head) {
  if (head.given_checksum.empty()) {
    if (!options.given.empty())
      throw UsageError("'" + options.folder + "' was not made from rows given: leave --given out");
    return;
  }
  if (options.given.empty())
    throw UsageError("--recompute needs the file that gave columns of the rows: give --given " + head.given);
  const std::string checksum = file_checksum(options.given);
  if (checksum != head.given_checksum)
    throw UsageError("'" + options.given + "' (checksum " + checksum + ") is not the file that gave columns of '" +
                     options.folder + "' (" + head.given + ", checksum " + head.given_checksum + ")");
}

Recomputation recompute(const VerifyOptions& options, const CommonOptions& common, const FolderCheck& check) {
  if (options.model.empty())
    throw UsageError("--recompute needs the model that made the rows: give --model " + check.head.model);
  const double percent = parse_percent(options.recompute);
  const std::vector<std::byte> bytes = read_file(options.model);
  if (model_checksum(bytes) != check.head.model_checksum) {
    throw UsageError("'" + options.model + "' is not the model that made '" + options.folder + "' (" +
                     check.head.model + ", checksum " + check.head.model_checksum + ")");
  }
  check_given(options, check.head);
  if (check.head.versions != program_versions()) {
    std::fprintf(stderr, "doppel: note: made by versions %s, compared with %s: encoders may differ\n",
                 check.head.versions.dump().c_str(), program_versions().dump().c_str());
  }
  const std::unique_ptr<Backend> backend = make_backend(common.backend);
  const std::unique_ptr<Model> model = load_model(parse_model_file(bytes, options.model));
  AskedRows asked{check.head.seed, {}, check.head.images, options.given};
  if (!check.head.where.empty()) asked.where = check.head.where;
  const auto generator = make_rows(*model, asked, *backend, common).rows.generator;
  JobOptions job;
  job.threads = common.threads;
  job.memory_bytes = common.memory_bytes;
  job.format = &find_format(check.head.format);
  job.encoder = {check.head.compression, provenance_json(check.head)};
  const std::vector<ManifestEntry> chosen = choose_files(check.whole, percent);
  int64_t rows = 0;
  for (const ManifestEntry& entry : chosen) rows += entry.rows;
  Progress progress(rows, Progress::style_for(common.quiet));
  return recompute_files(options.folder, check.head, chosen, *generator, job, progress);
}

void print_findings(const char* what, const std::vector<std::string>& findings) {
  constexpr size_t kShown = 20;
  for (size_t i = 0; i < std::min(kShown, findings.size()); ++i)
    std::fprintf(stderr, "doppel: %s: %s\n", what, findings[i].c_str());
  if (findings.size() > kShown) std::fprintf(stderr, "doppel: %s: and %zu more\n", what, findings.size() - kShown);
}

void verify(const VerifyOptions& options, const CommonOptions& common, int& status) {
  if (!options.recompute.empty()) parse_percent(options.recompute);
  const FolderCheck check = check_folder(options.folder, common.threads > 0 ? common.threads : available_threads());
  Recomputation recomputed;
  if (!options.recompute.empty() && !check.whole.empty()) recomputed = recompute(options, common, check);

  const bool good = check.is_good() && recomputed.different.empty();
  print_findings("missing", check.missing);
  print_findings("corrupt", check.corrupt);
  print_findings("not listed in a manifest", check.extra);
  print_findings("not the model's rows", recomputed.different);
  if (!common.quiet) {
    std::fprintf(stderr, "doppel: %s: %zu files, %s rows, %s %s\n", options.folder.c_str(), check.whole.size(),
                 format_count(static_cast<double>(check.whole_rows)).c_str(),
                 format_bytes(static_cast<double>(check.whole_bytes)).c_str(),
                 good ? "verified" : "are whole; see above for the others");
    if (recomputed.files > 0) {
      std::fprintf(stderr, "doppel: %lld files (%s rows) made again and compared\n",
                   static_cast<long long>(recomputed.files),
                   format_count(static_cast<double>(recomputed.rows)).c_str());
    }
  }
  write_json(common, Json{{"command", "verify"},
                          {"folder", options.folder},
                          {"good", good},
                          {"files", check.whole.size()},
                          {"rows", check.whole_rows},
                          {"bytes", check.whole_bytes},
                          {"missing", check.missing},
                          {"corrupt", check.corrupt},
                          {"extra", check.extra},
                          {"recomputed_files", recomputed.files},
                          {"recomputed_rows", recomputed.rows},
                          {"different", recomputed.different},
                          {"versions", program_versions()}});
  if (!good) status = static_cast<int>(ExitStatus::kGateNotMet);
}

}  // namespace

void add_verify_command(CLI::App& app, CommonOptions& common, int& status) {
  const auto options = std::make_shared<VerifyOptions>();
  CLI::App* command =
      app.add_subcommand("verify", "Check an output folder against its manifest, and against the model");
  command->footer(kVerifyExamples);
  command->add_option("DIR", options->folder, "Folder that doppel generate wrote")->required()->type_name("DIR");
  command->add_option("--recompute", options->recompute, "Make this share of the files again and compare the bytes")
      ->type_name("P%");
  command->add_option("--model", options->model, "The model that made the rows, for --recompute")
      ->type_name("M.doppel");
  command
      ->add_option("--given", options->given,
                   "The file that gave columns of the rows (generate --given), for --recompute")
      ->type_name("DATA");
  add_common_options(*command, common);
  command->callback([options, &common, &status] {
    install_signal_handlers();
    verify(*options, common, status);
  });
}

}  // namespace doppel
