// The functions of the bit law: one sequence of IEEE operations each, so that every lane type gives the same bits.
// Portable code (portable.h). Polynomials are minimax fits (Remez exchange in 40 digits; errors below are theirs,
// before rounding).
#include "kernels/common/portable.h"

#if defined(DOPPEL_SIMD) ? defined(DOPPEL_MATH_TOGGLE) == defined(HWY_TARGET_TOGGLE) : !defined(DOPPEL_MATH_TOGGLE)
#ifdef DOPPEL_MATH_TOGGLE
#undef DOPPEL_MATH_TOGGLE
#else
#define DOPPEL_MATH_TOGGLE
#endif

DOPPEL_PORTABLE_BEGIN

// A word as a number in (0, 1]: (2 * floor(word / 2) + 1) / 2^32, rounded to float. Small numbers keep all their bits,
// which is what the tails of a normal are made of: the smallest is 2^-32, so a normal reaches 6.66 deviations.
template <class L>
DOPPEL_PORTABLE typename L::Float uniform_of_word(typename L::Int word) {
  return L::fused(L::to_float(L::template shift_right<1>(word)), L::set(0x1p-31f), L::set(0x1p-32f));
}

// -2 ln(u) for u in [2^-126, 1]; error below three steps of float, never below zero. u = 2^exponent * (1 + f) with 1 +
// f in [sqrt(1/2), sqrt(2)); -2 ln(1 + f) = f * P(f), P of degree 8 (2.6e-8).
template <class L>
DOPPEL_PORTABLE typename L::Float minus_two_log(typename L::Float u) {
  const auto bits = L::bits_of(u);
  const auto exponent = L::template shift_right_signed<23>(L::subtract_int(bits, L::set_int(0x3F3504F3)));
  const auto mantissa = L::float_of_bits(L::subtract_int(bits, L::template shift_left<23>(exponent)));
  const auto f = L::subtract(mantissa, L::set(1.0f));
  auto p = L::set(-0x1.654496p-3f);
  p = L::fused(p, f, L::set(0x1.263ba8p-2f));
  p = L::fused(p, f, L::set(-0x1.3238f0p-2f));
  p = L::fused(p, f, L::set(0x1.5332a2p-2f));
  p = L::fused(p, f, L::set(-0x1.98b748p-2f));
  p = L::fused(p, f, L::set(0x1.000570p-1f));
  p = L::fused(p, f, L::set(-0x1.555792p-1f));
  p = L::fused(p, f, L::set(0x1.fffff8p-1f));
  p = L::fused(p, f, L::set(-2.0f));
  return L::fused(L::to_float(exponent), L::set(-0x1.62e430p+0f), L::multiply(f, p));
}

// cos and sin of 2 pi word / 2^32; absolute error 1.1e-7. The word is `quadrant` quarter turns and x of one, x in
// [-1/2, 1/2): polynomials in x^2 for both functions (3.8e-8, 3.3e-9), exchanged and negated as the quadrant asks.
template <class L>
DOPPEL_PORTABLE void cos_sin_of_word(typename L::Int word, typename L::Float& cosine, typename L::Float& sine) {
  const auto x = L::multiply(L::to_float(L::template shift_left<2>(word)), L::set(0x1p-32f));
  const auto square = L::multiply(x, x);
  auto c = L::set(-0x1.4e844cp-6f);
  c = L::fused(c, square, L::set(0x1.03b090p-2f));
  c = L::fused(c, square, L::set(-0x1.3bd39cp+0f));
  c = L::fused(c, square, L::set(1.0f));
  auto s = L::set(-0x1.2d9302p-8f);
  s = L::fused(s, square, L::set(0x1.465e92p-4f));
  s = L::fused(s, square, L::set(-0x1.4abbbap-1f));
  s = L::fused(s, square, L::set(0x1.921fb6p+0f));
  s = L::multiply(s, x);
  // The quadrant is the top two bits of the word turned by half a quadrant: odd ones exchange, 1 and 2 negate the
  // cosine, 2 and 3 the sine.
  const auto turned = L::add_int(word, L::set_int(0x20000000));
  const auto odd = L::template shift_left<1>(turned);
  const auto sign = L::set_int(INT32_MIN);
  cosine = L::flip_sign(L::if_negative(odd, s, c), L::and_int(L::add_int(turned, L::set_int(0x40000000)), sign));
  sine = L::flip_sign(L::if_negative(odd, c, s), L::and_int(turned, sign));
}

// Two standard normals from two words (Box and Muller, 1958): radius sqrt(-2 ln u) from the first, angle from the
// second.
template <class L>
DOPPEL_PORTABLE void box_muller(typename L::Int radius_word, typename L::Int angle_word, typename L::Float& first,
                                typename L::Float& second) {
  const auto radius = L::square_root(minus_two_log<L>(uniform_of_word<L>(radius_word)));
  typename L::Float cosine, sine;
  cos_sin_of_word<L>(angle_word, cosine, sine);
  first = L::multiply(radius, cosine);
  second = L::multiply(radius, sine);
}

// exp(x) for x <= 0; below -87 it is exp(-87), about 1.6e-38. Relative error below 1e-7. x = n ln 2 + r, |r| <= ln(2) /
// 2; exp(r) = 1 + r + r^2 P(r), P of degree 5 as in Cephes' expf (Moshier).
template <class L>
DOPPEL_PORTABLE typename L::Float exp_below_zero(typename L::Float x) {
  const auto least = L::set(-87.0f), shift = L::set(0x1.8p23f);  // adding it rounds, and keeps n in the low bits
  x = L::if_negative(L::bits_of(L::subtract(x, least)), least, x);
  const auto shifted = L::fused(x, L::set(0x1.715476p+0f), shift);
  const auto n = L::subtract(shifted, shift);
  const auto r = L::fused(n, L::set(0x1.05c610p-29f), L::fused(n, L::set(-0x1.62e430p-1f), x));
  auto p = L::set(1.9875691500e-4f);
  p = L::fused(p, r, L::set(1.3981999507e-3f));
  p = L::fused(p, r, L::set(8.3334519073e-3f));
  p = L::fused(p, r, L::set(4.1665795894e-2f));
  p = L::fused(p, r, L::set(1.6666665459e-1f));
  p = L::fused(p, r, L::set(5.0000001201e-1f));
  p = L::fused(L::fused(p, r, L::set(1.0f)), r, L::set(1.0f));
  const auto power = L::template shift_left<23>(L::add_int(L::bits_of(shifted), L::set_int(127)));
  return L::multiply(p, L::float_of_bits(power));
}

DOPPEL_PORTABLE_END
#endif
