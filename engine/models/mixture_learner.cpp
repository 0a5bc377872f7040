#include "engine/models/mixture_learner.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>
#include <utility>

#include "engine/models/factor_analysers.h"
#include "engine/models/triangular.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr double kLeastCount = 0.02;  // rows of a state in a node below which only the node above knows it
constexpr double kLeastShare = 0.05;  // of a row in a member, to count for a rare state
constexpr double kLeastLogDensity = -1e3, kLeastLogDensityOfAxis = -10;
constexpr int64_t kChunkRows = 4096;
constexpr int64_t kLeastPairs = 1 << 18;     // of rows and members: fewer are done before a device has begun
constexpr int64_t kLeastProducts = 1 << 23;  // likewise of factor analysers, in multiply-adds
constexpr int64_t kLeastMoments = 1 << 18;   // likewise of moments

bool is_for_device(const MixtureDensity& density, int64_t rows) {
  return rows * density.members >= kLeastPairs;
}
bool is_for_device(const FactorDensity& density, int64_t rows) {
  return rows * padded_members(density.states.members) * density.latents * (density.rank + 2) >= kLeastProducts;
}
template <class Density>
void find_responsibilities(const Backend& backend, const Density& density, const MixtureRows& rows,
                           Responsibilities& found) {
  if (is_for_device(density, rows.rows)) return backend.find_responsibilities(density, rows, found);
  find_responsibilities_on_cpu(density, rows, found);
}

bool is_for_device(const MixtureLatents& latents, const Responsibilities& shares) {
  const auto here = static_cast<int64_t>(latents.present.size()), gone = static_cast<int64_t>(latents.absent.size());
  const int64_t axes = here + gone, of_means = gone > 0 ? here * (here + 1) / 2 + here * gone : 0;
  return static_cast<int64_t>(shares.share.size()) * (axes * (axes + 3) / 2 + of_means) >= kLeastMoments;
}
void add_moments(const Backend& backend, const MixtureLatents& latents, const Responsibilities& shares,
                 MixtureStatistics& statistics) {
  const MixtureMoments moments{statistics.sum.data(), statistics.product.data()};
  if (is_for_device(latents, shares)) return backend.add_moments(latents, shares, moments);
  add_moments_on_cpu(latents, shares, moments);
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

// Appends a node's own entries and how much it leaves to the node above.
class TreeWriter {
 public:
  explicit TreeWriter(EmissionTree& tree) : tree_(tree) { tree_.first.push_back(0); }
  void add(int32_t state, double probability) {
    tree_.state.push_back(state);
    tree_.probability.push_back(probability);
    kept_ += probability;
  }
  void finish_node(bool is_root = false) {
    tree_.up.push_back(is_root ? 0 : std::max(0.0, 1 - kept_));
    tree_.first.push_back(static_cast<int64_t>(tree_.state.size()));
    kept_ = 0;
  }

 private:
  EmissionTree& tree_;
  double kept_ = 0;
};

}  // namespace

double MixtureParameters::variance(int64_t member, int64_t axis) const {
  const int64_t place = member * axes + axis;
  if (!is_low_rank()) return covariance[place * axes + axis];
  double sum = residual[place];
  for (int64_t k = 0; k < rank; ++k) sum += factor[place * rank + k] * factor[place * rank + k];
  return sum;
}

std::vector<double> state_probabilities(const MixtureParameters& parameters, size_t variable, int64_t node) {
  const EmissionTree& tree = parameters.emissions[variable];
  std::vector<double> probability(tree.states);
  double reach = 1;
  for (; node >= 0; node = parameters.above(node)) {
    for (int64_t e = tree.first[node]; e < tree.first[node + 1]; ++e)
      probability[tree.state[e]] += reach * tree.probability[e];
    reach *= tree.up[node];
  }
  return probability;
}

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
struct MixtureLearner::PreparedPattern {
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

void MixtureLearner::add_states(const int32_t* states, std::span<const int32_t> member, std::span<const float> share,
                                MixtureStatistics& statistics) const {
  const auto members = static_cast<int64_t>(statistics.weight.size());
  for (size_t v = 0; v < space_.variables.size(); ++v) {
    if (states[v] < 0) continue;
    const int64_t first = dense_of_state_[v][states[v]] * members;
    if (first < static_cast<int64_t>(statistics.counts[v].size())) {
      double* counts = statistics.counts[v].data() + first;
      for (size_t e = 0; e < member.size(); ++e) counts[member[e]] += share[e];
      continue;
    }
    for (size_t e = 0; e < member.size(); ++e)
      if (share[e] >= kLeastShare) statistics.rare_counts[v][states[v] * members + member[e]] += share[e];
  }
}

MixtureStatistics MixtureLearner::count(const RowsByPattern& rows, const std::vector<int32_t>& member_of_row,
                                        int64_t members) const {
  MixtureStatistics statistics = empty_statistics(members, is_low_rank_ ? 0 : kFullRank);
  const size_t axes = space_.axes.size(), variables = space_.variables.size();
  constexpr float kWhole = 1;
  const int32_t* member = member_of_row.data();
  for (const RowsOfPattern& pattern : rows) {
    if (!is_low_rank_) add_whole(pattern, {member, static_cast<size_t>(pattern.rows)}, statistics);
    const float* latent = pattern.latents.data();
    for (int64_t row = 0; row < pattern.rows; ++row, ++member) {
      statistics.rows += 1;
      statistics.weight[*member] += 1;
      add_states(pattern.states.data() + row * variables, {member, 1}, {&kWhole, 1}, statistics);
      for (size_t i = 0; i < pattern.present.size() && is_low_rank_; ++i, ++latent)
        if (!std::isnan(*latent)) statistics.sum[*member * axes + pattern.present[i]] += *latent;
    }
  }
  return statistics;
}

// Of rows that belong to one member each; absent latents at the table's mean.
void MixtureLearner::add_whole(const RowsOfPattern& pattern, std::span<const int32_t> member_of_row,
                               MixtureStatistics& statistics) const {
  const size_t axes = space_.axes.size(), here = pattern.present.size();
  std::vector<int32_t> all(axes);
  std::iota(all.begin(), all.end(), 0);
  std::vector<float> latents;
  Responsibilities whole;
  for (int64_t first = 0; first < pattern.rows; first += kChunkRows) {
    const auto count = static_cast<size_t>(std::min(kChunkRows, pattern.rows - first));
    latents.assign(count * axes, 0);
    for (size_t row = 0; row < count; ++row)
      for (size_t i = 0; i < here; ++i)
        latents[row * axes + pattern.present[i]] = pattern.latents[(first + row) * here + i];
    const auto members = member_of_row.subspan(first, count);
    whole.member.assign(members.begin(), members.end());
    whole.share.assign(count, 1);
    whole.first.resize(count + 1);
    std::iota(whole.first.begin(), whole.first.end(), 0);
    add_moments(backend_,
                {.members = static_cast<int64_t>(statistics.weight.size()),
                 .rows = static_cast<int64_t>(count),
                 .latents = latents.data(),
                 .present = all,
                 .absent = {},
                 .centre = statistics.centre.data()},
                whole, statistics);
  }
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

MixtureLearner::PreparedPattern& MixtureLearner::prepare(const RowsOfPattern& pattern) {
  std::string key(space_.axes.size(), '0');
  for (const int32_t a : pattern.present) key[a] = '1';
  std::unique_ptr<PreparedPattern>& slot = patterns_[key];
  if (slot) return *slot;
  slot = std::make_unique<PreparedPattern>();
  PreparedPattern& prepared = *slot;
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
  for (const std::vector<float>& table : log_emission_) density.log_emission.push_back(table.data());
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

// Calls consume(prepared pattern, rows, responsibilities) for rows of one pattern at a time, not too many. The pattern
// is null where covariances are of low rank.
template <class Consume>
void MixtureLearner::for_chunks(const RowsByPattern& rows, Consume consume) {
  const size_t variables = space_.variables.size();
  std::vector<int32_t> dense;
  Responsibilities found;
  for (const RowsOfPattern& pattern : rows) {
    PreparedPattern* prepared = is_low_rank_ ? nullptr : &prepare(pattern);
    for (int64_t first = 0; first < pattern.rows; first += kChunkRows) {
      const int64_t count = std::min(kChunkRows, pattern.rows - first);
      const int32_t* states = pattern.states.data() + first * variables;
      dense.resize(count * variables);
      for (size_t v = 0; v < variables; ++v) {
        const int32_t end = dense_states(v, parameters_->members);
        for (size_t i = v; i < dense.size(); i += variables) {
          dense[i] = states[i] < 0 ? -1 : dense_of_state_[v][states[i]];
          if (dense[i] >= end) dense[i] = -1;
        }
      }
      const float* latents = pattern.latents.data() + first * pattern.present.size();
      const MixtureRows of_chunk{count, dense.data(), latents};
      is_low_rank_ ? find_responsibilities(backend_, factors_->density(), of_chunk, found)
                   : find_responsibilities(backend_, prepared->density, of_chunk, found);
      consume(prepared, MixtureRows{count, states, latents}, found);
    }
  }
}

void MixtureLearner::add_row(const MixtureRows& rows, const Responsibilities& found, int64_t row,
                             MixtureStatistics& statistics) const {
  const auto first = static_cast<size_t>(found.first[row]), count = static_cast<size_t>(found.first[row + 1]) - first;
  add_states(rows.states + row * space_.variables.size(), {found.member.data() + first, count},
             {found.share.data() + first, count}, statistics);
  for (size_t e = first; e < first + count; ++e) statistics.weight[found.member[e]] += found.share[e];
}

// With the covariance that remains of absent latents, by the rows' weight in each member.
void MixtureLearner::add_latents(const PreparedPattern& prepared, const MixtureRows& rows,
                                 const Responsibilities& found, MixtureStatistics& statistics) const {
  const int gone = prepared.gone, axes = prepared.here + gone;
  if (axes == 0) return;
  const int64_t members = parameters_->members;
  add_moments(backend_,
              {members, rows.rows, rows.latents, prepared.present, prepared.absent, statistics.centre.data(),
               parameters_->mean.data(), prepared.inverse.data(), prepared.regression.data()},
              found, statistics);
  if (gone == 0) return;
  std::vector<double> weight(members);
  for (size_t e = 0; e < found.member.size(); ++e) weight[found.member[e]] += found.share[e];
  for (int64_t m = 0; m < members; ++m) {
    if (weight[m] == 0) continue;
    double* product = statistics.product.data() + m * axes * axes;
    for (int i = 0; i < gone; ++i)
      for (int j = 0; j <= i; ++j)
        product[prepared.absent[i] * axes + prepared.absent[j]] +=
            weight[m] * prepared.rest[(m * gone + i) * gone + j];
  }
}

MixtureStatistics MixtureLearner::expect(const RowsByPattern& rows, const std::vector<double>& centre, MemberUse* use) {
  const int64_t members = parameters_->members;
  MixtureStatistics statistics = empty_statistics(members, parameters_->rank);
  statistics.centre = centre.empty() ? parameters_->mean : centre;
  if (use != nullptr) *use = {{}, std::vector<double>(members)};
  statistics.keeps_factors = !centre.empty();
  for_chunks(rows, [&](PreparedPattern* pattern, const MixtureRows& chunk, const Responsibilities& found) {
    if (use != nullptr) add_use(found, *use);
    for (int64_t row = 0; row < chunk.rows; ++row) {
      if (!std::isfinite(found.log_density[row])) continue;
      statistics.rows += 1;
      statistics.log_likelihood += found.log_density[row];
      add_row(chunk, found, row, statistics);
    }
    pattern == nullptr ? factors_->add(chunk, found, statistics) : add_latents(*pattern, chunk, found, statistics);
  });
  return statistics;
}

double MixtureLearner::log_likelihood(const RowsByPattern& rows) {
  double sum = 0;
  const double least =
      std::min(kLeastLogDensity, is_low_rank_ ? kLeastLogDensityOfAxis * static_cast<double>(parameters_->axes) : 0.0);
  for_chunks(rows, [&](PreparedPattern*, const MixtureRows&, const Responsibilities& found) {
    for (const double density : found.log_density) sum += std::max(density, least);
  });
  return sum / static_cast<double>(count_rows(rows));
}

namespace {

constexpr double kNoRows = 1e-9;

std::vector<double> weights_of_groups(const MixtureStatistics& statistics, const MixtureParameters& result) {
  std::vector<double> group_weight(result.groups, kNoRows);
  for (int64_t m = 0; m < result.members; ++m) group_weight[result.group[m]] += statistics.weight[m];
  return group_weight;
}

}  // namespace

std::vector<double> MixtureLearner::maximise_means(const MixtureStatistics& statistics,
                                                   MixtureParameters& result) const {
  const int64_t members = result.members, groups = result.groups, axes = result.axes;
  const std::vector<double> group_weight = weights_of_groups(statistics, result);
  std::vector<double> group_mean(groups * axes);
  for (int64_t m = 0; m < members; ++m) {
    const int64_t g = result.group[m];
    for (int64_t i = 0; i < axes; ++i)
      group_mean[g * axes + i] += statistics.sum[m * axes + i] + statistics.weight[m] * statistics.centre[m * axes + i];
  }
  for (int64_t g = 0; g < groups; ++g)
    for (int64_t i = 0; i < axes; ++i) group_mean[g * axes + i] /= group_weight[g];

  result.mean.resize(members * axes);
  std::vector<double> shifts(members * axes);
  for (int64_t m = 0; m < members; ++m)
    for (int64_t i = 0; i < axes; ++i) {
      const double centre = statistics.centre[m * axes + i], expected = group_mean[result.group[m] * axes + i] - centre;
      const double shift = shifts[m * axes + i] =
          (statistics.sum[m * axes + i] + priors_.mean * expected) / (statistics.weight[m] + priors_.mean);
      result.mean[m * axes + i] = centre + shift;
    }
  return shifts;
}

void MixtureLearner::maximise_covariances(const MixtureStatistics& statistics, const std::vector<double>& shifts,
                                          MixtureParameters& result) const {
  const int64_t members = result.members, axes = result.axes;
  const std::vector<double> group_weight = weights_of_groups(statistics, result);
  std::vector<double> group_scatter(result.groups * axes * axes);
  result.covariance.resize(members * axes * axes);
  for (int64_t m = 0; m < members; ++m) {
    const double weight = statistics.weight[m];
    const double* sum = statistics.sum.data() + m * axes;
    const double* product = statistics.product.data() + m * axes * axes;
    const double* shift = shifts.data() + m * axes;
    double* scatter = result.covariance.data() + m * axes * axes;
    for (int64_t i = 0; i < axes; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        scatter[i * axes + j] =
            product[i * axes + j] - sum[i] * shift[j] - shift[i] * sum[j] + weight * shift[i] * shift[j];
        group_scatter[(result.group[m] * axes + i) * axes + j] += scatter[i * axes + j];
      }
  }
  for (int64_t m = 0; m < members; ++m) {
    const int64_t g = result.group[m];
    double* covariance = result.covariance.data() + m * axes * axes;
    for (int64_t i = 0; i < axes; ++i)
      for (int64_t j = 0; j <= i; ++j) {
        const double pooled = priors_.pooled_share * pooled_[i * axes + j] + (i == j ? priors_.floor : 0);
        const double within = (group_scatter[(g * axes + i) * axes + j] + pooled) / (group_weight[g] + 1);
        const double expected = (1 - priors_.group_share) * pooled + priors_.group_share * within;
        covariance[i * axes + j] = covariance[j * axes + i] =
            (covariance[i * axes + j] + priors_.covariance * expected) / (statistics.weight[m] + priors_.covariance);
      }
  }
}

EmissionTree MixtureLearner::maximise_emission(const MixtureStatistics& statistics, size_t variable,
                                               const MixtureParameters& result) const {
  const int64_t members = result.members, groups = result.groups;
  const int32_t states = space_.variables[variable].states;
  // Counts [(state, count)] of each member and group.
  std::vector<std::vector<std::pair<int32_t, double>>> of_node(members + groups);
  const auto dense = static_cast<int32_t>(statistics.counts[variable].size() / members);
  std::vector<int32_t> rare;
  for (int32_t s = 0; s < states; ++s) {
    const int32_t d = dense_of_state_[variable][s];
    if (d >= dense) continue;
    for (int64_t m = 0; m < members; ++m)
      if (const double count = statistics.counts[variable][static_cast<size_t>(d) * members + m]; count > 0)
        of_node[m].emplace_back(s, count);
  }
  for (const auto& [place, count] : statistics.rare_counts[variable])
    of_node[place % members].emplace_back(static_cast<int32_t>(place / members), count);
  std::vector<double> total(members + groups);
  std::vector<double> of_state(states);
  for (int64_t g = 0; g < groups; ++g) {
    std::vector<int32_t> seen;
    for (int64_t m = 0; m < members; ++m) {
      if (result.group[m] != g) continue;
      std::sort(of_node[m].begin(), of_node[m].end());
      for (const auto& [s, count] : of_node[m]) {
        total[m] += count;
        if (of_state[s] == 0) seen.push_back(s);
        of_state[s] += count;
      }
      total[members + g] += total[m];
    }
    std::sort(seen.begin(), seen.end());
    for (const int32_t s : seen) of_node[members + g].emplace_back(s, std::exchange(of_state[s], 0));
  }

  EmissionTree tree;
  tree.states = states;
  TreeWriter writer(tree);
  for (int64_t node = 0; node < members + groups; ++node) {
    const double prior = node < members ? priors_.emission : priors_.group_emission;
    for (const auto& [s, count] : of_node[node])
      if (count >= kLeastCount) writer.add(s, count / (total[node] + prior));
    writer.finish_node();
  }
  const double all = std::accumulate(shares_[variable].begin(), shares_[variable].end(), 0.0);
  for (int32_t s = 0; s < states; ++s)
    if (shares_[variable][s] > 0) writer.add(s, shares_[variable][s] / all);
  writer.finish_node(true);
  return tree;
}

MixtureParameters MixtureLearner::maximise(const MixtureStatistics& statistics, const std::vector<int32_t>& group,
                                           int64_t groups, const CommonFactors* start) const {
  MixtureParameters result;
  result.members = static_cast<int64_t>(statistics.weight.size());
  result.groups = groups;
  result.axes = static_cast<int64_t>(space_.axes.size());
  result.group = group;
  constexpr double kLeastWeight = 1e-6;
  const double all = statistics.rows + kLeastWeight * static_cast<double>(result.members);
  for (const double weight : statistics.weight) result.weight.push_back((weight + kLeastWeight) / all);
  const std::vector<double> shifts = maximise_means(statistics, result);
  if (!is_low_rank_) {
    maximise_covariances(statistics, shifts, result);
  } else if (start != nullptr) {
    result.rank = start->rank;
    for (int64_t m = 0; m < result.members; ++m) {
      result.factor.insert(result.factor.end(), start->factor.begin(), start->factor.end());
      result.residual.insert(result.residual.end(), start->residual.begin(), start->residual.end());
    }
  } else {
    maximise_factors(statistics, priors_, pooled_, *parameters_, !statistics.keeps_factors, result);
  }
  for (size_t v = 0; v < space_.variables.size(); ++v)
    result.emissions.push_back(maximise_emission(statistics, v, result));
  return result;
}

}  // namespace doppel
