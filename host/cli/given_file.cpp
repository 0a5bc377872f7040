#include "host/cli/given_file.h"

#include <algorithm>

#include "host/readers/reader.h"
#include "host/readers/watched_table.h"
#include "host/scheduler.h"

namespace doppel {
namespace {

int64_t threads_of(const CommonOptions& common) {
  return common.threads > 0 ? common.threads : available_threads();
}

}  // namespace

std::unique_ptr<TableSource> open_given(const std::string& path, const CommonOptions& common) {
  constexpr int64_t kLeastChunkBytes = 256 << 10, kMostChunkBytes = 16 << 20;
  ReadOptions options;  // each thread has a chunk of cells, up to thrice as large as its text
  options.chunk_bytes = std::clamp(common.memory_bytes / (64 * std::max<int64_t>(threads_of(common), 2)),
                                   kLeastChunkBytes, kMostChunkBytes);
  return watch_table(open_table(path, options));
}

GivenLimits given_limits(const CommonOptions& common) {
  constexpr int64_t kLeastWorkerBytes = 4 << 20;
  GivenLimits limits;
  limits.table_bytes = common.memory_bytes / 8;
  limits.profile_bytes = std::min(limits.profile_bytes, common.memory_bytes / 8 * 3);
  limits.worker_bytes =
      std::clamp(common.memory_bytes / (4 * threads_of(common)), kLeastWorkerBytes, limits.worker_bytes);
  return limits;
}

}  // namespace doppel
