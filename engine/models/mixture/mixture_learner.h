// Expectation maximisation of a mixture (Dempster, Laird and Rubin, 1977; with unobserved latents as Ghahramani and
// Jordan, "Supervised learning from incomplete data via an EM approach", 1994), under priors by which members lean on
// their group (mixture_parameters.h): the parameters found are the most probable ones.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "engine/models/mixture/mixture_parameters.h"
#include "engine/models/mixture/mixture_space.h"
#include "kernels/backend.h"
#include "kernels/factor_mixture.h"
#include "kernels/mixture.h"

namespace doppel {

// How many rows of evidence a member's own rows compete with.
struct MixturePriors {
  double emission = 3;        // of the group's distribution, in a member's
  double group_emission = 5;  // of the table's, in a group's
  double covariance = 4;      // of the expected covariance ...
  double group_share = 0.9;   // ... which is the mean within the group's members by this share, and else
  double pooled_share = 0.1;  // this share of the table's own
  double floor = 0.02;        // and this much on the diagonal
  double mean = 0.05;         // of the group's mean
};

// Up to this many (state, member) pairs of a variable are dense tables; of a variable with more, only the frequent
// states are, and tell members apart; the others are counted where they occur.
inline constexpr int64_t kMostDense = int64_t{1} << 22;

// Sums over rows, weighted by responsibilities.
struct MixtureStatistics {
  double rows = 0, log_likelihood = 0;
  std::vector<double> centre;   // [members, axes] where products are taken about: what they cancel against is small
  std::vector<double> weight;   // [members]
  std::vector<double> sum;      // [members, axes] of z - centre
  std::vector<double> product;  // [members, axes, axes] lower triangle, likewise; of full covariances
  // Of covariances of low rank (factor_analysers.h): squares [members, axes], products with the factors [members, axes,
  // rank], sums and products of the factors [members, rank (, rank)].
  std::vector<double> square, cross, factor_sum, factor_product;
  bool keeps_factors = false;               // of several steps, in each of which the factors mean the same
  std::vector<std::vector<double>> counts;  // [variables] [dense states, members]
  std::vector<std::unordered_map<int64_t, double>> rare_counts;  // [variables] by state * members + member
  void scale(double factor);
  void add(const MixtureStatistics& other);  // of the same centre
};

// How rows use members.
struct MemberUse {
  std::vector<int32_t> member;  // [rows in the order of their patterns] the likeliest; -1: none can be
  std::vector<double> missed;   // [members] nats that the rows would lose without it, at the others' weights
};

// A covariance factor factor^T + diag(residual).
struct CommonFactors {
  int64_t rank = 0;
  std::vector<double> factor;    // [axes, rank]
  std::vector<double> residual;  // [axes]
};

class FactorAnalysers;

// Rows that go through steps of a learner: with their states by descending share, and on the backend's device once that
// pays. The rows must outlive it.
struct PreparedRows {
  struct Pattern {
    const RowsOfPattern& rows;
    std::vector<int32_t> states;  // [rows, variables] by descending share; -1: never seen
    // Made when first wanted.
    mutable std::unique_ptr<PreparedMixtureRows> on_device;
    mutable std::unique_ptr<PreparedFactorRows> factors_on_device;  // where covariances are of low rank
  };
  int64_t rows = 0;
  std::vector<Pattern> patterns;
};

class MixtureLearner {
 public:
  // shares [variables][states] of the table; pooled [axes, axes] covariance of the table's latents, or where
  // covariances are of low rank their variances [axes].
  MixtureLearner(const MixtureSpace& space, const Backend& backend, MixturePriors priors,
                 std::vector<std::vector<double>> shares, std::vector<double> pooled, bool is_low_rank = false);
  ~MixtureLearner();

  PreparedRows prepare(const RowsByPattern& rows) const;
  // Of rows that belong to one member each, [rows in the order of their patterns].
  MixtureStatistics count(const PreparedRows& rows, const std::vector<int32_t>& member_of_row, int64_t members) const;
  // The parameters that `expect` and `log_likelihood` use from now on.
  void set(std::shared_ptr<const MixtureParameters> parameters);
  // centre: of the statistics, to be added to those of other steps; the parameters' own means where empty. `use` is
  // replaced where it is not null.
  MixtureStatistics expect(const PreparedRows& rows, const std::vector<double>& centre = {}, MemberUse* use = nullptr);
  double log_likelihood(const PreparedRows& rows);  // mean of the rows, in nats
  // Where covariances are of low rank, by what the parameters set make of the rows; `start`, where they are of no step
  // of expectation: the covariance of all members.
  MixtureParameters maximise(const MixtureStatistics& statistics, const std::vector<int32_t>& group, int64_t groups,
                             const CommonFactors* start = nullptr) const;

 private:
  struct PatternParameters;

  MixtureStatistics empty_statistics(int64_t members, int64_t rank) const;
  int32_t dense_states(size_t variable, int64_t members) const;
  bool has_rare_states(int64_t members) const;
  MixtureCounts counts_of(MixtureStatistics& statistics) const;
  void prepare_emissions();
  const PatternParameters& parameters_of(const RowsOfPattern& pattern);
  void add_rare(const PreparedRows::Pattern& pattern, const Responsibilities& shares,
                MixtureStatistics& statistics) const;
  void add_whole(const RowsOfPattern& pattern, const Responsibilities& whole, MixtureStatistics& statistics) const;
  // Of a pattern's rows: log_density is replaced, `shares` likewise unless null.
  void expect_pattern(const PreparedRows::Pattern& pattern, std::vector<double>& log_density, const MixtureSums* sums,
                      Responsibilities* shares);
  void add_step(const PreparedRows::Pattern& pattern, std::vector<double>& log_density, MixtureStatistics& statistics,
                Responsibilities* shares);
  void expect_factors(const PreparedRows::Pattern& pattern, std::vector<double>& log_density, const FactorSums* sums,
                      Responsibilities* shares) const;
  // Returns the means' shift [members, axes] from the statistics' centre.
  std::vector<double> maximise_means(const MixtureStatistics& statistics, MixtureParameters& result) const;
  void maximise_covariances(const MixtureStatistics& statistics, const std::vector<double>& shifts,
                            MixtureParameters& result) const;
  EmissionTree maximise_emission(const MixtureStatistics& statistics, size_t variable,
                                 const MixtureParameters& result) const;

  const MixtureSpace& space_;
  const Backend& backend_;
  MixturePriors priors_;
  std::vector<std::vector<double>> shares_;
  std::vector<double> pooled_;
  bool is_low_rank_;
  std::vector<std::vector<int32_t>> dense_of_state_;  // [variables] [states]: states by descending share
  std::shared_ptr<const MixtureParameters> parameters_;
  std::vector<std::vector<float>> log_emission_;  // [variables] [dense states, padded]
  std::unordered_map<std::string, std::unique_ptr<PatternParameters>> patterns_;
  std::unique_ptr<const FactorAnalysers> factors_;  // where covariances are of low rank
};

}  // namespace doppel
