#include "engine/models/mixture/truncated_normal.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <utility>

#include "kernels/common/elementary.h"

namespace doppel {
namespace {

constexpr double kUnbounded = std::numeric_limits<double>::infinity();
constexpr double kRootOfHalf = 0.70710678118654752440, kInverseRootOfTwoPi = 0.39894228040143267794;
constexpr double kFarthest = 37;  // deviations

// ((c0 x + c1) x + c2) ...
template <size_t n>
double polynomial(const double (&coefficients)[n], double x) {
  double sum = coefficients[0];
  for (size_t i = 1; i < n; ++i) sum = std::fma(sum, x, coefficients[i]);
  return sum;
}

double density(double x) {
  return std::isinf(x) ? 0 : kInverseRootOfTwoPi * exp_below_zero(-0.5 * x * x);
}

// exp(y^2) erfc(y) for y > 0.46875.
double scaled_erfc(double y) {
  static constexpr double kAbove[] = {2.15311535474403846e-8, 5.64188496988670089e-1, 8.88314979438837594,
                                      6.61191906371416295e1,  2.98635138197400131e2,  8.81952221241769090e2,
                                      1.71204761263407058e3,  2.05107837782607147e3,  1.23033935479799725e3};
  static constexpr double kBelow[] = {1,
                                      1.57449261107098347e1,
                                      1.17693950891312499e2,
                                      5.37181101862009858e2,
                                      1.62138957456669019e3,
                                      3.29079923573345963e3,
                                      4.36261909014324716e3,
                                      3.43936767414372164e3,
                                      1.23033935480374942e3};
  static constexpr double kFarAbove[] = {1.63153871373020978e-2, 3.05326634961232344e-1, 3.60344899949804439e-1,
                                         1.25781726111229246e-1, 1.60837851487422766e-2, 6.58749161529837803e-4};
  static constexpr double kFarBelow[] = {1,
                                         2.56852019228982242,
                                         1.87295284992346047,
                                         5.27905102951428412e-1,
                                         6.05183413124413191e-2,
                                         2.33520497626869185e-3};
  constexpr double kInverseRootOfPi = 0.56418958354775628695;
  if (y <= 4) return polynomial(kAbove, y) / polynomial(kBelow, y);
  const double square = 1 / (y * y);
  return (kInverseRootOfPi - square * polynomial(kFarAbove, square) / polynomial(kFarBelow, square)) / y;
}

// P(Z > x) over the density at x, for x > 1.
double mills_ratio(double x) {
  constexpr double kRootOfHalfPi = 1.25331413731550025121;
  return kRootOfHalfPi * scaled_erfc(x * kRootOfHalf);
}

double small_erf(double y) {
  static constexpr double kAbove[] = {1.85777706184603153e-1, 3.16112374387056560, 1.13864154151050156e2,
                                      3.77485237685302021e2, 3.20937758913846947e3};
  static constexpr double kBelow[] = {1, 2.36012909523441209e1, 2.44024637934444173e2, 1.28261652607737228e3,
                                      2.84423683343917062e3};
  return y * polynomial(kAbove, y * y) / polynomial(kBelow, y * y);
}

}  // namespace

double upper_tail(double x) {
  const double y = std::abs(x) * kRootOfHalf;
  if (y <= 0.46875) return 0.5 - 0.5 * small_erf(x * kRootOfHalf);
  if (x > kFarthest) return 0;
  if (x < -kFarthest) return 1;
  // x^2 / 2 in two parts, so that its rounding does not count: the first has few digits.
  const double coarse = std::trunc(std::abs(x) * 16) / 16, fine = (std::abs(x) - coarse) * (std::abs(x) + coarse);
  const double tail = 0.5 * exp_below_zero(-0.5 * coarse * coarse) * exp_below_zero(-0.5 * fine) * scaled_erfc(y);
  return x > 0 ? tail : 1 - tail;
}

double upper_tail_inverse(double probability) {
  static constexpr double kCentreAbove[] = {2.5090809287301226727e3, 3.3430575583588128105e4, 6.7265770927008700853e4,
                                            4.5921953931549871457e4, 1.3731693765509461125e4, 1.9715909503065514427e3,
                                            1.3314166789178437745e2, 3.3871328727963666080};
  static constexpr double kCentreBelow[] = {
      5.2264952788528545610e3, 2.8729085735721942674e4, 3.9307895800092710610e4, 2.1213794301586595867e4,
      5.3941960214247511077e3, 6.8718700749205790830e2, 4.2313330701600911252e1, 1};
  static constexpr double kTailAbove[] = {
      7.74545014278341407640e-4, 2.27238449892691845833e-2, 2.41780725177450611770e-1, 1.27045825245236838258,
      3.64784832476320460504,    5.76949722146069140550,    4.63033784615654529590,    1.42343711074968357734};
  static constexpr double kTailBelow[] = {
      1.05075007164441684324e-9, 5.47593808499534494600e-4, 1.51986665636164571966e-2, 1.48103976427480074590e-1,
      6.89767334985100004550e-1, 1.67638483018380384940,    2.05319162663775882187,    1};
  static constexpr double kFarAbove[] = {
      2.01033439929228813265e-7, 2.71155556874348757815e-5, 1.24266094738807843860e-3, 2.65321895265761230930e-2,
      2.96560571828504891230e-1, 1.78482653991729133580,    5.46378491116411436990,    6.65790464350110377720};
  static constexpr double kFarBelow[] = {
      2.04426310338993978564e-15, 1.42151175831644588870e-7, 1.84631831751005468180e-5, 7.86869131145613259100e-4,
      1.48753612908506148525e-2,  1.36929880922735805310e-1, 5.99832206555887937690e-1, 1};
  const double centred = 0.5 - probability;
  if (std::abs(centred) <= 0.425) {
    const double rest = 0.180625 - centred * centred;
    return centred * polynomial(kCentreAbove, rest) / polynomial(kCentreBelow, rest);
  }
  const double root = std::sqrt(-log_of_positive(centred > 0 ? probability : 1 - probability));
  const double x = root <= 5 ? polynomial(kTailAbove, root - 1.6) / polynomial(kTailBelow, root - 1.6)
                             : polynomial(kFarAbove, root - 5) / polynomial(kFarBelow, root - 5);
  return centred > 0 ? x : -x;
}

TruncatedNormal::TruncatedNormal(double low, double high)
    : is_mirrored_(low + high < 0), low_(is_mirrored_ ? -high : low), high_(is_mirrored_ ? -low : high) {
  if (is_far()) {
    const double fall =
        std::isinf(high_) ? 0 : exp_below_zero(0.5 * (low_ - high_) * (low_ + high_));  // of the density
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
    probability_ = width < kShort ? width * density(low_ + 0.5 * width) : upper_tail(low_) - tail_;
    at_low_ = density(low_) / probability_;
    at_high_ = density(high_) / probability_;
  }
}

double TruncatedNormal::log_probability() const {
  if (!(probability_ > 0)) return -kUnbounded;
  if (!is_far()) return log_of_positive(probability_);
  return log_of_positive(probability_ * mills_ratio(low_) * kInverseRootOfTwoPi) - 0.5 * low_ * low_;
}

double TruncatedNormal::draw(double uniform) const {
  double x = 0;
  if (is_far()) {
    x = draw_far(uniform);
  } else {
    const double tail = std::fma(uniform, probability_, tail_);
    x = tail < 1 ? upper_tail_inverse(tail) : low_;
  }
  x = std::clamp(x, low_, high_);
  return is_mirrored_ ? -x : x;
}

// log P(Z > x) = goal + log P(Z > low) by Newton's method, from where the tail is that of a Rayleigh variable.
double TruncatedNormal::draw_far(double uniform) const {
  constexpr int kSteps = 3;  // from a relative error of 1 / low^2 to one below 1e-15
  const double goal = log_of_positive(std::fma(uniform, probability_, tail_)), mills = mills_ratio(low_);
  double x = std::sqrt(low_ * low_ - 2 * goal);
  for (int step = 0; step < kSteps; ++step) {
    const double ratio = mills_ratio(x);
    const double error = log_of_positive(ratio / mills) + 0.5 * (low_ - x) * (low_ + x) - goal;
    x += error * ratio;
  }
  return x;
}

// psi and its derivatives at (u[0 .. k - 2], tilt[0 .. k - 2]); the last of both is 0.
struct TiltedNormals::Saddle {
  const TiltedNormals& normals;
  size_t k = normals.low_.size(), n = k - 1;
  std::vector<double> gradient = std::vector<double>(2 * n), hessian = std::vector<double>(4 * n * n);

  // psi. at: [2 n].
  double evaluate(const std::vector<double>& at) {
    const std::span<const double> u(at.data(), n), tilt(at.data() + n, n);
    std::fill(gradient.begin(), gradient.end(), 0);
    std::fill(hessian.begin(), hessian.end(), 0);
    double psi = 0;
    for (size_t i = 0; i < k; ++i) {
      const double own_tilt = i < n ? tilt[i] : 0, centre = own_tilt + normals.shift(i, u);
      const double low = normals.low_[i] - centre, high = normals.high_[i] - centre;
      const TruncatedNormal normal(low, high);
      const double slope = normal.mean();  // of the log of the probability by the centre
      const double curve = (std::isinf(low) ? 0 : low * normal.density_at_low()) -
                           (std::isinf(high) ? 0 : high * normal.density_at_high()) - slope * slope;
      psi += normal.log_probability();
      if (i < n) psi += 0.5 * own_tilt * own_tilt - u[i] * own_tilt;
      add(i, own_tilt, i < n ? u[i] : 0, slope, curve);
    }
    return psi;
  }

  void add(size_t i, double own_tilt, double own_u, double slope, double curve) {
    const double* weight = normals.weight_.data() + i * k;
    const size_t stride = 2 * n;
    for (size_t j = 0; j < i; ++j) {
      gradient[j] += weight[j] * slope;
      for (size_t l = 0; l < i; ++l) hessian[j * stride + l] += weight[j] * weight[l] * curve;
    }
    if (i == n) return;
    gradient[i] -= own_tilt;
    gradient[n + i] += own_tilt - own_u + slope;
    hessian[(n + i) * stride + n + i] += 1 + curve;
    hessian[(n + i) * stride + i] -= 1, hessian[i * stride + n + i] -= 1;
    for (size_t j = 0; j < i; ++j) {
      hessian[(n + i) * stride + j] += weight[j] * curve;
      hessian[j * stride + n + i] += weight[j] * curve;
    }
  }

  double error() const {
    double sum = 0;
    for (const double g : gradient) sum += g * g;
    return sum;
  }

  // hessian step = gradient by elimination with pivots; false where it is singular. Own, as a library's would give
  // other bits on other processors.
  bool solve(std::vector<double>& step) {
    const size_t size = 2 * n;
    step = gradient;
    for (size_t c = 0; c < size; ++c) {
      size_t pivot = c;
      for (size_t r = c + 1; r < size; ++r)
        if (std::abs(hessian[r * size + c]) > std::abs(hessian[pivot * size + c])) pivot = r;
      if (!(std::abs(hessian[pivot * size + c]) > 1e-300)) return false;
      std::swap_ranges(hessian.begin() + c * size, hessian.begin() + (c + 1) * size, hessian.begin() + pivot * size);
      std::swap(step[c], step[pivot]);
      for (size_t r = c + 1; r < size; ++r) {
        const double factor = hessian[r * size + c] / hessian[c * size + c];
        for (size_t j = c; j < size; ++j) hessian[r * size + j] -= factor * hessian[c * size + j];
        step[r] -= factor * step[c];
      }
    }
    for (size_t c = size; c-- > 0;) {
      for (size_t j = c + 1; j < size; ++j) step[c] -= hessian[c * size + j] * step[j];
      step[c] /= hessian[c * size + c];
    }
    return true;
  }

  // Newton's steps, halved until the gradient shrinks. True: `at` is the saddle point, and psi there in `value`.
  bool find(std::vector<double>& at, double& value) {
    constexpr int kMostSteps = 100, kMostHalvings = 40;
    constexpr double kSmallError = 1e-22;  // of psi then below 1e-20
    std::vector<double> step;
    value = evaluate(at);
    for (int steps = 0; steps < kMostSteps; ++steps) {
      const double old_error = error();
      if (old_error < kSmallError) return true;
      if (!solve(step)) return false;
      const std::vector<double> from = at;
      double length = 1;
      for (int halvings = 0;; ++halvings, length *= 0.5) {
        if (halvings == kMostHalvings) return old_error < 1e-12;
        for (size_t i = 0; i < at.size(); ++i) at[i] = from[i] - length * step[i];
        value = evaluate(at);
        if (error() < old_error) break;
      }
    }
    return false;
  }
};

TiltedNormals::TiltedNormals(std::span<const double> weight, std::span<const double> low, std::span<const double> high)
    : weight_(weight.begin(), weight.end()),
      low_(low.begin(), low.end()),
      high_(high.begin(), high.end()),
      tilt_(low.size()),
      first_(low[0], high[0]) {
  constexpr double kRounding = 1e-9;  // what rounding may add to psi
  const size_t k = low.size();
  bound_ = plain_bound();
  if (k == 1) return;
  // Start at the means that the intervals give one after another, which no interval excludes.
  std::vector<double> at(2 * (k - 1));
  for (size_t i = 0; i + 1 < k; ++i) {
    const double centre = shift(i, at);
    at[i] = TruncatedNormal(low_[i] - centre, high_[i] - centre).mean();
    at[k - 1 + i] = 0;
  }
  double value = 0;
  if (!Saddle{*this}.find(at, value) || !(value + kRounding < bound_)) return;
  std::copy_n(at.begin() + static_cast<int64_t>(k) - 1, k - 1, tilt_.begin());
  first_ = TruncatedNormal(low_[0] - tilt_[0], high_[0] - tilt_[0]);
  bound_ = value + kRounding;
}

double TiltedNormals::shift(size_t i, std::span<const double> u) const {
  double sum = 0;
  for (size_t j = 0; j < i; ++j) sum = std::fma(weight_[i * low_.size() + j], u[j], sum);
  return sum;
}

double TiltedNormals::plain_bound() const {
  double bound = 0;
  for (size_t i = 0; i < low_.size(); ++i) {
    // Whatever the others are, an interval has at most the probability that it has about the origin.
    const double half = 0.5 * (high_[i] - low_[i]);
    bound += i == 0 ? first_.log_probability() : TruncatedNormal(-half, half).log_probability();
  }
  return bound;
}

bool TiltedNormals::propose(std::span<const double> uniforms, double acceptance, std::span<double> u) const {
  u[0] = tilt_[0] + first_.draw(uniforms[0]);
  if (tilt_.size() == 1) return true;
  double psi = first_.log_probability() + tilt_[0] * (0.5 * tilt_[0] - u[0]);
  for (size_t i = 1; i < tilt_.size(); ++i) {
    const double centre = tilt_[i] + shift(i, u);
    const TruncatedNormal normal(low_[i] - centre, high_[i] - centre);
    u[i] = tilt_[i] + normal.draw(uniforms[i]);
    psi += normal.log_probability() + tilt_[i] * (0.5 * tilt_[i] - u[i]);
  }
  return log_of_positive(acceptance) <= psi - bound_;
}

}  // namespace doppel
