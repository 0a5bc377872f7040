// doppel generate: streams rows of a model to files, standard output or nowhere.
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "engine/model.h"
#include "host/cli/commands.h"
#include "host/cli/open_model.h"
#include "host/cli/rows_output.h"
#include "host/contact_sheet.h"
#include "host/encoders/encoder.h"
#include "host/interrupt.h"
#include "host/numbers.h"
#include "host/output_folder.h"
#include "host/scheduler.h"
#include "host/verification.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::ordered_json;

constexpr const char* kGenerateExamples = R"(
Row i of the output is a function of the model, the seed and i alone: threads, parts, memory and resuming change no byte.

Examples:
  doppel generate adult.doppel --rows 1e9 -o rows             a folder of Parquet files and manifest.jsonl
  doppel generate adult.doppel --rows 10k -o double.csv       one file; the extension says the format
  doppel generate adult.doppel --rows 1M --format csv -o - | head
  doppel generate adult.doppel --rows 1e9 -o rows --resume    go on after an interruption
  doppel generate adult.doppel --rows 1e9 -o rows --parts 8 --part 3    the third of eight processes
  doppel generate adult.doppel --rows 1e8 --sink null         how fast are rows made? (with --format: and encoded?)
  doppel generate adult.doppel --rows 10k -o old.csv --where "age>=60 and sex=Female"
  doppel generate adult.doppel --rows 5k -o rich.csv --where 'income=">50K"'      as many rows of a class as wanted:
  doppel generate adult.doppel --rows 5k -o poor.csv --where 'income="<=50K"'     one output for each
  doppel generate adult.doppel --given part.csv -o whole.csv   columns of part.csv as they are, the others drawn for them
  doppel generate adult.doppel --given part.csv -o whole       the same into a folder: resumed, split and verified as any
  doppel generate digits.doppel --rows 60k -o digits --format idx --contact-sheet digits.png
  doppel generate digits.doppel --rows 60k -o neat --format idx --temperature 0.7     less variety, fewer bad ones
  doppel generate digits.doppel --rows 1000 --label 7 --format png -o - | tar x     a folder of PNG files

Conditions (--where) are joined by `and`: COLUMN = != < <= > >= VALUE, COLUMN in {A, B}, COLUMN between A and B (ends
included), COLUMN is missing, COLUMN is present. There is no `or`: a set says it for one column. Names and values with
blanks or with one of = ! < > { } , in them are put in quotes; values are in the column's own form. Rows are drawn from
the model's exact distribution given the conditions, however rare they are; --dry-run says how probable they are.

Row i is drawn from the exact distribution given row i of the file (--given), which starts again after its last row. A
file larger than an eighth of --memory is read as rows are made, and from its start again for a part or a file in its
middle. A number that stands for an interval of values counts as one point of it. A folder's manifest keeps the file's
checksum: --resume takes no other.

Labels (--label), of a model of images: as-data (the default), balanced, or some of them by name, 7 or 0..9 or cat,dog,
equally probable.
)";

struct GenerateOptions {
  std::string model, rows, output, format, compression = "default", rows_per_file, sink, where, given,
                                           precision = "f32", contact_sheet;
  AskedImages images;
  uint64_t seed = 0;
  int64_t parts = 1, part = 1;
  bool where_given = false, part_given = false, resume = false, overwrite = false, dry_run = false;
};

enum class Target { kFolder, kFile, kStream, kNull };

struct Destination {
  Target target = Target::kFolder;
  const Format* format = nullptr;  // null: --sink null without --format, rows are not encoded
  std::string compression;
};

Destination file_destination(const GenerateOptions& options, const Format& by_extension) {
  if (!options.format.empty() && options.format != by_extension.name) {
    throw UsageError("-o " + options.output + " is a file of format " + by_extension.name + " but --format says " +
                     options.format + ": leave one of them out");
  }
  if (options.parts > 1) throw UsageError("-o " + options.output + " is one file: --parts needs a folder");
  if (!options.rows_per_file.empty())
    throw UsageError("-o " + options.output + " is one file: --rows-per-file needs a folder");
  if (options.resume)
    throw UsageError("-o " + options.output + " is one file, written whole or not at all: --resume needs a folder");
  return {Target::kFile, &by_extension, options.compression};
}

Destination find_destination(const GenerateOptions& options) {
  if (options.resume && options.overwrite) throw UsageError("--resume and --overwrite contradict each other");
  if (!options.sink.empty()) {
    if (options.sink != "null") throw UsageError("--sink '" + options.sink + "': the one sink is null; files go to -o");
    if (!options.output.empty()) throw UsageError("--sink null writes nothing: leave -o out");
    if (options.parts > 1 || options.resume || options.overwrite) {
      throw UsageError("--sink null writes nothing: --parts, --resume and --overwrite need a folder");
    }
    return {Target::kNull, options.format.empty() ? nullptr : &find_format(options.format), options.compression};
  }
  if (options.output.empty()) throw UsageError("where to? Give -o FOLDER, -o FILE.csv, -o - or --sink null");
  if (options.output == "-") {
    if (options.parts > 1 || options.resume || !options.rows_per_file.empty()) {
      throw UsageError("-o - is one stream: --parts, --resume and --rows-per-file need a folder");
    }
    return {Target::kStream, &find_format(options.format.empty() ? "csv" : options.format), options.compression};
  }
  if (!fs::is_directory(options.output)) {
    if (const Format* format = format_of_extension(options.output)) return file_destination(options, *format);
    const std::string extension = fs::path(options.output).extension().string();
    if (options.format.empty() && !extension.empty() && options.output.back() != '/') {
      throw UsageError("-o " + options.output + ": no format has the extension '" + extension +
                       "'; for a folder of that name give --format");
    }
  }
  return {Target::kFolder, &find_format(options.format.empty() ? "parquet" : options.format), options.compression};
}

Destination choose_destination(const GenerateOptions& options) {
  const Destination destination = find_destination(options);
  if (options.given.empty()) {
    if (options.rows.empty()) throw UsageError("how many rows? Give --rows N");
    if (options.where_given && options.images != AskedImages{})
      throw UsageError("--where is of tables, and --label, --temperature and --precision of images");
    return destination;
  }
  if (options.where_given) throw UsageError("--given and --where exclude each other");
  if (options.images != AskedImages{})
    throw UsageError("--given is of tables, and --label, --temperature and --precision of images");
  return destination;
}

struct Source {
  int64_t rows_given = 0;  // of --given
  std::string checksum, backend;
  std::string given_checksum;  // for a folder's manifest
  ConditionedRows rows;
  const Generator& generator() const { return *rows.generator; }
};

// All that one run needs, from the options.
struct Run {
  const GenerateOptions& options;
  const CommonOptions& common;
  Destination destination;
  Source source;
  JobOptions job;
};

Source open_source(const GenerateOptions& options, const CommonOptions& common, Target target,
                   std::unique_ptr<Backend>& backend) {
  const auto [model, checksum] = open_model(options.model);
  backend = make_backend(common.backend);
  AskedRows asked{options.seed, {}, options.images, options.given};
  if (options.where_given) asked.where = options.where;
  ModelRows made = make_rows(*model, asked, *backend, common);
  const bool is_noted = !options.given.empty() && target == Target::kFolder;
  return {made.given, checksum, backend->description(), is_noted ? file_checksum(options.given) : "",
          std::move(made.rows)};
}

ManifestHead make_head(const Run& run, int64_t rows_per_file) {
  ManifestHead head;
  head.model = fs::path(run.options.model).filename().string();
  head.model_checksum = run.source.checksum;
  head.seed = run.options.seed;
  head.where = run.options.where;
  head.images = run.options.images;
  head.given = run.options.given;
  head.given_checksum = run.source.given_checksum;
  head.rows = run.job.rows;
  head.rows_per_file = rows_per_file;
  head.format = run.destination.format->name;
  head.compression = run.destination.compression;
  head.parts = run.options.parts;
  head.part = run.options.part;
  head.versions = program_versions();
  return head;
}

void say(const CommonOptions& common, const std::string& text) {
  if (!common.quiet) std::fprintf(stderr, "doppel: %s\n", text.c_str());
}

// What --where, --given and what is asked of images add to a report.
void add_conditions(const Run& run, Json& json) {
  if (!run.options.given.empty()) json["given"] = run.options.given;
  json.update(asked_images_json(run.options.images));
  if (!run.options.where_given) return;
  json["where"] = run.options.where;
  json[run.source.rows.is_density ? "where_density" : "where_probability"] = run.source.rows.probability;
  json["where_acceptance"] = run.source.rows.acceptance;
}

void describe_conditions(const Run& run) {
  if (!run.options.where_given) return;
  const ConditionedRows& rows = run.source.rows;
  char text[160];
  std::snprintf(text, sizeof(text), "the conditions' %s under the model is %.3g; %.3g %% of tries are accepted",
                rows.is_density ? "density" : "probability", rows.probability, 100 * rows.acceptance);
  say(run.common, text);
}

Json report(const Run& run, const JobResult& result) {
  char host[256] = "";
  gethostname(host, sizeof(host) - 1);
  Json json{{"command", "generate"},
            {"model", run.options.model},
            {"model_checksum", run.source.checksum},
            {"seed", run.options.seed},
            {"output", run.destination.target == Target::kNull ? "null" : run.options.output},
            {"format", run.destination.format ? Json(run.destination.format->name) : Json(nullptr)},
            {"rows", result.rows},
            {"files", result.files},
            {"bytes_written", run.destination.target == Target::kNull ? 0 : result.bytes},
            {"bytes_encoded", result.bytes},
            {"seconds", result.seconds},
            {"rows_per_s", result.seconds > 0 ? static_cast<double>(result.rows) / result.seconds : 0},
            {"sample_s", result.sample_s},
            {"encode_s", result.encode_s},
            {"write_s", result.write_s},
            {"wait_s", result.wait_s},
            {"threads", run.job.threads},
            {"peak_memory_bytes", peak_memory_bytes()},
            {"backend", run.source.backend},
            {"host", host},
            {"versions", program_versions()}};
  add_conditions(run, json);
  return json;
}

void finish_report(const Run& run, const JobResult& result, const std::string& where) {
  const double rate = result.seconds > 0 ? static_cast<double>(result.rows) / result.seconds : 0;
  std::string text = format_count(static_cast<double>(result.rows)) + " rows " + where + " in " +
                     format_duration(result.seconds) + " (" + format_count(rate) + " rows/s)";
  if (result.bytes > 0) text += ", " + format_bytes(static_cast<double>(result.bytes));
  say(run.common, run.job.rows > 0 && result.rows == 0 ? "nothing is left to write" : text);
  if (run.common.verbose) {
    char stages[160];
    std::snprintf(stages, sizeof(stages),
                  "thread seconds: sample %.2f, encode %.2f, write %.2f, waiting for the writer %.2f; peak memory %s",
                  result.sample_s, result.encode_s, result.write_s, result.wait_s,
                  format_bytes(static_cast<double>(peak_memory_bytes())).c_str());
    say(run.common, stages);
  }
  write_json(run.common, report(run, result));
}

void describe_plan(const Run& run, const JobPlan& plan, int64_t files_to_write) {
  const auto bytes = [](int64_t value) { return format_bytes(static_cast<double>(value)); };
  say(run.common, std::to_string(files_to_write) + " of " + std::to_string(plan.layout.files()) + " files to write, " +
                      format_count(static_cast<double>(plan.layout.rows_per_file)) + " rows a file, " +
                      format_count(static_cast<double>(plan.rows_per_batch)) + " rows a batch");
  say(run.common, std::to_string(plan.workers) + " threads, " + std::to_string(plan.slots) + " buffers of " +
                      bytes(plan.slot_bytes) + ": " + bytes(plan.memory_bytes()) + " of " +
                      bytes(run.common.memory_bytes) + " of memory");
}

void report_plan(const Run& run, const JobPlan& plan, int64_t files_to_write) {
  describe_plan(run, plan, files_to_write);
  Json json{{"command", "generate"},
            {"dry_run", true},
            {"rows", plan.layout.rows},
            {"rows_to_write", plan.rows()},
            {"files", plan.layout.files()},
            {"files_to_write", files_to_write},
            {"rows_per_file", plan.layout.rows_per_file},
            {"rows_per_batch", plan.rows_per_batch},
            {"format", run.destination.format->name},
            {"threads", plan.workers},
            {"buffers", plan.slots},
            {"buffer_bytes", plan.slot_bytes},
            {"memory_bytes", plan.memory_bytes()}};
  add_conditions(run, json);
  write_json(run.common, json);
}

JobResult drive(const Run& run, const JobPlan& plan, OutputSink& sink) {
  if (run.common.verbose) describe_plan(run, plan, static_cast<int64_t>(plan.files.size()));
  Progress progress(plan.rows(), Progress::style_for(run.common.quiet));
  return run_job(run.source.generator(), plan, sink, progress);
}

void generate_folder(Run& run) {
  const std::string& folder = run.options.output;
  const std::string manifest_path = (fs::path(folder) / manifest_name(run.options.parts, run.options.part)).string();
  if (run.options.resume && run.job.rows_per_file == 0) {
    if (const auto manifest = read_manifest(manifest_path)) run.job.rows_per_file = manifest->head.rows_per_file;
  }
  JobPlan plan = plan_job(run.source.generator(), run.job);
  const ManifestHead head = make_head(run, plan.layout.rows_per_file);
  const IfExists if_exists = run.options.resume      ? IfExists::kResume
                             : run.options.overwrite ? IfExists::kOverwrite
                                                     : IfExists::kRefuse;
  const auto kept = prepare_output_folder(folder, head, plan.layout, plan.files, if_exists, run.options.dry_run);
  std::set<int64_t> done;
  for (const ManifestEntry& entry : kept) done.insert(plan.layout.index_of(entry.file));
  const size_t files = plan.files.size();
  std::erase_if(plan.files, [&](int64_t index) { return done.count(index) > 0; });
  if (run.options.dry_run) return report_plan(run, plan, static_cast<int64_t>(plan.files.size()));
  if (files == 0) {
    say(run.common, "part " + std::to_string(head.part) + " has no file: the output has " +
                        std::to_string(plan.layout.files()) + " in all; a smaller --rows-per-file makes more");
  }
  if (!done.empty())
    say(run.common, std::to_string(done.size()) + " of " + std::to_string(files) + " files are there already");

  ManifestWriter manifest(folder, head, kept);
  FolderSink sink(folder, manifest);
  try {
    finish_report(run, drive(run, plan, sink), "to " + folder);
  } catch (const Error& error) {
    if (error.status() != ExitStatus::kInterrupted) throw;
    throw Error(std::to_string(static_cast<int64_t>(done.size()) + sink.finished_files()) + " of " +
                    std::to_string(files) + " files are complete in '" + folder +
                    "': the same command with --resume goes on",
                ExitStatus::kInterrupted);
  }
}

// One file or one stream: all rows are one file, whatever its size.
void generate_single(Run& run) {
  run.job.rows_per_file = std::max<int64_t>(1, run.job.rows);
  const JobPlan plan = plan_job(run.source.generator(), run.job);
  if (run.options.dry_run) return report_plan(run, plan, 1);
  const std::string& output = run.options.output;
  const std::string companion = companion_path(plan, output, run.options.overwrite);
  try {
    if (run.destination.target == Target::kStream) {
      StreamSink sink(STDOUT_FILENO, "standard output");
      finish_report(run, drive(run, plan, sink), "to standard output");
    } else {
      SingleFileSink sink(output, companion);
      finish_report(run, drive(run, plan, sink), "to " + output + (companion.empty() ? "" : " and " + companion));
    }
  } catch (const Error& error) {
    if (error.status() != ExitStatus::kInterrupted) throw;
    throw Error(run.destination.target == Target::kStream ? "standard output is incomplete"
                                                          : "'" + output + "' was not written",
                ExitStatus::kInterrupted);
  }
}

void generate_null(Run& run) {
  if (run.destination.format == nullptr) {
    if (run.options.dry_run) throw UsageError("--sink null without --format has no plan to print: leave --dry-run out");
    Progress progress(run.job.rows, Progress::style_for(run.common.quiet));
    return finish_report(run, run_sampling(run.source.generator(), 0, run.job.rows, run.job.threads, progress),
                         "sampled");
  }
  const JobPlan plan = plan_job(run.source.generator(), run.job);
  if (run.options.dry_run) return report_plan(run, plan, static_cast<int64_t>(plan.files.size()));
  NullSink sink;
  finish_report(run, drive(run, plan, sink), "encoded");
}

void generate(const GenerateOptions& options, const CommonOptions& common) {
  std::unique_ptr<Backend> backend;  // outlives the generator
  Run run{options, common, choose_destination(options), {}, {}};
  if (options.parts > 1 && !options.part_given) throw UsageError("--parts needs --part K, from 1 to --parts");
  if (run.destination.target == Target::kStream) check_output_stream(*run.destination.format, common);
  if (run.destination.target == Target::kFile) check_output_file(options.output, options.overwrite);
  if (!options.rows.empty()) run.job.rows = parse_count(options.rows);
  run.job.rows_per_file = options.rows_per_file.empty() ? 0 : parse_count(options.rows_per_file);
  if (!options.rows_per_file.empty() && run.job.rows_per_file < 1)
    throw UsageError("--rows-per-file must be at least 1");
  run.job.parts = options.parts;
  run.job.part = options.part;
  run.job.threads = common.threads > 0 ? common.threads : available_threads();
  run.job.memory_bytes = common.memory_bytes;
  run.job.format = run.destination.format;

  run.source = open_source(options, common, run.destination.target, backend);
  if (options.rows.empty()) run.job.rows = run.source.rows_given;
  if (run.destination.format != nullptr) {
    run.job.encoder = {run.destination.compression, provenance_json(make_head(run, 1))};
  }
  say(common, fs::path(options.model).filename().string() + ", seed " + std::to_string(options.seed) + ", " +
                  run.source.backend);
  describe_conditions(run);
  if (!options.contact_sheet.empty() && !options.dry_run)
    write_contact_sheet(run.source.generator(), run.job.rows, options.contact_sheet);
  switch (run.destination.target) {
    case Target::kFolder:
      return generate_folder(run);
    case Target::kNull:
      return generate_null(run);
    default:
      return generate_single(run);
  }
}

std::string format_help() {
  std::string text = "Output format (default: parquet; csv for -o -; by extension for -o FILE):";
  for (const Format& format : formats()) text += "\n  " + format.name + ": " + format.summary;
  return text;
}

}  // namespace

void add_generate_command(CLI::App& app, CommonOptions& common, int&) {
  const auto options = std::make_shared<GenerateOptions>();
  CLI::App* command = app.add_subcommand("generate", "Write any number of synthetic rows from a model");
  command->footer(kGenerateExamples);
  command->add_option("MODEL", options->model, "Model file made by doppel fit")->required()->type_name("M.doppel");
  command
      ->add_option("--rows", options->rows,
                   "Rows of the whole output: 1000, 10k, 1e9, 2^30 (with --given: as many as given)")
      ->type_name("N");
  command
      ->add_option("-o,--output", options->output,
                   "Folder, or a file FILE.csv, FILE.parquet ..., or - for standard output")
      ->type_name("DIR|FILE|-");
  command->add_option("--format", options->format, format_help())->type_name("NAME");
  command
      ->add_option("--compression", options->compression,
                   "none, snappy, lz4, zstd, zstd:LEVEL, gzip where the format has them")
      ->type_name("NAME");
  CLI::Option* where =
      command
          ->add_option("--where", options->where,
                       "Only rows that meet conditions, such as \"age>=60 and sex=Female\" (see below)")
          ->type_name("CONDITIONS");
  command
      ->add_option("--given", options->given,
                   "CSV, Parquet or Arrow file of some of the columns: they stay as they are, the others are drawn")
      ->type_name("DATA");
  command
      ->add_option("--label", options->images.labels,
                   "Of images: as-data, balanced, or labels such as 7, 0..9 or cat,dog (see below)")
      ->type_name("LABELS");
  command
      ->add_option(
          "--temperature", options->images.temperature,
          "Of images of a VAE: what latents' deviations from their means are multiplied by, up to 2; less than 1 "
          "is less variety")
      ->capture_default_str()
      ->type_name("T");
  command
      ->add_option(
          "--precision", options->precision,
          "Of images of a VAE: f32, or bf16: two to four times as fast where the processor has it (a level of a "
          "pixel may differ, and the output is another one)")
      ->capture_default_str()
      ->type_name("f32|bf16");
  command
      ->add_option("--contact-sheet", options->contact_sheet,
                   "Of images: a PNG file of the first ones, ten of each label in a line")
      ->type_name("FILE.png");
  command->add_option("--seed", options->seed, "Seed of the rows")->capture_default_str()->type_name("S");
  command
      ->add_option("--rows-per-file", options->rows_per_file,
                   "Rows of each file of a folder (default: about 256 MiB a file)")
      ->type_name("R");
  command->add_option("--parts", options->parts, "Split the files of the output among this many processes")
      ->type_name("P")
      ->check(CLI::Range(int64_t{1}, int64_t{1'000'000}));
  CLI::Option* part =
      command->add_option("--part", options->part, "Which part this process writes, from 1")->type_name("K");
  command->add_flag("--resume", options->resume, "Keep the whole files that are in the folder, write the missing ones");
  command->add_flag("--overwrite", options->overwrite, "Replace output that is there");
  command
      ->add_option(
          "--sink", options->sink,
          "null: write nothing. Rows are sampled (texts and keys are made by encoders), and encoded too with --format")
      ->type_name("null");
  command->add_flag("--dry-run", options->dry_run, "Print the plan: files, buffers, memory");
  add_common_options(*command, common);
  command->callback([options, &common, part, where] {
    options->where_given = where->count() > 0;
    options->part_given = part->count() > 0;
    options->images.precision = precision_of_name(options->precision);
    install_signal_handlers();
    generate(*options, common);
  });
}

}  // namespace doppel
