#include "engine/batch.h"

#include <cstdlib>
#include <new>

namespace doppel {
namespace {

constexpr size_t kAlignment = 64;  // a cache line, an AVX-512 register, Arrow's recommendation

size_t aligned(size_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }
size_t value_bytes(const OutputColumn& column, int64_t capacity) {
  return column.has_values() ? aligned(static_cast<size_t>(capacity) * bytes_per_value(column.storage)) : 0;
}
size_t validity_bytes(const OutputColumn& column, int64_t capacity) {
  return column.schema.has_missing ? aligned((static_cast<size_t>(capacity) + 7) / 8) : 0;
}

}  // namespace

size_t Batch::bytes(const OutputSchema& schema, int64_t capacity) {
  size_t total = 0;
  for (const OutputColumn& column : schema.columns) total += value_bytes(column, capacity) + validity_bytes(column, capacity);
  return total;
}

Batch::Batch(const OutputSchema& schema, int64_t capacity)
    : capacity_(capacity), memory_(nullptr, [](std::byte* memory) { std::free(memory); }) {
  const size_t total = aligned(bytes(schema, capacity) + kAlignment);
  memory_.reset(static_cast<std::byte*>(std::aligned_alloc(kAlignment, total)));
  if (!memory_) throw std::bad_alloc();
  std::byte* next = memory_.get();
  for (const OutputColumn& column : schema.columns) {
    ColumnBuffer buffer;
    if (const size_t size = value_bytes(column, capacity)) buffer.values = next, next += size;
    if (const size_t size = validity_bytes(column, capacity)) buffer.validity = reinterpret_cast<uint8_t*>(next), next += size;
    buffers_.push_back(buffer);
  }
}

}  // namespace doppel
