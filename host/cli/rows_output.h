// Rows of a table that a command makes, as one file or stream: -o, --format, --compression.
#pragma once

#include <string>

#include "engine/generator.h"
#include "host/cli/commands.h"
#include "host/encoders/encoder.h"
#include "host/scheduler.h"

namespace doppel {

struct RowsOutput {
  std::string path, format, compression = "default";
  bool overwrite = false;
};

void add_rows_output(CLI::App& command, RowsOutput& output, const std::string& what);

// Throws UsageError before any work is done: no format fits the path, the file exists, two results want standard
// output.
const Format& check_rows_output(const RowsOutput& output, const CommonOptions& common);

// The same of a file, and of rows of a format on standard output.
void check_output_file(const std::string& path, bool overwrite);
void check_output_stream(const Format& format, const CommonOptions& common);

// Where the labels of images go that the format keeps apart from them; "": nowhere. Throws UsageError where they
// cannot.
std::string companion_path(const JobPlan& plan, const std::string& output, bool overwrite);

// Rows 0 .. rows - 1 of the generator as one file; throws as plan_job does.
JobPlan plan_rows(const Generator& generator, int64_t rows, const RowsOutput& output, const Format& format,
                  const CommonOptions& common);
// Whole or not at all.
JobResult write_rows(const Generator& generator, const JobPlan& plan, const RowsOutput& output,
                     const CommonOptions& common);

}  // namespace doppel
