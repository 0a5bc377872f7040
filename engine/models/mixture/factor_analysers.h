// The latents' part of expectation maximisation where covariances are of low rank: a mixture of factor analysers
// (Ghahramani and Hinton, "The EM algorithm for mixtures of factor analyzers", 1996; Tipping and Bishop, 1999),
//   z = mean + factor x + sqrt(residual) e,   x, e standard normals, x [rank],
// for tables of so many axes that full covariances cost too much. Time and memory are linear in axes x rank x members.
// Rows are of one pattern, of all axes, and NaN where a latent is absent: of each row exactly what it has counts.
//
// Steps are those of the parameter-expanded EM of Liu, Rubin and Wu (1998): x is taken to have a mean and a covariance
// of its own, which go into mean and factor afterwards. It climbs as surely as EM, and faster.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "engine/models/mixture/mixture_learner.h"
#include "engine/models/mixture/mixture_parameters.h"
#include "kernels/factor_mixture.h"

namespace doppel {

inline constexpr double kLeastResidual = 1e-3;  // variance; single precision holds Woodbury's identity down to it

class FactorAnalysers {
 public:
  // log_emission: as in MixtureDensity; lives as long as this.
  FactorAnalysers(std::shared_ptr<const MixtureParameters> parameters,
                  const std::vector<std::vector<float>>& log_emission);

  const FactorDensity& density() const { return density_; }
  // What a step adds rows' latents and factors to, of these members; counts are the caller's. Lives as long as this and
  // the statistics.
  FactorSums sums_of(MixtureStatistics& statistics, MixtureCounts counts) const;

 private:
  std::shared_ptr<const MixtureParameters> parameters_;
  FactorDensity density_;
  std::vector<float> loading_;            // [members, axes, rank] A = residual^-1 factor
  std::vector<double> moment_, inverse_;  // [members, rank, rank] M of all latents, and M^-1
};

// The maximisation. `before`: what the statistics were taken under, of the same members and groups. Means lean on the
// group's, covariances on the mean of those of the group's members and on the table's variances. Sets rank, mean,
// factor and residual. Where not `expanded` the factors keep their meaning, so that statistics of several steps can be
// added.
void maximise_factors(const MixtureStatistics& statistics, const MixturePriors& priors,
                      const std::vector<double>& variance, const MixtureParameters& before, bool expanded,
                      MixtureParameters& result);

// Whether rows in which a direction has `ratio` times the variance that it would have by noise alone are likelier by
// more than a factor of that direction costs, by the Bayesian information criterion.
bool pays(double ratio, double rows, double axes);
// Rotates each member's factors so that they tell of independent parts of the row, the greatest first (factor^T
// residual^-1 factor becomes diagonal), and leaves out those that do not pay. rows: [members].
MixtureParameters without_idle_factors(const MixtureParameters& parameters, std::span<const double> rows);
std::vector<int64_t> ranks_of(const MixtureParameters& parameters);  // [members]

}  // namespace doppel
