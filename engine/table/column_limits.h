// How much is kept of one column while it is profiled.
#pragma once

#include <cstddef>

#include "engine/table/profile.h"

namespace doppel {

struct ColumnLimits {
  size_t exact_distinct = kExactDistinct;
  size_t text_bytes = size_t{16} << 20;      // of distinct texts
  size_t sketch_capacity = size_t{1} << 15;  // quantile_sketch.h says what follows for the error
};

}  // namespace doppel
