#include <unistd.h>

#include <cerrno>
#include <filesystem>
#include <nlohmann/json.hpp>
#include <string>

#include "host/cli/commands.h"
#include "host/numbers.h"
#include "host/writer.h"

namespace doppel {

void add_common_options(CLI::App& command, CommonOptions& common) {
  const std::string group = "Common options";
  command.add_option("--json", common.json, "Write the result as JSON to this file (-: standard output)")
      ->type_name("FILE|-")
      ->group(group);
  command.add_option("--backend", common.backend, "auto, cpu, cuda, cuda:N, several devices cuda:0,1 or cuda:all")
      ->capture_default_str()
      ->type_name("NAME")
      ->group(group);
  command.add_option("--threads", common.threads, "CPU threads (default: one a core)")
      ->type_name("N")
      ->check(CLI::Range(1, 4096))
      ->group(group);
  command
      .add_option_function<std::string>(
          "--memory", [&common](const std::string& text) { common.memory_bytes = parse_bytes(text); },
          "Limit of resident memory: 512M, 4GiB (default: 1GiB)")
      ->type_name("BYTES")
      ->group(group);
  auto* quiet = command.add_flag("-q,--quiet", common.quiet, "Print errors only")->group(group);
  command.add_flag("-v,--verbose", common.verbose, "Print more about what is done")->excludes(quiet)->group(group);
}

void write_json(const CommonOptions& common, const nlohmann::ordered_json& result) {
  if (common.json.empty()) return;
  const std::string text = result.dump(2, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
  if (common.json == "-") {
    write_all(real_file_system(), STDOUT_FILENO, text.data(), text.size(), "standard output");
  } else if (std::filesystem::exists(common.json) &&
             !std::filesystem::is_regular_file(common.json)) {  // a device, a pipe
    const int file = real_file_system().create(common.json);
    if (file < 0) throw_file_error("write", common.json, errno);
    write_all(real_file_system(), file, text.data(), text.size(), common.json);
    real_file_system().close(file);
  } else {
    write_file_atomically(common.json, std::as_bytes(std::span(text)));
  }
}

}  // namespace doppel
