#include "engine/put_value.h"

namespace doppel {

void put_value(const OutputColumn& column, const ColumnBuffer& buffer, int64_t row, const SampledValue& value) {
  if (buffer.validity != nullptr) {
    const int byte = buffer.validity[row / 8], bit = 1 << row % 8;
    buffer.validity[row / 8] = static_cast<uint8_t>(value.is_missing ? byte & ~bit : byte | bit);
  }
  if (!column.has_values()) return;
  switch (column.storage) {
    case Storage::kInt32:
      static_cast<int32_t*>(buffer.values)[row] = static_cast<int32_t>(value.integer);
      break;
    case Storage::kInt64:
      static_cast<int64_t*>(buffer.values)[row] = value.integer;
      break;
    case Storage::kFloat32:
      static_cast<float*>(buffer.values)[row] = static_cast<float>(value.real);
      break;
    case Storage::kFloat64:
      static_cast<double*>(buffer.values)[row] = value.real;
      break;
  }
}

}  // namespace doppel
