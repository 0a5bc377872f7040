// Normal variables within bounds: one source for the host and a CUDA thread.
//
// Everything here is IEEE add, multiply, divide, square root and fma in a fixed order, so that rows drawn by it, and
// plans made by it, are the same bits on every machine (the bit law).
#pragma once

#include <cmath>
#include <cstdint>
#include <limits>

#include "kernels/common/elementary.h"
#include "kernels/common/portable.h"

namespace doppel {

// a * b + c, rounded once.
DOPPEL_HOST_DEVICE double fused_multiply_add(double a, double b, double c) {
#ifdef __CUDA_ARCH__
  return __fma_rn(a, b, c);
#else
  return std::fma(a, b, c);
#endif
}
DOPPEL_HOST_DEVICE double square_root(double x) {
#ifdef __CUDA_ARCH__
  return __dsqrt_rn(x);
#else
  return std::sqrt(x);
#endif
}
DOPPEL_HOST_DEVICE double magnitude(double x) {
  return x < 0 ? -x : x;
}
inline constexpr double kUnbounded = std::numeric_limits<double>::infinity();
DOPPEL_HOST_DEVICE bool is_infinite(double x) {
  return x == kUnbounded || x == -kUnbounded;
}

// ((first x + rest[0]) x + rest[1]) ...
template <class... Coefficients>
DOPPEL_HOST_DEVICE double polynomial(double x, double first, Coefficients... rest) {
  double sum = first;
  ((sum = fused_multiply_add(sum, x, rest)), ...);
  return sum;
}

inline constexpr double kRootOfHalf = 0.70710678118654752440, kInverseRootOfTwoPi = 0.39894228040143267794;

DOPPEL_HOST_DEVICE double normal_density(double x) {
  return is_infinite(x) ? 0 : kInverseRootOfTwoPi * exp_below_zero(-0.5 * x * x);
}

// exp(y^2) erfc(y) for y > 0.46875: Cody, "Rational Chebyshev approximations for the error function" (1969).
DOPPEL_HOST_DEVICE double scaled_erfc(double y) {
  constexpr double kInverseRootOfPi = 0.56418958354775628695;
  if (y <= 4) {
    const double above = polynomial(y, 2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594,
                                    6.61191906371416295e1, 2.98635138197400131e2, 8.81952221241769090e2,
                                    1.71204761263407058e3, 2.05107837782607147e3, 1.23033935479799725e3);
    const double below =
        polynomial(y, 1.0, 1.57449261107098347e1, 1.17693950891312499e2, 5.37181101862009858e2, 1.62138957456669019e3,
                   3.29079923573345963e3, 4.36261909014324716e3, 3.43936767414372164e3, 1.23033935480374942e3);
    return above / below;
  }
  const double square = 1 / (y * y);
  const double above = polynomial(square, 1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
                                  1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4);
  const double below = polynomial(square, 1.0, 2.56852019228982242, 1.87295284992346047, 5.27905102951428412e-1,
                                  6.05183413124413191e-2, 2.33520497626869185e-3);
  return (kInverseRootOfPi - square * above / below) / y;
}

// P(Z > x) over the density at x, for x > 1.
DOPPEL_HOST_DEVICE double mills_ratio(double x) {
  constexpr double kRootOfHalfPi = 1.25331413731550025121;
  return kRootOfHalfPi * scaled_erfc(x * kRootOfHalf);
}

// erf(y) for |y| <= 0.46875, likewise.
DOPPEL_HOST_DEVICE double small_erf(double y) {
  const double square = y * y;
  const double above = polynomial(square, 1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2,
                                  3.77485237685302021e2, 3.20937758913846947e3);
  const double below = polynomial(square, 1.0, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
                                  2.84423683343917062e3);
  return y * above / below;
}

// P(Z > x) of a standard normal; relative error below 1e-13 up to x = 37, 0 beyond.
DOPPEL_HOST_DEVICE double upper_tail(double x) {
  constexpr double kFarthest = 37;  // deviations
  const double y = magnitude(x) * kRootOfHalf;
  if (y <= 0.46875) return 0.5 - 0.5 * small_erf(x * kRootOfHalf);
  if (x > kFarthest) return 0;
  if (x < -kFarthest) return 1;
  // x^2 / 2 in two parts, so that its rounding does not count: the first has few digits.
  const double coarse = static_cast<double>(static_cast<int32_t>(magnitude(x) * 16)) / 16;
  const double fine = (magnitude(x) - coarse) * (magnitude(x) + coarse);
  const double tail = 0.5 * exp_below_zero(-0.5 * coarse * coarse) * exp_below_zero(-0.5 * fine) * scaled_erfc(y);
  return x > 0 ? tail : 1 - tail;
}

// Its inverse: Wichura's algorithm AS 241, PPND16 (1988); relative error about 1e-15. `probability` in (0, 1).
DOPPEL_HOST_DEVICE double upper_tail_inverse(double probability) {
  const double centred = 0.5 - probability;
  if (magnitude(centred) <= 0.425) {
    const double rest = 0.180625 - centred * centred;
    const double above = polynomial(rest, 2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
                                    4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
                                    1.3314166789178437745e2, 3.3871328727963666080);
    const double below = polynomial(rest, 5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4,
                                    2.1213794301586595867e4, 5.3941960214247511077e3, 6.8718700749205790830e2,
                                    4.2313330701600911252e1, 1.0);
    return centred * above / below;
  }
  const double root = square_root(-log_of_positive(centred > 0 ? probability : 1 - probability));
  double x = 0;
  if (root <= 5) {
    const double above = polynomial(root - 1.6, 7.74545014278341407640e-4, 2.27238449892691845833e-2,
                                    2.41780725177450611770e-1, 1.27045825245236838258, 3.64784832476320460504,
                                    5.76949722146069140550, 4.63033784615654529590, 1.42343711074968357734);
    const double below = polynomial(root - 1.6, 1.05075007164441684324e-9, 5.47593808499534494600e-4,
                                    1.51986665636164571966e-2, 1.48103976427480074590e-1, 6.89767334985100004550e-1,
                                    1.67638483018380384940, 2.05319162663775882187, 1.0);
    x = above / below;
  } else {
    const double above = polynomial(root - 5, 2.01033439929228813265e-7, 2.71155556874348757815e-5,
                                    1.24266094738807843860e-3, 2.65321895265761230930e-2, 2.96560571828504891230e-1,
                                    1.78482653991729133580, 5.46378491116411436990, 6.65790464350110377720);
    const double below = polynomial(root - 5, 2.04426310338993978564e-15, 1.42151175831644588870e-7,
                                    1.84631831751005468180e-5, 7.86869131145613259100e-4, 1.48753612908506148525e-2,
                                    1.36929880922735805310e-1, 5.99832206555887937690e-1, 1.0);
    x = above / below;
  }
  return centred > 0 ? x : -x;
}

// A standard normal Z given low < Z < high, however far out. Bounds may be infinite; low < high.
class TruncatedNormal {
 public:
  DOPPEL_HOST_DEVICE TruncatedNormal(double low, double high)
      : is_mirrored_(low + high < 0), low_(is_mirrored_ ? -high : low), high_(is_mirrored_ ? -low : high) {
    if (is_far()) {
      const double fall =
          is_infinite(high_) ? 0 : exp_below_zero(0.5 * (low_ - high_) * (low_ + high_));  // of the density
      const double mills = mills_ratio(low_);
      tail_ = fall > 0 ? fall * mills_ratio(high_) / mills : 0;
      probability_ = 1 - tail_;
      at_low_ = 1 / (mills * probability_);
      at_high_ = fall * at_low_;
    } else {
      tail_ = upper_tail(high_);
      // Of a short interval the difference has no digits left.
      constexpr double kShort = 1e-7;
      const double width = high_ - low_;
      probability_ = width < kShort ? width * normal_density(low_ + 0.5 * width) : upper_tail(low_) - tail_;
      at_low_ = normal_density(low_) / probability_;
      at_high_ = normal_density(high_) / probability_;
    }
  }

  // Of low < Z < high; -infinity where that is shorter than doubles can tell.
  DOPPEL_HOST_DEVICE double log_probability() const {
    if (!(probability_ > 0)) return -kUnbounded;
    if (!is_far()) return log_of_positive(probability_);
    return log_of_positive(probability_ * mills_ratio(low_) * kInverseRootOfTwoPi) - 0.5 * low_ * low_;
  }
  // The density of Z given the bounds at either of them, 0 where it is infinite.
  DOPPEL_HOST_DEVICE double density_at_low() const { return is_mirrored_ ? at_high_ : at_low_; }
  DOPPEL_HOST_DEVICE double density_at_high() const { return is_mirrored_ ? at_low_ : at_high_; }
  DOPPEL_HOST_DEVICE double mean() const { return density_at_low() - density_at_high(); }

  // Within the bounds; increasing in `uniform`, which is in (0, 1), or decreasing.
  DOPPEL_HOST_DEVICE double draw(double uniform) const {
    const double tail = fused_multiply_add(uniform, probability_, tail_);
    double x = is_far() ? draw_far(tail) : tail < 1 ? upper_tail_inverse(tail) : low_;
    x = x < low_ ? low_ : x;
    x = x > high_ ? high_ : x;
    return is_mirrored_ ? -x : x;
  }

 private:
  DOPPEL_HOST_DEVICE bool is_far() const { return low_ > kFar; }
  // log P(Z > x) = log tail + log P(Z > low) by Newton's method, from where the tail is that of a Rayleigh variable.
  DOPPEL_HOST_DEVICE double draw_far(double tail) const {
    constexpr int kSteps = 3;  // from a relative error of 1 / low^2 to one below 1e-15
    const double goal = log_of_positive(tail), mills = mills_ratio(low_);
    double x = square_root(low_ * low_ - 2 * goal);
    for (int step = 0; step < kSteps; ++step) {
      const double ratio = mills_ratio(x);
      const double error = log_of_positive(ratio / mills) + 0.5 * (low_ - x) * (low_ + x) - goal;
      x += error * ratio;
    }
    return x;
  }

  static constexpr double kFar = 30;  // deviations, from where on probabilities are relative to the tail's
  bool is_mirrored_;                  // most of the interval is below 0: what follows is of (-high, -low)
  double low_, high_;
  double tail_ = 0, probability_ = 0;  // P(Z > high), P(low < Z < high); over P(Z > low) if far
  double at_low_ = 0, at_high_ = 0;
};

}  // namespace doppel
