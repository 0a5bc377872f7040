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
    app.parse(argc, argv);
    return status;
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : static_cast<int>(ExitStatus::kWrongUsage);
  } catch (const Error& error) {
    std::fprintf(stderr, "doppel: error: %s\n", error.what());
    return static_cast<int>(error.status());
  } catch (const std::exception& error) {
    std::fprintf(stderr, "doppel: error: %s\n", error.what());
    return static_cast<int>(ExitStatus::kFailed);
  }
}

}  // namespace doppel
