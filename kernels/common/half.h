// Half precision (IEEE 754 binary16) in bits: to store numbers, not to compute with.
#pragma once

#include <bit>
#include <cstdint>

namespace doppel {

// Exact for every number; infinities and NaNs are not meant.
constexpr float float_of_half(uint16_t half) {
  const uint32_t sign = (uint32_t{half} & 0x8000u) << 16;
  const uint32_t scaled = (uint32_t{half} & 0x7FFFu) << 13;  // the bits of a float that is 2^112 times too small
  return std::bit_cast<float>(sign | std::bit_cast<uint32_t>(std::bit_cast<float>(scaled) * 0x1p112f));
}

// To the nearest, ties to even; infinity where it is 65,520 or more by magnitude.
constexpr uint16_t half_of_float(float x) {
  const auto bits = std::bit_cast<uint32_t>(x);
  const uint32_t sign = bits >> 16 & 0x8000u, magnitude = bits & 0x7FFFFFFFu;
  if (magnitude >= std::bit_cast<uint32_t>(65520.0f)) return static_cast<uint16_t>(sign | 0x7C00u);
  if (magnitude < std::bit_cast<uint32_t>(0x1p-14f)) {  // a multiple of 2^-24, which is the last digit of 0.5
    const float rounded = std::bit_cast<float>(magnitude) + 0.5f;
    return static_cast<uint16_t>(sign | (std::bit_cast<uint32_t>(rounded) - std::bit_cast<uint32_t>(0.5f)));
  }
  const uint32_t rounded = magnitude + 0xFFFu + (magnitude >> 13 & 1);
  return static_cast<uint16_t>(sign | (rounded - (112u << 23)) >> 13);
}

}  // namespace doppel
