// What tensor cores make of a float.
#pragma once

#include <cmath>

namespace simt {

// TF32: rounded to 11 significant bits.
inline float rounded_to_tf32(float x) {
  int exponent = 0;
  const float fraction = std::frexp(x, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, 11)), exponent - 11);
}

}  // namespace simt
