#include "host/cli/commands.h"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstring>
#include <exception>

#include "kernels/common/error.h"

namespace doppel {
namespace {

// "doppel fit 'my data.csv'": what a shell takes for the same command.
std::string quote_command(int argc, char** argv) {
  std::string command = "doppel";
  for (int i = 1; i < argc; ++i) {
    const std::string argument = argv[i];
    const bool plain =
        !argument.empty() && std::all_of(argument.begin(), argument.end(), [](const unsigned char character) {
          return std::isalnum(character) != 0 || std::strchr("-_./:=,+@%", character) != nullptr || character >= 128;
        });
    command += plain ? " " : " '";
    for (const char character : argument) {
      if (character == '\'')
        command += "'\\''";
      else
        command += character;
    }
    if (!plain) command += '\'';
  }
  return command;
}

// CLI11 would only say that a command is required.
void check_command(const CLI::App& app, const std::string& name) {
  if (name.starts_with('-')) return;
  std::string names;
  for (const CLI::App* command : app.get_subcommands({})) {
    if (command->get_name() == name) return;
    names += (names.empty() ? "" : ", ") + command->get_name();
  }
  throw UsageError("there is no command '" + name + "': the commands are " + names);
}

}  // namespace

int run_command_line(int argc, char** argv) {
  CLI::App app{"Learns a data set and writes its synthetic double at the speed of the hardware.", "doppel"};
  CommonOptions common;
  common.command_line = quote_command(argc, argv);
  int status = 0;
  try {
    app.require_subcommand(1);
    add_fit_command(app, common, status);
    add_generate_command(app, common, status);
    add_evaluate_command(app, common, status);
    add_score_command(app, common, status);
    add_impute_command(app, common, status);
    add_encode_command(app, common, status);
    add_decode_command(app, common, status);
    add_import_command(app, common, status);
    add_inspect_command(app, common, status);
    add_verify_command(app, common, status);
    app.set_version_flag("--version", std::string("doppel ") + DOPPEL_VERSION);
    if (argc == 1) {
      std::fputs(app.help().c_str(), stderr);
      return static_cast<int>(ExitStatus::kWrongUsage);
    }
    check_command(app, argv[1]);
    app.parse(argc, argv);
    return status;
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return app.exit(error);  // --help, --version
    std::fprintf(stderr, "doppel: error: %s (see doppel --help)\n", error.what());
    return static_cast<int>(ExitStatus::kWrongUsage);
  } catch (const Error& error) {
    const bool stopped = error.status() == ExitStatus::kInterrupted;
    std::fprintf(stderr, "doppel: %s: %s\n", stopped ? "interrupted" : "error", error.what());
    return static_cast<int>(error.status());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "doppel: error: %s\n", error.what());
    return static_cast<int>(ExitStatus::kFailed);
  }
}

}  // namespace doppel
