// Rows of a table chosen by a hash of (seed, row): the same whatever else is asked, and fewer are part of more.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/image/images.h"

namespace doppel {

// splitmix64's finaliser (Steele, Lea, Flood, OOPSLA 2014) of a seed and a number.
constexpr uint64_t hash(uint64_t seed, uint64_t number) {
  uint64_t z = seed * 0xd1342543de82ef95u + (number + 1) * 0x9e3779b97f4a7c15u;
  z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
  z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
  return z ^ (z >> 31);
}

constexpr uint64_t hash_row(uint64_t seed, int64_t row) {
  return hash(seed, static_cast<uint64_t>(row));
}

// At most `limit` rows, in ascending order: those with the smallest hashes.
std::vector<int64_t> choose_rows(int64_t rows, int64_t limit, uint64_t seed);
// The same in the order of their hashes: the first of them are a random choice, too.
std::vector<int64_t> shuffle_rows(int64_t rows, int64_t limit, uint64_t seed);

// The images of these numbers, in their order, with their labels.
Images choose_images(const Images& images, const std::vector<int64_t>& numbers);

}  // namespace doppel
