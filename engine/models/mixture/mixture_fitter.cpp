#include "engine/models/mixture/mixture_fitter.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <string>
#include <utility>

#include "engine/models/mixture/factor_analysers.h"
#include "engine/models/mixture/factor_start.h"
#include "engine/models/mixture/mixture_patterns.h"

namespace doppel {
namespace {

constexpr uint32_t kUseSplit = 0x40000002u;  // of fit_uniform
constexpr double kUnseenRows = 0.01;         // added to the count of each state: none is impossible
constexpr double kSettled = 1e-4;  // nats a row between iterations at which fitting ends; of low rank, an axis
constexpr int64_t kFewestTrialMembers = 16;  // where there are variables, which a single member would make independent
// Multiply-adds of matrix products in the time of one of those that full covariances need.
constexpr double kProducts = 5;
constexpr int kSwapIterations = 3, kLastSwap = 9;  // every so many, up to this one

std::vector<std::vector<double>> state_shares(const MixtureSpace& space, const RowsByPattern& rows) {
  std::vector<std::vector<double>> shares;
  for (size_t v = 0; v < space.variables.size(); ++v) {
    std::vector<double>& of_states = shares.emplace_back();
    for (const int64_t count : count_states(space, rows, v))
      of_states.push_back(kUnseenRows + static_cast<double>(count));
    double total = 0;
    for (const double share : of_states) total += share;
    for (double& share : of_states) share /= total;
  }
  return shares;
}

int64_t count_groups(int64_t members) {
  constexpr int64_t kMembersPerGroup = 8;
  return std::max<int64_t>(1, members / kMembersPerGroup);
}

double absent_latents(const RowsByPattern& rows) {  // of low rank, a row
  double absent = 0;
  for (const RowsOfPattern& pattern : rows)
    for (const float z : pattern.latents) absent += std::isnan(z);
  return absent / std::max(static_cast<double>(count_rows(rows)), 1.0);
}

// Multiply-adds of an iteration, about. rank: kFullRank, or one of low rank.
double operations_per_member(const MixtureSpace& space, const RowsByPattern& rows, int64_t rank) {
  const auto axes = static_cast<double>(space.axes.size()), n = static_cast<double>(count_rows(rows));
  constexpr double kOther = 4;
  double of_latents = axes * (axes + 3) / 2;
  if (rank != kFullRank) {
    const auto q = static_cast<double>(rank);
    const double absent = absent_latents(rows);
    of_latents = axes * (q + kOther) + q * q + (absent > 0 ? absent * q * q + q * q * q : 0);
    of_latents /= kProducts;
  }
  return n * (static_cast<double>(space.variables.size()) + of_latents + kOther);
}

}  // namespace

RowSample take_sample(const MixtureSpace& space, RowBlocks& blocks, int64_t rows, int64_t most_rows,
                      double held_out_share, uint64_t seed) {
  RowSample sample;
  sample.is_whole = rows <= most_rows;
  const double chosen_share = sample.is_whole ? 1 : static_cast<double>(most_rows) / static_cast<double>(rows);
  RowCollector training(space, seed), held_out(space, seed);
  blocks.for_each([&](const EncodedRows& block) {
    for (int64_t row = 0; row < block.rows; ++row) {
      const double draw = fit_uniform(seed, static_cast<uint64_t>(block.first_row + row), kUseSplit) / chosen_share;
      if (draw < 1) (draw < held_out_share ? held_out : training).add(block, row);
    }
  });
  sample.training = training.take();
  sample.held_out = held_out.take();
  return sample;
}

RowsByPattern joined(RowsByPattern rows, const RowsByPattern& more) {
  for (const RowsOfPattern& pattern : more) {
    const auto same =
        std::find_if(rows.begin(), rows.end(), [&](const RowsOfPattern& p) { return p.present == pattern.present; });
    if (same == rows.end()) {
      rows.push_back(pattern);
      continue;
    }
    same->rows += pattern.rows;
    same->states.insert(same->states.end(), pattern.states.begin(), pattern.states.end());
    same->latents.insert(same->latents.end(), pattern.latents.begin(), pattern.latents.end());
  }
  return rows;
}

MixtureFitter::MixtureFitter(const MixtureSpace& space, const RowsByPattern& rows, const FitOptions& options,
                             const Backend& backend)
    : MixtureFitter(
          space, rows, options, backend,
          space.is_low_rank ? latent_variances(rows, space.axes.size()) : pooled_covariance(rows, space.axes.size())) {}

MixtureFitter::MixtureFitter(const MixtureSpace& space, const RowsByPattern& rows, const FitOptions& options,
                             const Backend& backend, std::vector<double> pooled)
    : rows_(rows),
      seed_(options.seed),
      axes_(space.axes.size()),
      is_low_rank_(space.is_low_rank),
      learner_(space, backend, MixturePriors{}, state_shares(space, rows), pooled, is_low_rank_),
      prepared_(learner_.prepare(rows)),
      starter_(space, rows) {
  if (!is_low_rank_)
    swapper_.emplace(space, rows, starter_, learner_, MixturePriors{}, std::move(pooled), options.seed);
}

MixtureParameters MixtureFitter::first_parameters(int64_t members, int64_t groups) const {
  const MixtureStart start = starter_.start(members, groups, seed_);
  const MixtureStatistics counted = learner_.count(prepared_, start.member, members);
  if (!is_low_rank_) return learner_.maximise(counted, start.group, groups);
  const CommonFactors common = common_factors(rows_, axes_, start.member, members);
  return learner_.maximise(counted, start.group, groups, &common);
}

int64_t MixtureFitter::most_rank() const {
  if (!is_low_rank_) return kFullRank;
  return common_factors(rows_, axes_, std::vector<int32_t>(static_cast<size_t>(count_rows(rows_))), 1).rank;
}

std::shared_ptr<const MixtureParameters> MixtureFitter::fit(int64_t members, int iterations,
                                                            const std::function<void(int)>& progress) {
  const int64_t groups = count_groups(members);
  auto parameters = std::make_shared<const MixtureParameters>(first_parameters(members, groups));
  std::vector<int32_t> group = parameters->group;
  const double settled = kSettled * (is_low_rank_ ? static_cast<double>(axes_) : 1);
  double last = -std::numeric_limits<double>::infinity();
  MemberUse use;
  for (int iteration = 0; iteration < iterations; ++iteration) {
    if (progress) progress(iteration);
    learner_.set(parameters);
    const bool swaps = swapper_ && iteration > 0 && iteration % kSwapIterations == 0 && iteration <= kLastSwap;
    MixtureStatistics statistics = learner_.expect(prepared_, {}, swaps ? &use : nullptr);
    const double now = statistics.log_likelihood / std::max(statistics.rows, 1.0);
    const bool has_swapped = swaps && swapper_->swap(use, statistics, group) > 0;
    MixtureParameters next = learner_.maximise(statistics, group, groups);
    const bool is_settled = now - last < settled && !has_swapped;
    last = has_swapped ? -std::numeric_limits<double>::infinity() : now;
    const bool is_last = is_settled || iteration + 1 == iterations;
    // Twice, as the iterations in between adapt to what was left out.
    if (is_low_rank_ && (is_last || iteration == iterations / 2)) next = without_idle_factors(next, statistics.weight);
    parameters = std::make_shared<const MixtureParameters>(std::move(next));
    if (is_settled) break;
  }
  learner_.set(parameters);
  return parameters;
}

bool is_too_near(const NearerEstimate& estimate) {
  return estimate.share > kMostNearer + kNearerErrors * estimate.standard_error;
}

MembersChoice choose_members(const MixtureSpace& space, const RowSample& sample, size_t columns, double operations,
                             const MeasureNearer& measure_nearer, const FitOptions& options, const Backend& backend) {
  MembersChoice choice;
  const int64_t rows = count_rows(sample.training);
  MixtureFitter fitter(space, sample.training, options, backend);
  const PreparedRows held_out = fitter.learner().prepare(sample.held_out);
  // Trials double: together they cost two of the last, and the fit follows.
  const double affordable = operations / ((2 * kTrialIterations + kIterations) *
                                          operations_per_member(space, sample.training, fitter.most_rank()));
  const int64_t most =
      std::clamp<int64_t>(std::min<int64_t>(static_cast<int64_t>(affordable), rows / kRowsPerMember), 1, kMostMembers);
  const double slack = kLikelihoodSlack * static_cast<double>(columns);
  double best = -std::numeric_limits<double>::infinity();
  const int64_t fewest = space.variables.empty() || space.is_low_rank ? 1 : std::min(most, kFewestTrialMembers);
  for (int64_t members = fewest;; members = std::min(2 * members, most)) {
    const std::shared_ptr<const MixtureParameters> parameters =
        fitter.fit(members, kTrialIterations, [&](int iteration) {
          if (options.progress)
            options.progress("trying " + std::to_string(members) + " members",
                             static_cast<double>(iteration) / kTrialIterations);
        });
    MembersTrial trial{
        members, fitter.learner().log_likelihood(fitter.rows()), fitter.learner().log_likelihood(held_out), {}};
    best = std::max(best, trial.held_out);
    bool is_admitted = trial.held_out >= best - slack;
    if (is_admitted && measure_nearer) {
      trial.nearer = measure_nearer(*parameters);
      is_admitted = !is_too_near(*trial.nearer);
    }
    if (is_admitted || choice.trials.empty()) choice.members = members;
    choice.trials.push_back(trial);
    if (!is_admitted || members == most) return choice;
  }
}

}  // namespace doppel
