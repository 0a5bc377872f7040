#include "engine/batch.h"

namespace doppel {
namespace {

size_t value_bytes(const OutputColumn& column, int64_t capacity) {
  return column.has_values() ? aligned_size(static_cast<size_t>(capacity) * bytes_per_value(column.storage)) : 0;
}
size_t validity_bytes(const OutputColumn& column, int64_t capacity) {
  return column.schema.has_missing ? aligned_size((static_cast<size_t>(capacity) + 7) / 8) : 0;
}
size_t image_bytes(const OutputSchema& schema, int64_t capacity) {
  return aligned_size(static_cast<size_t>(capacity) * static_cast<size_t>(schema.image.size()));
}

}  // namespace

size_t Batch::bytes(const OutputSchema& schema, int64_t capacity) {
  size_t total = image_bytes(schema, capacity);
  for (const OutputColumn& column : schema.columns)
    total += value_bytes(column, capacity) + validity_bytes(column, capacity);
  return total;
}

Batch::Batch(const OutputSchema& schema, int64_t capacity, const std::function<HostMemory(size_t)>& allocate)
    : capacity_(capacity), memory_(allocate(bytes(schema, capacity))) {
  std::byte* next = memory_.get();
  for (const OutputColumn& column : schema.columns) {
    ColumnBuffer buffer;
    if (const size_t size = value_bytes(column, capacity)) buffer.values = next, next += size;
    if (const size_t size = validity_bytes(column, capacity))
      buffer.validity = reinterpret_cast<uint8_t*>(next), next += size;
    buffers_.push_back(buffer);
  }
  if (schema.has_images()) images_ = reinterpret_cast<uint8_t*>(next);
}

}  // namespace doppel
