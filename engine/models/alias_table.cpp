#include "engine/models/alias_table.h"

#include <algorithm>
#include <limits>
#include <vector>

namespace doppel {

void append_alias(std::span<const Outcome> outcomes, AliasTable& table) {
  const size_t n = outcomes.size();
  double total = 0;
  for (const Outcome& outcome : outcomes) total += outcome.weight;
  std::vector<double> part(n);  // of its entry that an outcome has, 1 if it has all
  std::vector<size_t> small, large, other(n);
  for (size_t i = 0; i < n; ++i) {
    part[i] = outcomes[i].weight / total * static_cast<double>(n);
    other[i] = i;
    (part[i] < 1 ? small : large).push_back(i);
  }
  while (!small.empty() && !large.empty()) {
    const size_t low = small.back(), high = large.back();
    small.pop_back();
    other[low] = high;
    part[high] -= 1 - part[low];
    if (part[high] < 1) {
      large.pop_back();
      small.push_back(high);
    }
  }
  for (size_t i = 0; i < n; ++i) {
    // Those left over have their whole entry, but for rounding.
    const bool is_whole = other[i] == i;
    table.threshold.push_back(is_whole ? std::numeric_limits<uint32_t>::max()
                                       : static_cast<uint32_t>(std::clamp(part[i] * 0x1p32, 0.0, 0x1p32 - 1)));
    table.below.push_back(outcomes[i].value);
    table.above.push_back(outcomes[other[i]].value);
  }
}

}  // namespace doppel
