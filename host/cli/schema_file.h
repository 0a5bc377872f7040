// Schemas as files: what --schema reads and --write-schema writes.
#pragma once

#include <string>

#include "engine/table/schema.h"

namespace doppel {

// Throws InputError that begins with the path.
TableSchema read_schema_file(const std::string& path);
void write_schema_file(const std::string& path, const TableSchema& schema);  // atomically

}  // namespace doppel
