// The readers of this folder, a file a format; for open_table.cpp.
#pragma once

#include <memory>
#include <string>

#include "engine/table/source.h"
#include "host/readers/reader.h"

namespace doppel {

std::unique_ptr<TableSource> open_csv(const std::string& path, const ReadOptions& options);
std::unique_ptr<TableSource> open_parquet(const std::string& path, const ReadOptions& options);
std::unique_ptr<TableSource> open_arrow_file(const std::string& path, const ReadOptions& options);
std::unique_ptr<TableSource> open_arrow_stream(const std::string& path, const ReadOptions& options);

}  // namespace doppel
