#include "host/cli/commands.h"

int main(int argc, char** argv) {
  return doppel::run_command_line(argc, argv);
}
