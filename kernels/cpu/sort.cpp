#include "kernels/sort.h"

#include <hwy/contrib/sort/vqsort.h>

#include <vector>

#include "kernels/common/ordered_bits.h"

namespace doppel {

void sort_ascending(std::span<int64_t> values) {
  thread_local const hwy::Sorter sorter;
  sorter(values.data(), values.size(), hwy::SortAscending());
}

void sort_ascending(std::span<double> values) {
  std::vector<int64_t> keys;
  keys.reserve(values.size());
  for (const double value : values) keys.push_back(ordered_bits(value));
  sort_ascending(std::span(keys));
  for (size_t i = 0; i < keys.size(); ++i) values[i] = double_of_ordered_bits(keys[i]);
}

}  // namespace doppel
