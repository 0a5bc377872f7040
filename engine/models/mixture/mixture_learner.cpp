#include "engine/models/mixture/mixture_learner.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "engine/models/mixture/factor_analysers.h"
#include "engine/models/triangular.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr double kLeastShare = 0.05;  // of a row in a member, to count for a rare state
constexpr double kLeastLogDensity = -1e3, kLeastLogDensityOfAxis = -10;
constexpr int64_t kLeastPairs = 1 << 16;     // of rows and members: fewer are done before a device has begun
constexpr int64_t kLeastProducts = 1 << 23;  // likewise of factor analysers, in multiply-adds

bool is_for_device(const FactorDensity& density, int64_t rows) {
  return rows * padded_members(density.states.members) * density.latents * (density.rank + 2) >= kLeastProducts;
}

void add_use(const Responsibilities& found, MemberUse& use) {
  constexpr double kLeastRest = 1e-6;  // of a row's density, in other members
  for (size_t row = 0; row + 1 < found.first.size(); ++row) {
    const auto first = found.share.begin() + found.first[row], end = found.share.begin() + found.first[row + 1];
    const bool can_be = std::isfinite(found.log_density[row]) && first != end;
    use.member.push_back(can_be ? found.member[std::max_element(first, end) - found.share.begin()] : -1);
    for (auto share = first; share != end && can_be; ++share)
      use.missed[found.member[share - found.share.begin()]] -=
          std::log(std::max(kLeastRest, 1 - static_cast<double>(*share)));
  }
}

}  // namespace

void MixtureStatistics::scale(double factor) {
  rows *= factor;
  log_likelihood *= factor;
  for (auto* values : {&weight, &sum, &product, &square, &cross, &factor_sum, &factor_product})
    for (double& value : *values) value *= factor;
  for (auto& values : counts)
    for (double& value : values) value *= factor;
  for (auto& values : rare_counts)
    for (auto& [key, value] : values) value *= factor;
}

void MixtureStatistics::add(const MixtureStatistics& other) {
  const auto add_all = [](std::vector<double>& to, const std::vector<double>& from) {
    for (size_t i = 0; i < to.size(); ++i) to[i] += from[i];
  };
  rows += other.rows;
  log_likelihood += other.log_likelihood;
  add_all(weight, other.weight);
  add_all(sum, other.sum);
  add_all(product, other.product);
  add_all(square, other.square);
  add_all(cross, other.cross);
  add_all(factor_sum, other.factor_sum);
  add_all(factor_product, other.factor_product);
  for (size_t v = 0; v < counts.size(); ++v) {
    add_all(counts[v], other.counts[v]);
    for (const auto& [key, value] : other.rare_counts[v]) rare_counts[v][key] += value;
  }
}

// What rows with the same latents have in common, for all members.
struct MixtureLearner::PatternParameters {
  int here = 0, gone = 0;  // latents present and absent
  std::vector<int32_t> present, absent;
  MixtureDensity density;
  // Of the absent latents given the present ones: their mean is regression x whitened present latents, `rest` is what
  // of their covariance remains.
  std::vector<double> inverse;     // [members, here, here] of the Cholesky factor, lower
  std::vector<double> regression;  // [members, gone, here]
  std::vector<double> rest;        // [members, gone, gone]
};

MixtureLearner::MixtureLearner(const MixtureSpace& space, const Backend& backend, MixturePriors priors,
                               std::vector<std::vector<double>> shares, std::vector<double> pooled, bool is_low_rank)
    : space_(space),
      backend_(backend),
      priors_(priors),
      shares_(std::move(shares)),
      pooled_(std::move(pooled)),
      is_low_rank_(is_low_rank) {
  for (const std::vector<double>& of_states : shares_) {
    std::vector<int32_t> order(of_states.size());
    std::iota(order.begin(), order.end(), 0);
    std::stable_sort(order.begin(), order.end(), [&](int32_t a, int32_t b) { return of_states[a] > of_states[b]; });
    std::vector<int32_t>& dense = dense_of_state_.emplace_back(of_states.size());
    for (size_t i = 0; i < order.size(); ++i) dense[order[i]] = static_cast<int32_t>(i);
  }
}
MixtureLearner::~MixtureLearner() = default;

int32_t MixtureLearner::dense_states(size_t variable, int64_t members) const {
  return static_cast<int32_t>(
      std::min<int64_t>(space_.variables[variable].states, std::max<int64_t>(1, kMostDense / members)));
}

MixtureStatistics MixtureLearner::empty_statistics(int64_t members, int64_t rank) const {
  const auto axes = static_cast<int64_t>(space_.axes.size());
  MixtureStatistics statistics;
  statistics.centre.assign(members * axes, 0);
  statistics.weight.assign(members, 0);
  statistics.sum.assign(members * axes, 0);
  if (rank == kFullRank) {
    statistics.product.assign(members * axes * axes, 0);
  } else {
    statistics.square.assign(members * axes, 0);
    statistics.cross.assign(members * axes * rank, 0);
    statistics.factor_sum.assign(members * rank, 0);
    statistics.factor_product.assign(members * rank * rank, 0);
  }
  statistics.rare_counts.resize(space_.variables.size());
  for (size_t v = 0; v < space_.variables.size(); ++v)
    statistics.counts.emplace_back(static_cast<size_t>(dense_states(v, members) * members));
  return statistics;
}

void MixtureLearner::set(std::shared_ptr<const MixtureParameters> parameters) {
  parameters_ = std::move(parameters);
  patterns_.clear();
  factors_.reset();
  prepare_emissions();
  if (is_low_rank_) factors_ = std::make_unique<const FactorAnalysers>(parameters_, log_emission_);
}

void MixtureLearner::prepare_emissions() {
  const int64_t members = parameters_->members, padded = padded_members(members);
  log_emission_.clear();
  for (size_t v = 0; v < space_.variables.size(); ++v) {
    const EmissionTree& tree = parameters_->emissions[v];
    const int32_t dense = dense_states(v, members);
    std::vector<float>& table = log_emission_.emplace_back(static_cast<size_t>(dense * padded));
    std::vector<double> probability(dense);
    for (int64_t g = 0; g < parameters_->groups; ++g) {
      const std::vector<double> above = state_probabilities(*parameters_, v, members + g);
      for (int64_t m = 0; m < members; ++m) {
        if (parameters_->group[m] != g) continue;
        for (int32_t s = 0; s < tree.states; ++s)
          if (dense_of_state_[v][s] < dense) probability[dense_of_state_[v][s]] = tree.up[m] * above[s];
        for (int64_t e = tree.first[m]; e < tree.first[m + 1]; ++e)
          if (const int32_t d = dense_of_state_[v][tree.state[e]]; d < dense) probability[d] += tree.probability[e];
        constexpr double kLeast = 1e-30;
        for (int32_t d = 0; d < dense; ++d)
          table[d * padded + m] = static_cast<float>(std::log(std::max(probability[d], kLeast)));
      }
    }
  }
}

const MixtureLearner::PatternParameters& MixtureLearner::parameters_of(const RowsOfPattern& pattern) {
  std::string key(space_.axes.size(), '0');
  for (const int32_t a : pattern.present) key[a] = '1';
  std::unique_ptr<PatternParameters>& slot = patterns_[key];
  if (slot) return *slot;
  slot = std::make_unique<PatternParameters>();
  PatternParameters& prepared = *slot;
  prepared.present = pattern.present;
  prepared.absent = pattern.absent;
  const int here = prepared.here = static_cast<int>(pattern.present.size());
  const int gone = prepared.gone = static_cast<int>(pattern.absent.size());
  const int axes = here + gone;
  const int64_t members = parameters_->members, padded = padded_members(members);
  std::vector<int32_t> order = pattern.present;
  order.insert(order.end(), pattern.absent.begin(), pattern.absent.end());

  MixtureDensity& density = prepared.density;
  density.members = members;
  density.variables = static_cast<int32_t>(space_.variables.size());
  density.latents = here;
  density.base.assign(padded, kNoDensity);
  density.whitening.assign(static_cast<size_t>(here * (here + 3) / 2 * padded), 0);
  for (const std::vector<float>& table : log_emission_) {
    density.states.push_back(static_cast<int32_t>(static_cast<int64_t>(table.size()) / padded));
    density.log_emission.push_back(table.data());
  }
  if (gone > 0) prepared.inverse.resize(members * here * here);
  prepared.regression.resize(members * gone * here);
  prepared.rest.resize(members * gone * gone);

  std::vector<double> factor(axes * axes), corner(here * here);
  for (int64_t m = 0; m < members; ++m) {
    const double* covariance = parameters_->covariance.data() + m * axes * axes;
    const double* mean = parameters_->mean.data() + m * axes;
    for (int i = 0; i < axes; ++i)
      for (int j = 0; j < axes; ++j) factor[i * axes + j] = covariance[order[i] * axes + order[j]];
    if (!factorise(factor, axes)) throw Error("mixture: a covariance is not positive definite");
    for (int i = 0; i < here; ++i)
      for (int j = 0; j < here; ++j) corner[i * here + j] = factor[i * axes + j];
    const std::vector<double> inverse = invert_lower(corner, here);
    double base = std::log(parameters_->weight[m]) - 0.5 * here * std::log(2 * std::numbers::pi);
    float* whitening = density.whitening.data() + m;
    for (int i = 0; i < here; ++i) {
      base -= std::log(corner[i * here + i]);
      double shift = 0;
      for (int j = 0; j <= i; ++j) shift -= inverse[i * here + j] * mean[order[j]];
      *std::exchange(whitening, whitening + padded) = static_cast<float>(shift);
      for (int j = 0; j <= i; ++j)
        *std::exchange(whitening, whitening + padded) = static_cast<float>(inverse[i * here + j]);
    }
    density.base[m] = static_cast<float>(base);
    if (gone == 0) continue;
    std::copy(inverse.begin(), inverse.end(), prepared.inverse.begin() + m * here * here);
    for (int i = 0; i < gone; ++i) {
      const double* row = factor.data() + (here + i) * axes;
      std::copy(row, row + here, prepared.regression.begin() + (m * gone + i) * here);
      for (int j = 0; j < gone; ++j)
        prepared.rest[(m * gone + i) * gone + j] =
            std::inner_product(row + here, row + axes, factor.data() + (here + j) * axes + here, 0.0);
    }
  }
  return prepared;
}

// ---- rows

PreparedRows MixtureLearner::prepare(const RowsByPattern& rows) const {
  const size_t variables = space_.variables.size();
  PreparedRows prepared;
  for (const RowsOfPattern& pattern : rows) {
    std::vector<int32_t> states(pattern.states.size());
    for (size_t v = 0; v < variables; ++v)
      for (size_t i = v; i < states.size(); i += variables)
        states[i] = pattern.states[i] < 0 ? -1 : dense_of_state_[v][pattern.states[i]];
    prepared.rows += pattern.rows;
    prepared.patterns.push_back({pattern, std::move(states), nullptr, nullptr});
  }
  return prepared;
}

MixtureCounts MixtureLearner::counts_of(MixtureStatistics& statistics) const {
  MixtureCounts counts;
  counts.members = static_cast<int64_t>(statistics.weight.size());
  counts.weight = statistics.weight.data();
  for (size_t v = 0; v < space_.variables.size(); ++v) {
    counts.states.push_back(dense_states(v, counts.members));
    counts.of_state.push_back(statistics.counts[v].data());
  }
  return counts;
}

bool MixtureLearner::has_rare_states(int64_t members) const {
  for (size_t v = 0; v < space_.variables.size(); ++v)
    if (dense_states(v, members) < space_.variables[v].states) return true;
  return false;
}

void MixtureLearner::add_rare(const PreparedRows::Pattern& pattern, const Responsibilities& shares,
                              MixtureStatistics& statistics) const {
  const auto members = static_cast<int64_t>(statistics.weight.size());
  const size_t variables = space_.variables.size();
  for (size_t v = 0; v < variables; ++v) {
    const int32_t dense = dense_states(v, members);
    if (dense == space_.variables[v].states) continue;
    for (size_t row = 0; row + 1 < shares.first.size(); ++row) {
      const size_t at = row * variables + v;
      if (pattern.states[at] < dense) continue;
      for (int64_t e = shares.first[row]; e < shares.first[row + 1]; ++e)
        if (shares.share[e] >= kLeastShare)
          statistics.rare_counts[v][pattern.rows.states[at] * members + shares.member[e]] += shares.share[e];
    }
  }
}

MixtureStatistics MixtureLearner::count(const PreparedRows& rows, const std::vector<int32_t>& member_of_row,
                                        int64_t members) const {
  MixtureStatistics statistics = empty_statistics(members, is_low_rank_ ? 0 : kFullRank);
  statistics.rows = static_cast<double>(rows.rows);
  const MixtureCounts counts = counts_of(statistics);
  const size_t axes = space_.axes.size();
  const int32_t* member = member_of_row.data();
  Responsibilities whole;
  for (const PreparedRows::Pattern& prepared : rows.patterns) {
    const RowsOfPattern& pattern = prepared.rows;
    const std::span members_of_rows(std::exchange(member, member + pattern.rows), static_cast<size_t>(pattern.rows));
    whole.member.assign(members_of_rows.begin(), members_of_rows.end());
    whole.share.assign(whole.member.size(), 1);
    whole.first.resize(whole.member.size() + 1);
    std::iota(whole.first.begin(), whole.first.end(), 0);
    add_counts_on_cpu({pattern.rows, prepared.states.data(), nullptr}, whole, counts);
    add_rare(prepared, whole, statistics);
    if (!is_low_rank_) {
      add_whole(pattern, whole, statistics);
      continue;
    }
    const float* latent = pattern.latents.data();
    for (const int32_t m : members_of_rows)
      for (size_t i = 0; i < axes; ++i, ++latent)
        if (!std::isnan(*latent)) statistics.sum[static_cast<size_t>(m) * axes + i] += static_cast<double>(*latent);
  }
  return statistics;
}

// Latents of rows that belong to one member each; absent ones at the table's mean.
void MixtureLearner::add_whole(const RowsOfPattern& pattern, const Responsibilities& whole,
                               MixtureStatistics& statistics) const {
  const size_t axes = space_.axes.size(), here = pattern.present.size();
  std::vector<int32_t> all(axes);
  std::iota(all.begin(), all.end(), 0);
  std::vector<float> latents(static_cast<size_t>(pattern.rows) * axes);
  for (size_t row = 0; row < static_cast<size_t>(pattern.rows); ++row)
    for (size_t i = 0; i < here; ++i) latents[row * axes + pattern.present[i]] = pattern.latents[row * here + i];
  add_moments_on_cpu({.members = static_cast<int64_t>(statistics.weight.size()),
                      .rows = pattern.rows,
                      .latents = latents.data(),
                      .present = all,
                      .absent = {},
                      .centre = statistics.centre.data()},
                     whole, {statistics.sum.data(), statistics.product.data()});
}

// ---- steps

void MixtureLearner::expect_pattern(const PreparedRows::Pattern& pattern, std::vector<double>& log_density,
                                    const MixtureSums* sums, Responsibilities* shares) {
  const RowsOfPattern& of = pattern.rows;
  const auto variables = static_cast<int32_t>(space_.variables.size()),
             latents = static_cast<int32_t>(of.present.size());
  const MixtureRows rows{of.rows, pattern.states.data(), of.latents.data()};
  const MixtureDensity& density = parameters_of(of).density;
  log_density.resize(static_cast<size_t>(of.rows));
  if (of.rows * parameters_->members < kLeastPairs)
    return prepare_mixture_rows_on_cpu(rows, variables, latents)->expect(density, log_density, sums, shares);
  if (!pattern.on_device) pattern.on_device = backend_.prepare_mixture_rows(rows, variables, latents);
  pattern.on_device->expect(density, log_density, sums, shares);
}

// With the covariance that remains of absent latents, by the rows' weight in each member.
void MixtureLearner::add_step(const PreparedRows::Pattern& pattern, std::vector<double>& log_density,
                              MixtureStatistics& statistics, Responsibilities* shares) {
  const PatternParameters& of_pattern = parameters_of(pattern.rows);
  const size_t gone = of_pattern.absent.size(), axes = of_pattern.present.size() + gone;
  std::vector<double> weight(statistics.weight.size());
  MixtureSums sums{
      counts_of(statistics),
      {parameters_->members, pattern.rows.rows, pattern.rows.latents.data(), of_pattern.present, of_pattern.absent,
       statistics.centre.data(), parameters_->mean.data(), of_pattern.inverse.data(), of_pattern.regression.data()},
      {statistics.sum.data(), statistics.product.data()}};
  sums.counts.weight = weight.data();
  expect_pattern(pattern, log_density, &sums, shares);
  for (size_t m = 0; m < weight.size(); ++m) {
    statistics.weight[m] += weight[m];
    double* product = statistics.product.data() + m * axes * axes;
    const double* rest = of_pattern.rest.data() + m * gone * gone;
    for (size_t i = 0; i < gone; ++i)
      for (size_t j = 0; j <= i; ++j)
        product[of_pattern.absent[i] * axes + of_pattern.absent[j]] += weight[m] * rest[i * gone + j];
  }
}

void MixtureLearner::expect_factors(const PreparedRows::Pattern& pattern, std::vector<double>& log_density,
                                    const FactorSums* sums, Responsibilities* shares) const {
  const auto variables = static_cast<int32_t>(space_.variables.size());
  const FactorDensity& density = factors_->density();
  const MixtureRows rows{pattern.rows.rows, pattern.states.data(), pattern.rows.latents.data()};
  log_density.resize(static_cast<size_t>(rows.rows));
  if (!is_for_device(density, rows.rows))
    return prepare_factor_rows_on_cpu(rows, variables, density.latents)->expect(density, log_density, sums, shares);
  if (!pattern.factors_on_device)
    pattern.factors_on_device = backend_.prepare_factor_rows(rows, variables, density.latents);
  pattern.factors_on_device->expect(density, log_density, sums, shares);
}

MixtureStatistics MixtureLearner::expect(const PreparedRows& rows, const std::vector<double>& centre, MemberUse* use) {
  const int64_t members = parameters_->members;
  MixtureStatistics statistics = empty_statistics(members, parameters_->rank);
  statistics.centre = centre.empty() ? parameters_->mean : centre;
  statistics.keeps_factors = !centre.empty();
  if (use != nullptr) *use = {{}, std::vector<double>(members)};
  const bool wants_shares = use != nullptr || has_rare_states(members);
  std::vector<double> log_density;
  Responsibilities found, *const shares = wants_shares ? &found : nullptr;
  for (const PreparedRows::Pattern& pattern : rows.patterns) {
    if (is_low_rank_) {
      const FactorSums sums = factors_->sums_of(statistics, counts_of(statistics));
      expect_factors(pattern, log_density, &sums, shares);
    } else {
      add_step(pattern, log_density, statistics, shares);
    }
    if (wants_shares) add_rare(pattern, found, statistics);
    if (use != nullptr) add_use(found, *use);
    for (const double of_row : log_density) {
      if (!std::isfinite(of_row)) continue;
      statistics.rows += 1;
      statistics.log_likelihood += of_row;
    }
  }
  return statistics;
}

double MixtureLearner::log_likelihood(const PreparedRows& rows) {
  double sum = 0;
  const double least =
      std::min(kLeastLogDensity, is_low_rank_ ? kLeastLogDensityOfAxis * static_cast<double>(parameters_->axes) : 0.0);
  std::vector<double> log_density;
  for (const PreparedRows::Pattern& pattern : rows.patterns) {
    if (is_low_rank_) {
      expect_factors(pattern, log_density, nullptr, nullptr);
    } else {
      expect_pattern(pattern, log_density, nullptr, nullptr);
    }
    for (const double of_row : log_density) sum += std::max(of_row, least);
  }
  return sum / static_cast<double>(rows.rows);
}

}  // namespace doppel
