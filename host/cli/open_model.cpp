#include "host/cli/open_model.h"

#include <cstddef>
#include <vector>

#include "host/writer.h"

namespace doppel {

OpenedModel open_model(const std::string& path) {
  const std::vector<std::byte> bytes = read_file(path);
  return {load_model(parse_model_file(bytes, path)), model_checksum(bytes)};
}

}  // namespace doppel
