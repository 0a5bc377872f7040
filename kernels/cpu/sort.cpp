#include "kernels/sort.h"

#include <hwy/contrib/sort/vqsort.h>

#include <bit>
#include <vector>

namespace doppel {

void sort_ascending(std::span<int64_t> values) {
  thread_local const hwy::Sorter sorter;
  sorter(values.data(), values.size(), hwy::SortAscending());
}

// As whole numbers in the same order: a double's bits, of a negative one all but the sign the other way round.
void sort_ascending(std::span<double> values) {
  const auto flipped = [](int64_t bits) { return bits ^ (bits >> 63 & INT64_MAX); };
  std::vector<int64_t> keys;
  keys.reserve(values.size());
  for (const double value : values) keys.push_back(flipped(std::bit_cast<int64_t>(value + 0.0)));
  sort_ascending(std::span(keys));
  for (size_t i = 0; i < keys.size(); ++i) values[i] = std::bit_cast<double>(flipped(keys[i]));
}

}  // namespace doppel
