// bfloat16 in bits: the upper half of a float. To store numbers, not to compute with.
#pragma once

#include "kernels/common/portable.h"

namespace doppel {

struct Bfloat16 {
  uint16_t bits;
};

DOPPEL_HOST_DEVICE float float_of_bfloat16(Bfloat16 x) {
  return PlainLanes::float_of_bits(static_cast<int32_t>(uint32_t{x.bits} << 16));
}
// To the nearest, ties to even; NaNs are not meant.
DOPPEL_HOST_DEVICE Bfloat16 bfloat16_of_float(float x) {
  const auto bits = static_cast<uint32_t>(PlainLanes::bits_of(x));
  return {static_cast<uint16_t>((bits + 0x7FFFu + (bits >> 16 & 1)) >> 16)};
}

}  // namespace doppel
