// doppel impute: fills the gaps of a table from what its rows say.
#include <cstdio>
#include <memory>
#include <nlohmann/json.hpp>
#include <numeric>
#include <string>

#include "engine/completion.h"
#include "engine/model.h"
#include "host/cli/commands.h"
#include "host/cli/given_file.h"
#include "host/cli/open_model.h"
#include "host/cli/rows_output.h"
#include "host/interrupt.h"
#include "host/manifest.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::ordered_json;

constexpr const char* kImputeExamples = R"(
Cells that are there keep their values. A gap is filled given all else that its row says:
  draw   from the exact conditional distribution, all gaps of a row jointly: keeps spread and correlations, for analyses
         of the whole table and for several imputations (--seed 1, 2, ...)
  mean   a number's conditional mean, the likeliest level: the smallest error of a single cell
A draw is a function of the model, the seed, the row's number and the row's other cells. Gaps of keys and free text
stay. Columns that DATA lacks are unknown and not written.

Examples:
  doppel impute life.doppel life.csv -o filled.csv
  doppel impute life.doppel life.csv --how mean -o filled.parquet
)";

struct ImputeCommand {
  std::string model, data, how = "draw";
  RowsOutput output;
  uint64_t seed = 0;
};

void report_gaps(const Completed& completed, const ImputeCommand& command, const CommonOptions& common,
                 const JobResult& result, const std::string& checksum) {
  const int64_t filled = std::accumulate(completed.filled.begin(), completed.filled.end(), int64_t{0});
  const int64_t unfilled = std::accumulate(completed.unfilled.begin(), completed.unfilled.end(), int64_t{0});
  Json columns = Json::object();
  for (size_t c = 0; c < completed.filled.size(); ++c)
    if (completed.filled[c] + completed.unfilled[c] > 0)
      columns[completed.generator->schema().columns[c].schema.name] = {{"filled_cells", completed.filled[c]},
                                                                       {"gaps_left_cells", completed.unfilled[c]}};
  if (!common.quiet) {
    const std::string left =
        unfilled > 0 ? ", " + std::to_string(unfilled) + " gaps of keys, texts and empty columns left" : "";
    std::fprintf(stderr, "doppel: %lld cells of %lld rows filled%s in %s\n", static_cast<long long>(filled),
                 static_cast<long long>(completed.rows), left.c_str(), format_duration(result.seconds).c_str());
  }
  write_json(common, Json{{"command", "impute"},
                          {"model", command.model},
                          {"model_checksum", checksum},
                          {"data", command.data},
                          {"output", command.output.path},
                          {"how", command.how},
                          {"seed", command.seed},
                          {"rows", completed.rows},
                          {"filled_cells", filled},
                          {"gaps_left_cells", unfilled},
                          {"columns", columns},
                          {"seconds", result.seconds},
                          {"rows_per_s", result.seconds > 0 ? static_cast<double>(result.rows) / result.seconds : 0},
                          {"peak_memory_bytes", peak_memory_bytes()},
                          {"versions", program_versions()}});
}

void impute(const ImputeCommand& command, const CommonOptions& common) {
  const Format& format = check_rows_output(command.output, common);
  const OpenedModel opened = open_model(command.model);
  const Completion how = command.how == "draw" ? Completion::kDraw : Completion::kMean;
  const Completed completed = fill_gaps(opened.model->density(), open_given(command.data, common), how, command.seed,
                                        opened.model->constraints(), given_limits(common));
  const JobPlan plan = plan_rows(*completed.generator, completed.rows, command.output, format, common);
  const JobResult result = write_rows(*completed.generator, plan, command.output, common);
  report_gaps(completed, command, common, result, opened.checksum);
}

}  // namespace

void add_impute_command(CLI::App& app, CommonOptions& common, int&) {
  const auto options = std::make_shared<ImputeCommand>();
  CLI::App* command = app.add_subcommand("impute", "Fill the gaps of a table");
  command->footer(kImputeExamples);
  command->add_option("MODEL", options->model, "Model file made by doppel fit --model mixture")
      ->required()
      ->type_name("M.doppel");
  command->add_option("DATA", options->data, "CSV, Parquet or Arrow file")->required()->type_name("DATA");
  add_rows_output(*command, options->output, "The table without gaps");
  command->get_option("--output")->required();
  command->add_option("--how", options->how, "draw or mean")
      ->capture_default_str()
      ->check(CLI::IsMember({"draw", "mean"}))
      ->type_name("HOW");
  command->add_option("--seed", options->seed, "Seed of draws")->capture_default_str()->type_name("S");
  add_common_options(*command, common);
  command->callback([options, &common] {
    install_signal_handlers();
    impute(*options, common);
  });
}

}  // namespace doppel
