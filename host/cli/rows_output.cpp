#include "host/cli/rows_output.h"

#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "host/sinks.h"
#include "kernels/common/error.h"

namespace doppel {

void add_rows_output(CLI::App& command, RowsOutput& output, const std::string& what) {
  command.add_option("-o,--output", output.path, what + ": FILE.csv, FILE.parquet ..., or - for standard output")
      ->type_name("FILE|-");
  command.add_option("--format", output.format, "Output format (default: by the file's extension; csv for -o -)")
      ->type_name("NAME");
  command
      .add_option("--compression", output.compression,
                  "none, snappy, lz4, zstd, zstd:LEVEL, gzip where the format has them")
      ->type_name("NAME");
  command.add_flag("--overwrite", output.overwrite, "Replace a file that is there");
}

const Format& check_rows_output(const RowsOutput& output, const CommonOptions& common) {
  const bool is_stream = output.path == "-";
  const Format* by_extension = is_stream ? &find_format("csv") : format_of_extension(output.path);
  if (by_extension == nullptr && output.format.empty())
    throw UsageError("-o " + output.path + ": its extension is no format's: give --format");
  const Format& format = output.format.empty() ? *by_extension : find_format(output.format);
  if (is_stream) {
    check_output_stream(format, common);
  } else {
    check_output_file(output.path, output.overwrite);
  }
  return format;
}

void check_output_file(const std::string& path, bool overwrite) {
  if (std::filesystem::exists(path) && !overwrite) throw UsageError("'" + path + "' exists: --overwrite replaces it");
}

void check_output_stream(const Format& format, const CommonOptions& common) {
  if (common.json == "-") throw UsageError("-o - and --json - both want standard output: give --json FILE");
  if (format.name != "csv" && isatty(STDOUT_FILENO))
    throw UsageError("standard output is a terminal and " + format.name + " is not text: redirect it");
}

std::string companion_path(const JobPlan& plan, const std::string& output, bool overwrite) {
  const std::string& extension = plan.layout.companion_extension;
  if (extension.empty()) return "";
  if (output == "-")
    throw UsageError("format " + plan.format->name +
                     " writes labels to a second file, and -o - is one stream: give "
                     "--format png, arrow, parquet or raw");
  const std::string path = output.substr(0, output.size() - plan.format->extension.size()) + extension;
  check_output_file(path, overwrite);
  return path;
}

JobPlan plan_rows(const Generator& generator, int64_t rows, const RowsOutput& output, const Format& format,
                  const CommonOptions& common) {
  JobOptions job;
  job.rows = rows;
  job.rows_per_file = std::max<int64_t>(1, rows);
  job.threads = common.threads;
  job.memory_bytes = common.memory_bytes;
  job.format = &format;
  job.encoder.compression = output.compression;
  return plan_job(generator, job);
}

JobResult write_rows(const Generator& generator, const JobPlan& plan, const RowsOutput& output,
                     const CommonOptions& common) {
  Progress progress(plan.rows(), Progress::style_for(common.quiet));
  const bool is_stream = output.path == "-";
  const std::string companion = companion_path(plan, output.path, output.overwrite);
  try {
    if (is_stream) {
      StreamSink sink(STDOUT_FILENO, "standard output");
      return run_job(generator, plan, sink, progress);
    }
    SingleFileSink sink(output.path, companion);
    return run_job(generator, plan, sink, progress);
  } catch (const Error& error) {
    if (error.status() != ExitStatus::kInterrupted) throw;
    throw Error(is_stream ? "standard output is incomplete" : "'" + output.path + "' was not written",
                ExitStatus::kInterrupted);
  }
}

}  // namespace doppel
