// What lets one source be a CUDA thread, a plain float and a SIMD lane: the macros around such code, and PlainLanes,
// the lane type of width one.
//
// A header of portable code (philox.h, math.h) has function templates over a lane type L and is written between
// DOPPEL_PORTABLE_BEGIN and DOPPEL_PORTABLE_END, each function marked DOPPEL_PORTABLE. A SIMD source defines
// DOPPEL_SIMD and includes Highway before it; the header is then compiled once per instruction set (Highway's
// foreach_target), in that instruction set's namespace. Elsewhere, nvcc included, it is compiled once, in
// doppel::portable.
//
// A lane type has
//   Float, Int        vectors of kLanes floats and 32-bit integers
//   Words             kLanes unsigned 32-bit integers, in a layout good for wide multiplication
// and the static functions below. Each is one IEEE operation or one exact operation on bits, so a function made of them
// gives the same bits for every lane type. NaNs never occur.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstring>

#ifdef __CUDACC__
#define DOPPEL_HOST_DEVICE __host__ __device__ __forceinline__
#define DOPPEL_UNROLL(n) _Pragma("unroll")
#else
#define DOPPEL_UNROLL(n) DOPPEL_PRAGMA(GCC unroll n)
#define DOPPEL_PRAGMA(text) _Pragma(#text)
#define DOPPEL_HOST_DEVICE inline __attribute__((always_inline))
#endif

#ifdef DOPPEL_SIMD
#define DOPPEL_PORTABLE HWY_INLINE
#define DOPPEL_PORTABLE_BEGIN \
  HWY_BEFORE_NAMESPACE();     \
  namespace doppel {          \
  namespace HWY_NAMESPACE {
#define DOPPEL_PORTABLE_END \
  }                         \
  }                         \
  HWY_AFTER_NAMESPACE();
#else
#define DOPPEL_PORTABLE DOPPEL_HOST_DEVICE
#define DOPPEL_PORTABLE_BEGIN \
  namespace doppel {          \
  namespace portable {
#define DOPPEL_PORTABLE_END \
  }                         \
  }
#endif

namespace doppel {

struct PlainLanes {
  using Float = float;
  using Int = int32_t;
  using Words = uint32_t;
  static constexpr int kLanes = 1;

  DOPPEL_HOST_DEVICE static Float set(float x) { return x; }
  DOPPEL_HOST_DEVICE static Int set_int(int32_t i) { return i; }
  DOPPEL_HOST_DEVICE static Words set_words(uint32_t w) { return w; }

  DOPPEL_HOST_DEVICE static Float subtract(Float a, Float b) { return a - b; }
  DOPPEL_HOST_DEVICE static Float multiply(Float a, Float b) { return a * b; }
  DOPPEL_HOST_DEVICE static Float fused(Float a, Float b, Float c) {  // a * b + c, rounded once
#ifdef __CUDA_ARCH__
    return __fmaf_rn(a, b, c);
#else
    return std::fma(a, b, c);
#endif
  }
  DOPPEL_HOST_DEVICE static Float square_root(Float a) {
#ifdef __CUDA_ARCH__
    return __fsqrt_rn(a);
#else
    return std::sqrt(a);
#endif
  }
  DOPPEL_HOST_DEVICE static Float to_float(Int i) {
    return static_cast<float>(i);
  }  // nearest, ties to even

  DOPPEL_HOST_DEVICE static Float float_of_bits(Int i) {
#ifdef __CUDA_ARCH__
    return __int_as_float(i);
#else
    float x;
    std::memcpy(&x, &i, sizeof x);
    return x;
#endif
  }
  DOPPEL_HOST_DEVICE static Int bits_of(Float x) {
#ifdef __CUDA_ARCH__
    return __float_as_int(x);
#else
    int32_t i;
    std::memcpy(&i, &x, sizeof i);
    return i;
#endif
  }
  // Two's complement, wrapping.
  DOPPEL_HOST_DEVICE static Int add_int(Int a, Int b) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) + static_cast<uint32_t>(b));
  }
  DOPPEL_HOST_DEVICE static Int subtract_int(Int a, Int b) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) - static_cast<uint32_t>(b));
  }
  DOPPEL_HOST_DEVICE static Int and_int(Int a, Int b) {
    return a & b;
  }
  template <int kBits>
  DOPPEL_HOST_DEVICE static Int shift_left(Int a) {
    return static_cast<int32_t>(static_cast<uint32_t>(a) << kBits);
  }
  template <int kBits>
  DOPPEL_HOST_DEVICE static Int shift_right(Int a) {  // of an unsigned number
    return static_cast<int32_t>(static_cast<uint32_t>(a) >> kBits);
  }
  template <int kBits>
  DOPPEL_HOST_DEVICE static Int shift_right_signed(Int a) {
    return a >> kBits;
  }
  DOPPEL_HOST_DEVICE static Float flip_sign(Float x, Int sign_bit) {
    return float_of_bits(bits_of(x) ^ sign_bit);
  }
  DOPPEL_HOST_DEVICE static Float if_negative(Int condition, Float yes, Float no) {
    return condition < 0 ? yes : no;
  }

  DOPPEL_HOST_DEVICE static void multiply_wide(Words a, uint32_t b, Words& high, Words& low) {
    const uint64_t product = static_cast<uint64_t>(a) * b;
    high = static_cast<uint32_t>(product >> 32);
    low = static_cast<uint32_t>(product);
  }
  DOPPEL_HOST_DEVICE static Words exclusive_or(Words a, Words b) {
    return a ^ b;
  }
  DOPPEL_HOST_DEVICE static Words exclusive_or(Words a, Words b, Words c) {
    return a ^ b ^ c;
  }
  DOPPEL_HOST_DEVICE static Int int_of_words(Words w) {
    return static_cast<int32_t>(w);
  }
};

}  // namespace doppel
