// The numbers that networks of images are computed in.
#pragma once

#include <cstdint>

namespace doppel {

// kBfloat16: weights and what layers hand on are rounded to 8 significant bits, sums are made in single precision.
enum class Precision : uint8_t { kSingle, kBfloat16 };

}  // namespace doppel
