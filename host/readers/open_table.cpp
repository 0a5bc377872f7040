#include "host/readers/byte_source.h"
#include "host/readers/formats.h"

namespace doppel {

std::unique_ptr<TableSource> open_table(const std::string& path, const ReadOptions& options) {
  switch (find_file_kind(path)) {
    case FileKind::kParquet:
      return open_parquet(path, options);
    case FileKind::kArrowFile:
      return open_arrow_file(path, options);
    case FileKind::kArrowStream:
      return open_arrow_stream(path, options);
    case FileKind::kText:
      break;
  }
  return open_csv(path, options);
}

}  // namespace doppel
