// Opens a data file as a TableSource by what it is (content first, then extension): CSV (and .csv.gz), Parquet, Arrow IPC.
#pragma once

#include <memory>
#include <string>

#include "engine/table/source.h"

namespace doppel {

struct ReadOptions {
  char delimiter = 0;                    // 0: found from the first lines (comma, semicolon, tab, bar)
  int64_t chunk_bytes = 16 << 20;        // about how much text or column data a chunk holds
};

// Throws InputError ("life.csv: no such file").
std::unique_ptr<TableSource> open_table(const std::string& path, const ReadOptions& options = {});

}  // namespace doppel
