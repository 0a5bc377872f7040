// How many blocks a grid has.
#pragma once

#include <cstdint>

namespace doppel::cuda {

// Of a grid's second dimension, and enough of its first: kernels stride over the rest.
constexpr unsigned kMostBlocks = 65535;

constexpr unsigned at_most(int64_t count) {
  return static_cast<unsigned>(count < kMostBlocks ? count : kMostBlocks);
}

// That `count` is covered by blocks of `each`.
constexpr unsigned blocks_of(int64_t count, int64_t each) {
  return static_cast<unsigned>((count + each - 1) / each);
}

}  // namespace doppel::cuda
