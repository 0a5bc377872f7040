// One value into a batch.
#pragma once

#include <cstdint>

#include "engine/batch.h"
#include "engine/density.h"

namespace doppel {

// Sets the row's value, and whether it is there where the buffer says so.
void put_value(const OutputColumn& column, const ColumnBuffer& buffer, int64_t row, const SampledValue& value);

}  // namespace doppel
