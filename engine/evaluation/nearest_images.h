// Nearest images by exhaustive search, exactly.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/image/images.h"

namespace doppel {

// An image among those searched; none where there are none.
struct NearestImage {
  int64_t number = -1;
  int64_t squared = INT64_MAX;  // distance: the sum of squared differences of levels, which is a whole number
};

// Of each of `queries`, numbers of images of `of`, the nearest of `references`, numbers of images of `among`; the first
// of equals. Works in blocks of at most 32 MiB. `progress` is told the share done.
std::vector<NearestImage> find_nearest_images(const Images& of, const std::vector<int64_t>& queries,
                                              const Images& among, const std::vector<int64_t>& references,
                                              const std::function<void(double)>& progress = {});

}  // namespace doppel
