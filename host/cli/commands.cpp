#include "host/cli/commands.h"

#include <cstdio>
#include <exception>

#include "kernels/common/error.h"

namespace doppel {

int run_command_line(int argc, char** argv) {
  CLI::App app{"Learns a data set and writes its synthetic double at the speed of the hardware.", "doppel"};
  CommonOptions common;
  int status = 0;
  try {
    app.require_subcommand(1);
    add_evaluate_command(app, common, status);
    app.set_version_flag("--version", std::string("doppel ") + DOPPEL_VERSION);
    if (argc == 1) {
      std::fputs(app.help().c_str(), stderr);
      return static_cast<int>(ExitStatus::kWrongUsage);
    }
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
