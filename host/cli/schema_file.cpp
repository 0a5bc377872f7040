#include "host/cli/schema_file.h"

#include <nlohmann/json.hpp>
#include <span>

#include "host/writer.h"
#include "kernels/common/error.h"

namespace doppel {

TableSchema read_schema_file(const std::string& path) {
  const std::vector<std::byte> bytes = read_file(path);
  const auto* text = reinterpret_cast<const char*>(bytes.data());
  const nlohmann::json json = nlohmann::json::parse(text, text + bytes.size(), nullptr, false);
  if (json.is_discarded()) throw InputError(path + ": not JSON; doppel fit --write-schema writes such a schema");
  try {
    return table_schema_from_json(json);
  } catch (const InputError& error) {
    throw InputError(path + ": " + error.what());
  }
}

void write_schema_file(const std::string& path, const TableSchema& schema) {
  const std::string text = to_json(schema).dump(2) + "\n";
  write_file_atomically(path, std::as_bytes(std::span(text)));
}

}  // namespace doppel
