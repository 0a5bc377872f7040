#include "engine/models/mixture/tilted_normals.h"

#include <algorithm>
#include <cmath>
#include <utility>

#include "kernels/common/truncated_normal.h"

namespace doppel {

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
      tilt_(low.size()) {
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
    bound += (i == 0 ? TruncatedNormal(low_[0], high_[0]) : TruncatedNormal(-half, half)).log_probability();
  }
  return bound;
}

}  // namespace doppel
