// Images as the codes of the model that made synthetic ones (engine/coder.h): do synthetic images lie where real ones
// do, what lies between two real images, and how did the model's training go?
//
// Codes are those of images given their labels, where the model knows labels. Everything is deterministic for a seed;
// images are chosen by a hash of (seed, image) as choose_rows has it.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/coder.h"
#include "engine/evaluation/evaluation.h"
#include "engine/image/images.h"
#include "kernels/backend.h"

namespace doppel {

inline constexpr int64_t kMostCodes = 2000;  // real, and synthetic
inline constexpr int64_t kMostInterpolations = 10;
inline constexpr int64_t kInterpolationSteps = 10;  // images from one code to the other, both included

// Codes along the two directions in which those of real images spread most, as differences from their mean.
struct CodeScatter {
  double explained_share_x = kUndefined, explained_share_y = kUndefined;  // of the variance of the real images' codes
  std::vector<double> real_x, real_y, synthetic_x, synthetic_y;
  std::vector<int32_t> real_labels, synthetic_labels;  // of the images, or empty
};
// Codes [images, width], row-major, at least one real. With a width of 1 all y are 0.
CodeScatter scatter_codes(const std::vector<float>& real, const std::vector<float>& synthetic, int64_t width,
                          const Backend& backend);

// The way from one real image to another.
struct Interpolation {
  int64_t first = 0, second = 0;                // the images' numbers
  int32_t first_label = -1, second_label = -1;  // -1 where they have none
  double distance = 0;                          // Euclidean, of their codes
  // [kInterpolationSteps] decoded from codes at equal distances on the straight line from the first one's to the
  // second one's, each with the label of the nearer end.
  Images steps;
};

struct ImageCodes {
  int64_t width = 0;  // numbers of a code
  CodeScatter scatter;
  // Between two images of a class, and between an image of a class and one of the next class; of unlabelled images
  // between any two. At most kMostInterpolations of each.
  std::vector<Interpolation> within, between;
};

// `real`: held-out images if there are any. Images without labels, where the coder's model needs them, are left out of
// the scatter if they are synthetic. Throws InputError, beginning with "real images" or "synthetic images", where
// labelled_for does, and UsageError where the model cannot encode.
ImageCodes evaluate_image_codes(const Coder& coder, const Images& real, const Images& synthetic, const Backend& backend,
                                uint64_t seed);

}  // namespace doppel
