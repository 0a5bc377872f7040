#include "engine/models/mixture/member_swap.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>
#include <utility>

#include "engine/models/triangular.h"

namespace doppel {
namespace {

constexpr size_t kLeastSplitRows = 12;
constexpr int kHalvingRounds = 6;
constexpr uint32_t kUseHalves = 0x40000006u;  // of fit_uniform

double squared_distance(std::span<const float> a, std::span<const float> b) {
  double sum = 0;
  for (size_t k = 0; k < a.size(); ++k) {
    const double difference = static_cast<double>(a[k]) - static_cast<double>(b[k]);
    sum += difference * difference;
  }
  return sum;
}

double times_log(double n, double share) {
  return n > 0 ? n * std::log(share) : 0;
}

// What `from` has of a member takes the place of what `to` has; products are about `from`'s centre then.
void replace_member(const MixtureStatistics& from, int64_t member, MixtureStatistics& to) {
  const auto members = static_cast<int64_t>(to.weight.size());
  const auto copy = [&](const std::vector<double>& source, std::vector<double>& target) {
    const int64_t width = static_cast<int64_t>(target.size()) / members;
    std::copy_n(source.begin() + member * width, width, target.begin() + member * width);
  };
  to.weight[member] = from.weight[member];
  copy(from.centre, to.centre);
  copy(from.sum, to.sum);
  copy(from.product, to.product);
  for (size_t v = 0; v < to.counts.size(); ++v) {
    for (size_t place = member; place < to.counts[v].size(); place += members)
      to.counts[v][place] = from.counts[v][place];
    std::erase_if(to.rare_counts[v], [&](const auto& entry) { return entry.first % members == member; });
    for (const auto& [place, count] : from.rare_counts[v])
      if (place % members == member) to.rare_counts[v][place] = count;
  }
}

// Members in the order of their numbers where values are equal.
template <class Less>
std::vector<int64_t> ordered(int64_t members, Less less) {
  std::vector<int64_t> order(members);
  std::iota(order.begin(), order.end(), int64_t{0});
  std::stable_sort(order.begin(), order.end(), less);
  return order;
}

}  // namespace

MemberSwapper::MemberSwapper(const MixtureSpace& space, const RowsByPattern& rows, const MixtureStarter& starter,
                             const MixtureLearner& learner, const MixturePriors& priors, std::vector<double> pooled,
                             uint64_t seed)
    : space_(space), starter_(starter), learner_(learner), priors_(priors), pooled_(std::move(pooled)), seed_(seed) {
  for (const RowsOfPattern& pattern : rows)
    for (int64_t row = 0; row < pattern.rows; ++row) places_.push_back({&pattern, row});
}

int64_t MemberSwapper::swap(const MemberUse& use, MixtureStatistics& statistics, std::vector<int32_t>& group) const {
  const auto members = static_cast<int64_t>(statistics.weight.size());
  const auto axes = static_cast<int64_t>(space_.axes.size());
  const auto most = static_cast<int64_t>(kMostSwapped * static_cast<double>(members));
  if (most == 0 || static_cast<int64_t>(statistics.product.size()) != members * axes * axes) return 0;
  std::vector<Split> splits(members);
  for (size_t row = 0; row < use.member.size(); ++row)
    if (use.member[row] >= 0) splits[use.member[row]].rows.push_back(static_cast<int64_t>(row));
  for (int64_t m = 0; m < members; ++m) {
    if (splits[m].rows.size() < kLeastSplitRows) continue;
    halve(static_cast<uint64_t>(m), splits[m]);
    splits[m].gain = gain_of(splits[m]);
  }
  const auto by_gain = ordered(members, [&](int64_t a, int64_t b) { return splits[a].gain > splits[b].gain; });
  const auto by_use = ordered(members, [&](int64_t a, int64_t b) { return use.missed[a] < use.missed[b]; });

  std::vector<uint8_t> is_taken(members);
  std::vector<int32_t> member_of_row(places_.size(), -1);
  int64_t swaps = 0;
  for (auto split = by_gain.begin(), left = by_use.begin(); split != by_gain.end() && swaps < most; ++split) {
    while (left != by_use.end() && is_taken[*left]) ++left;
    if (left == by_use.end() || splits[*split].gain <= use.missed[*left]) break;
    if (is_taken[*split] || *split == *left) continue;
    is_taken[*split] = is_taken[*left] = 1;
    const Split& halves = splits[*split];
    for (size_t i = 0; i < halves.rows.size(); ++i)
      member_of_row[halves.rows[i]] = static_cast<int32_t>(halves.is_second[i] != 0 ? *left : *split);
    group[*left] = group[*split];
    ++swaps;
  }
  if (swaps == 0) return 0;
  const MixtureStatistics counted = count(member_of_row, members);
  for (int64_t m = 0; m < members; ++m)
    if (is_taken[m] != 0) replace_member(counted, m, statistics);
  statistics.rows = std::accumulate(statistics.weight.begin(), statistics.weight.end(), 0.0);
  return swaps;
}

MixtureStatistics MemberSwapper::count(const std::vector<int32_t>& member_of_row, int64_t members) const {
  const size_t variables = space_.variables.size();
  RowsByPattern rows;
  std::vector<int32_t> member;
  const RowsOfPattern* last = nullptr;
  for (size_t i = 0; i < places_.size(); ++i) {
    if (member_of_row[i] < 0) continue;
    const auto [pattern, row] = places_[i];
    if (std::exchange(last, pattern) != pattern) rows.push_back({pattern->present, pattern->absent, 0, {}, {}});
    RowsOfPattern& to = rows.back();
    ++to.rows;
    member.push_back(member_of_row[i]);
    const auto states = pattern->states.begin() + row * static_cast<int64_t>(variables);
    to.states.insert(to.states.end(), states, states + static_cast<int64_t>(variables));
    const auto here = static_cast<int64_t>(pattern->present.size());
    const auto latents = pattern->latents.begin() + row * here;
    to.latents.insert(to.latents.end(), latents, latents + here);
  }
  return learner_.count(learner_.prepare(rows), member, members);
}

void MemberSwapper::halve(uint64_t member, Split& split) const {
  const std::vector<int64_t>& rows = split.rows;
  const auto farthest_from = [&](int64_t row) {
    int64_t farthest = row;
    double most = 0;
    for (const int64_t other : rows) {
      const double distance = squared_distance(starter_.place(other), starter_.place(row));
      if (distance > most) most = distance, farthest = other;
    }
    return farthest;
  };
  const auto any = static_cast<size_t>(fit_uniform(seed_, member, kUseHalves) * static_cast<double>(rows.size()));
  const int64_t one = farthest_from(rows[any]), other = farthest_from(one);
  std::vector<double> centre[2] = {{starter_.place(one).begin(), starter_.place(one).end()},
                                   {starter_.place(other).begin(), starter_.place(other).end()}};
  const size_t width = centre[0].size();
  split.is_second.resize(rows.size());
  std::vector<double> across(width), sum[2];
  for (int round = 0; round < kHalvingRounds; ++round) {
    // Nearer to the second centre: beyond the middle on the way to it.
    double middle = 0;
    for (size_t k = 0; k < width; ++k) {
      across[k] = centre[1][k] - centre[0][k];
      middle += across[k] * 0.5 * (centre[0][k] + centre[1][k]);
    }
    for (const int half : {0, 1}) sum[half].assign(width, 0);
    double count[2] = {0, 0};
    for (size_t i = 0; i < rows.size(); ++i) {
      const std::span<const float> place = starter_.place(rows[i]);
      const bool half = std::inner_product(across.begin(), across.end(), place.begin(), 0.0) > middle;
      split.is_second[i] = half;
      count[half] += 1;
      for (size_t k = 0; k < width; ++k) sum[half][k] += place[k];
    }
    for (const int half : {0, 1})
      for (size_t k = 0; k < width && count[half] > 0; ++k) centre[half][k] = sum[half][k] / count[half];
  }
}

double MemberSwapper::gain_of(const Split& split) const {
  const auto second = static_cast<double>(std::count(split.is_second.begin(), split.is_second.end(), 1));
  const double all = static_cast<double>(split.rows.size()), first = all - second;
  if (first == 0 || second == 0) return 0;
  const double gain = times_log(first, first / all) + times_log(second, second / all) +
                      gain_of_states(split, first, second) + gain_of_latents(split, first, second);
  return std::isfinite(gain) ? gain : 0;
}

double MemberSwapper::gain_of_states(const Split& split, double first, double second) const {
  const size_t variables = space_.variables.size();
  const double prior = priors_.emission;
  double gain = 0;
  std::vector<std::pair<int32_t, uint8_t>> seen(split.rows.size());
  for (size_t v = 0; v < variables; ++v) {
    for (size_t i = 0; i < seen.size(); ++i) {
      const auto [pattern, row] = places_[split.rows[i]];
      seen[i] = {pattern->states[row * variables + v], split.is_second[i]};
    }
    std::sort(seen.begin(), seen.end());
    for (size_t i = 0; i < seen.size();) {
      double count[2] = {0, 0};
      const int32_t state = seen[i].first;
      for (; i < seen.size() && seen[i].first == state; ++i) count[seen[i].second] += 1;
      if (state < 0) continue;
      const double both = count[0] + count[1];
      gain += times_log(count[0], count[0] / (first + prior)) + times_log(count[1], count[1] / (second + prior)) -
              times_log(both, both / (first + second + prior));
    }
  }
  return gain;
}

double MemberSwapper::gain_of_latents(const Split& split, double first, double second) const {
  const size_t axes = space_.axes.size();
  if (axes == 0) return 0;
  std::vector<double> sum[2], product[2], latents(axes);  // absent ones at the table's mean
  for (const int half : {0, 1}) sum[half].resize(axes), product[half].resize(axes * axes);
  for (size_t i = 0; i < split.rows.size(); ++i) {
    const auto [pattern, row] = places_[split.rows[i]];
    const size_t here = pattern->present.size();
    std::fill(latents.begin(), latents.end(), 0);
    for (size_t k = 0; k < here; ++k) latents[pattern->present[k]] = pattern->latents[row * here + k];
    std::vector<double>&s = sum[split.is_second[i]], &p = product[split.is_second[i]];
    for (size_t a = 0; a < axes; ++a) {
      s[a] += latents[a];
      for (size_t b = 0; b <= a; ++b) p[a * axes + b] += latents[a] * latents[b];
    }
  }
  double gain = -first * half_log_determinant(first, sum[0], product[0]) -
                second * half_log_determinant(second, sum[1], product[1]);
  for (size_t i = 0; i < axes; ++i) sum[0][i] += sum[1][i];
  for (size_t i = 0; i < axes * axes; ++i) product[0][i] += product[1][i];
  return gain + (first + second) * half_log_determinant(first + second, sum[0], product[0]);
}

double MemberSwapper::half_log_determinant(double rows, const std::vector<double>& sum,
                                           const std::vector<double>& product) const {
  const size_t axes = sum.size();
  std::vector<double> covariance(axes * axes);
  for (size_t i = 0; i < axes; ++i)
    for (size_t j = 0; j <= i; ++j) {
      const double expected = priors_.pooled_share * pooled_[i * axes + j] + (i == j ? priors_.floor : 0);
      covariance[i * axes + j] = covariance[j * axes + i] =
          (product[i * axes + j] - sum[i] * sum[j] / rows + priors_.covariance * expected) /
          (rows + priors_.covariance);
    }
  if (!factorise(covariance, axes)) return std::numeric_limits<double>::infinity();
  double sum_of_logs = 0;
  for (size_t i = 0; i < axes; ++i) sum_of_logs += std::log(covariance[i * axes + i]);
  return sum_of_logs;
}

}  // namespace doppel
