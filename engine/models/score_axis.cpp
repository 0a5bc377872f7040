#include "engine/models/score_axis.h"

#include <cmath>
#include <limits>
#include <numbers>

namespace doppel {
namespace {

double ratio(double x, std::span<const double> numerator, std::span<const double> denominator) {
  double above = 0, below = 0;
  for (const double coefficient : numerator) above = above * x + coefficient;
  for (const double coefficient : denominator) below = below * x + coefficient;
  return above / below;
}

}  // namespace

double normal_density(double z) {
  return std::isinf(z) ? 0 : std::exp(-0.5 * z * z) * (0.5 * std::numbers::inv_sqrtpi * std::numbers::sqrt2);
}

double normal_cdf(double z) {
  return 0.5 * std::erfc(-z / std::numbers::sqrt2);
}

// P. J. Acklam, "An algorithm for computing the inverse normal cumulative distribution function" (2003).
double normal_quantile(double probability) {
  static constexpr double kCentreAbove[] = {-3.969683028665376e+01, 2.209460984245205e+02,  -2.759285104469687e+02,
                                            1.383577518672690e+02,  -3.066479806614716e+01, 2.506628277459239e+00};
  static constexpr double kCentreBelow[] = {-5.447609879822406e+01, 1.615858368580409e+02,  -1.556989798598866e+02,
                                            6.680131188771972e+01,  -1.328068155288572e+01, 1};
  static constexpr double kTailAbove[] = {-7.784894002430293e-03, -3.223964580411365e-01, -2.400758277161838e+00,
                                          -2.549732539343734e+00, 4.374664141464968e+00,  2.938163982698783e+00};
  static constexpr double kTailBelow[] = {7.784695709041462e-03, 3.224671290700398e-01, 2.445134137142996e+00,
                                          3.754408661907416e+00, 1};
  constexpr double kTail = 0.02425;
  if (probability <= 0) return -std::numeric_limits<double>::infinity();
  if (probability >= 1) return std::numeric_limits<double>::infinity();
  if (probability < kTail) return ratio(std::sqrt(-2 * std::log(probability)), kTailAbove, kTailBelow);
  if (probability > 1 - kTail) return -ratio(std::sqrt(-2 * std::log1p(-probability)), kTailAbove, kTailBelow);
  const double centred = probability - 0.5;
  return centred * ratio(centred * centred, kCentreAbove, kCentreBelow);
}

std::vector<double> score_boundaries(std::span<const int64_t> weights) {
  int64_t total = 0;
  for (const int64_t weight : weights) total += weight;
  std::vector<double> boundaries{-std::numeric_limits<double>::infinity()};
  int64_t below = 0;
  for (const int64_t weight : weights) {
    below += weight;
    // From the nearer end, so that the upper tail is as precise as the lower one.
    const double share = static_cast<double>(below) / static_cast<double>(total);
    const double above = static_cast<double>(total - below) / static_cast<double>(total);
    boundaries.push_back(share <= 0.5 ? normal_quantile(share) : -normal_quantile(above));
  }
  return boundaries;
}

std::vector<double> mean_scores(std::span<const double> boundaries) {
  std::vector<double> scores;
  for (size_t cell = 0; cell + 1 < boundaries.size(); ++cell) {
    const double low = boundaries[cell], high = boundaries[cell + 1];
    const bool upper = low > 0;  // differences of small numbers, not of numbers near 1
    const double share = upper ? normal_cdf(-low) - normal_cdf(-high) : normal_cdf(high) - normal_cdf(low);
    const double place = std::isfinite(low) ? low : std::isfinite(high) ? high : 0;
    const double mean = (normal_density(low) - normal_density(high)) / share;
    scores.push_back(share > 0 && mean >= low && mean <= high ? mean : place);
  }
  return scores;
}

std::vector<double> hermite_coefficients(std::span<const double> boundaries, int terms) {
  const size_t cells = boundaries.size() - 1, width = static_cast<size_t>(terms) + 1;
  std::vector<double> coefficients(cells * width), lower(width), upper(width), root(width);
  for (size_t k = 1; k < width; ++k) root[k] = std::sqrt(static_cast<double>(k));
  // The integral of h_k phi up to z: the cdf for k = 0, -h_{k-1}(z) phi(z) / sqrt(k) above.
  const auto integrate = [&](double z, std::vector<double>& integral) {
    const double density = normal_density(z), x = std::isfinite(z) ? z : 0;
    integral[0] = normal_cdf(z);
    double previous = 0, current = density;  // h_{k-1} phi
    for (size_t k = 1; k < width; ++k) {
      integral[k] = -current / root[k];
      const double next = (x * current - root[k - 1] * previous) / root[k];
      previous = current;
      current = next;
    }
  };
  integrate(boundaries[0], lower);
  for (size_t cell = 0; cell < cells; ++cell) {
    integrate(boundaries[cell + 1], upper);
    for (size_t k = 0; k < width; ++k) coefficients[cell * width + k] = upper[k] - lower[k];
    lower.swap(upper);
  }
  return coefficients;
}

}  // namespace doppel
