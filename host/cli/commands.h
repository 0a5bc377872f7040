// The command line: `doppel COMMAND ...`. Each command is a file of this folder that registers itself with CLI11.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

namespace doppel {

// Options every command takes.
struct CommonOptions {
  std::string json;  // --json FILE|-: the result as JSON
  std::string backend = "auto";
  int threads = 0;  // 0: one per core
  int64_t memory_bytes = int64_t{1} << 30;
  bool quiet = false, verbose = false;
  std::string command_line;  // as typed, quoted for a shell
};

// Registers them with a command, and writes its result where --json says (nothing without it). Keys carry units.
void add_common_options(CLI::App& command, CommonOptions& common);
void write_json(const CommonOptions& common, const nlohmann::ordered_json& result);

// Parses, runs one command, prints at most one error line; returns the exit status. Never throws.
int run_command_line(int argc, char** argv);

// Registration, one a command; `status` may be set by a command that succeeds with a status other than 0.
void add_fit_command(CLI::App& app, CommonOptions& common, int& status);
void add_generate_command(CLI::App& app, CommonOptions& common, int& status);
void add_evaluate_command(CLI::App& app, CommonOptions& common, int& status);
void add_inspect_command(CLI::App& app, CommonOptions& common, int& status);
void add_score_command(CLI::App& app, CommonOptions& common, int& status);
void add_impute_command(CLI::App& app, CommonOptions& common, int& status);
void add_encode_command(CLI::App& app, CommonOptions& common, int& status);
void add_decode_command(CLI::App& app, CommonOptions& common, int& status);
void add_import_command(CLI::App& app, CommonOptions& common, int& status);
void add_verify_command(CLI::App& app, CommonOptions& common, int& status);

}  // namespace doppel
