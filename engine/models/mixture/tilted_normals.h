// Several normal variables within bounds at once, by minimax tilting: the plan, whose rows a backend draws
// (kernels/bounded_sampler.h). Of the bit law, as those are.
#pragma once

#include <span>
#include <vector>

namespace doppel {

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
  const std::vector<double>& tilt() const { return tilt_; }  // [k]
  // An upper bound of the log of the bounds' probability; the log itself where k is 1.
  double log_bound() const { return bound_; }

 private:
  struct Saddle;
  double shift(size_t i, std::span<const double> u) const;
  double plain_bound() const;

  std::vector<double> weight_, low_, high_, tilt_;
  double bound_ = 0;
};

}  // namespace doppel
