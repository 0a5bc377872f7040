// Normal variables within bounds: one in closed form, several at once by minimax tilting.
//
// Everything here is IEEE add, multiply, divide, square root and fma in a fixed order, so that rows drawn by it, and
// plans made by it, are the same bits on every machine (the bit law).
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace doppel {

// P(Z > x) of a standard normal: Cody, "Rational Chebyshev approximations for the error function" (1969); relative
// error below 1e-13 up to x = 37, 0 beyond.
double upper_tail(double x);
// Its inverse: Wichura's algorithm AS 241, PPND16 (1988); relative error about 1e-15. `probability` in (0, 1).
double upper_tail_inverse(double probability);

// A standard normal Z given low < Z < high, however far out. Bounds may be infinite; low < high.
class TruncatedNormal {
 public:
  TruncatedNormal(double low, double high);
  double log_probability() const;  // of low < Z < high; -infinity where that is shorter than doubles can tell
  // The density of Z given the bounds at either of them, 0 where it is infinite.
  double density_at_low() const { return is_mirrored_ ? at_high_ : at_low_; }
  double density_at_high() const { return is_mirrored_ ? at_low_ : at_high_; }
  double mean() const { return density_at_low() - density_at_high(); }
  // Within the bounds; increasing in `uniform`, which is in (0, 1), or decreasing.
  double draw(double uniform) const;

 private:
  bool is_far() const { return low_ > kFar; }
  double draw_far(double uniform) const;

  static constexpr double kFar = 30;  // deviations, from where on probabilities are relative to the tail's
  bool is_mirrored_;                  // most of the interval is below 0: what follows is of (-high, -low)
  double low_, high_;
  double tail_, probability_;  // P(Z > high), P(low < Z < high); over P(Z > low) if far
  double at_low_, at_high_;
};

// Exact draws of k independent standard normals u under k bounds that are linear in them one after another,
//
//   low[i] < sum_{j < i} weight[i, j] u[j] + u[i] < high[i],            i = 0 .. k - 1,
//
// by Botev, "The normal law under linear restrictions: simulation and estimation via minimax tilting", JRSS B 79
// (2017): u[i] is proposed from a normal of mean tilt[i] within the bounds that u[0 .. i - 1] leave, and u accepted
// with probability exp(psi(u) - bound), psi the log of the ratio of the densities. tilt and bound are the saddle point
// of psi, found by Newton's method; the share of accepted tries is high even for events of probability 1e-100. Where no
// saddle point is found, tilt is 0 and the bound is what the widths of the intervals allow.
class TiltedNormals {
 public:
  // weight: [k, k] row-major, of which the part below the diagonal counts.
  TiltedNormals(std::span<const double> weight, std::span<const double> low, std::span<const double> high);
  int dimensions() const { return static_cast<int>(tilt_.size()); }
  // An upper bound of the log of the bounds' probability; the log itself where k is 1.
  double log_bound() const { return bound_; }
  // One try from k uniforms in (0, 1); true: accepted, as a uniform in (0, 1) decides.
  bool propose(std::span<const double> uniforms, double acceptance, std::span<double> u) const;

 private:
  struct Saddle;
  double shift(size_t i, std::span<const double> u) const;
  double plain_bound() const;

  std::vector<double> weight_, low_, high_, tilt_;
  TruncatedNormal first_;  // of u[0] - tilt[0]
  double bound_ = 0;
};

}  // namespace doppel
