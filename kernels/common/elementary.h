// exp and log in double by IEEE add, multiply and divide alone: the same bits on any machine and on CUDA, and loops
// over them become SIMD. Relative error of exp and absolute error of log below 1e-15.
#pragma once

#include <bit>
#include <cstdint>

#include "kernels/common/portable.h"

namespace doppel {

DOPPEL_HOST_DEVICE uint64_t bits_of_double(double x) {
#ifdef __CUDA_ARCH__
  return static_cast<uint64_t>(__double_as_longlong(x));
#else
  return std::bit_cast<uint64_t>(x);
#endif
}
DOPPEL_HOST_DEVICE double double_of_bits(uint64_t bits) {
#ifdef __CUDA_ARCH__
  return __longlong_as_double(static_cast<long long>(bits));
#else
  return std::bit_cast<double>(bits);
#endif
}

// For x <= 0; below -700 it is exp(-700), about 1e-304.
DOPPEL_HOST_DEVICE double exp_below_zero(double x) {
  constexpr double kShift = 0x1.8p52;  // adding it rounds to a whole number, kept in the low bits
  x = x < -700 ? -700 : x;
  const double shifted = x * 0x1.71547652b82fep+0 + kShift;
  const double n = shifted - kShift;
  const double r = (x - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;  // ln 2 in two parts
  double p = 1.0 / 479001600;                                                   // Taylor's series: |r| <= ln(2) / 2
  p = p * r + 1.0 / 39916800;
  p = p * r + 1.0 / 3628800;
  p = p * r + 1.0 / 362880;
  p = p * r + 1.0 / 40320;
  p = p * r + 1.0 / 5040;
  p = p * r + 1.0 / 720;
  p = p * r + 1.0 / 120;
  p = p * r + 1.0 / 24;
  p = p * r + 1.0 / 6;
  p = p * r + 0.5;
  p = p * r + 1.0;
  p = p * r + 1.0;
  return p * double_of_bits((bits_of_double(shifted) + 1023) << 52);
}

// For positive normal numbers. x = 2^exponent * m with m in [sqrt(1/2), sqrt(2)); ln m = 2 artanh((m - 1) / (m + 1)).
DOPPEL_HOST_DEVICE double log_of_positive(double x) {
  const uint64_t bits = bits_of_double(x) - 0x3fe6a09e667f3bcd;
  const auto exponent = static_cast<double>(static_cast<int64_t>(bits) >> 52);
  const double m = double_of_bits((bits & 0x000fffffffffffff) + 0x3fe6a09e667f3bcd);
  const double s = (m - 1) / (m + 1), square = s * s;
  double p = 1.0 / 21;
  p = p * square + 1.0 / 19;
  p = p * square + 1.0 / 17;
  p = p * square + 1.0 / 15;
  p = p * square + 1.0 / 13;
  p = p * square + 1.0 / 11;
  p = p * square + 1.0 / 9;
  p = p * square + 1.0 / 7;
  p = p * square + 1.0 / 5;
  p = p * square + 1.0 / 3;
  p = p * square + 1.0;
  return exponent * 0x1.62e42fefa39efp-1 + 2 * s * p;
}

}  // namespace doppel
