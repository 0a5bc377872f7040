// Memory that is made once and used again for every chunk.
#pragma once

#include <cstddef>
#include <memory>

namespace doppel {

// Grows and is not initialised; what it held is lost when it grows.
template <class Value>
class Scratch {
 public:
  Value* reserve(size_t size) {
    if (size > capacity_) {
      values_ = std::make_unique_for_overwrite<Value[]>(size);
      capacity_ = size;
    }
    return values_.get();
  }

 private:
  std::unique_ptr<Value[]> values_;
  size_t capacity_ = 0;
};

}  // namespace doppel
