#include <algorithm>
#include <cstring>

#include "host/encoders/encoder.h"

namespace doppel {

std::byte* ByteBuffer::reserve(size_t bytes) {
  if (capacity_ - size_ < bytes) {
    const size_t capacity = std::max(size_ + bytes, capacity_ + capacity_ / 2);
    std::unique_ptr<std::byte[]> grown(new std::byte[capacity]);  // not make_unique: that would zero it
    if (size_ != 0) std::memcpy(grown.get(), data_.get(), size_);
    data_ = std::move(grown);
    capacity_ = capacity;
  }
  return data_.get() + size_;
}

void ByteBuffer::append(const void* data, size_t bytes) {
  if (bytes == 0) return;
  std::memcpy(reserve(bytes), data, bytes);
  commit(bytes);
}

}  // namespace doppel
