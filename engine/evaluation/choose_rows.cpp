#include "engine/evaluation/choose_rows.h"

#include <algorithm>
#include <numeric>

namespace doppel {

std::vector<int64_t> choose_rows(int64_t rows, int64_t limit, uint64_t seed) {
  std::vector<int64_t> chosen(rows);
  std::iota(chosen.begin(), chosen.end(), int64_t{0});
  if (rows <= limit) return chosen;
  std::nth_element(chosen.begin(), chosen.begin() + limit, chosen.end(),
                   [&](int64_t a, int64_t b) { return hash_row(seed, a) < hash_row(seed, b); });
  chosen.resize(limit);
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

}  // namespace doppel
