#include "host/readers/byte_source.h"
#include "host/readers/formats.h"

namespace doppel {

std::unique_ptr<TableSource> open_table(const std::string& path, const ReadOptions& options) {
  find_file_kind(path);
  return open_csv(path, options);
}

}  // namespace doppel
