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

std::vector<int64_t> shuffle_rows(int64_t rows, int64_t limit, uint64_t seed) {
  std::vector<int64_t> chosen = choose_rows(rows, limit, seed);
  std::sort(chosen.begin(), chosen.end(), [&](int64_t a, int64_t b) { return hash_row(seed, a) < hash_row(seed, b); });
  return chosen;
}

Images choose_images(const Images& images, const std::vector<int64_t>& numbers) {
  Images chosen{images.shape, {}, {}, images.label_names};
  chosen.pixels.reserve(numbers.size() * static_cast<size_t>(images.shape.size()));
  for (const int64_t number : numbers) {
    chosen.pixels.insert(chosen.pixels.end(), images.image(number), images.image(number) + images.shape.size());
    if (!images.labels.empty()) chosen.labels.push_back(images.labels[static_cast<size_t>(number)]);
  }
  return chosen;
}

}  // namespace doppel
