#include "engine/models/mixture/mixture_view.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <map>
#include <utility>

#include "engine/models/score_axis.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr double kInfinity = std::numeric_limits<double>::infinity();

// The outcomes of an alias table's entries first .. end - 1 with their probabilities, ascending.
std::map<int32_t, double> outcome_probabilities(const AliasTable& table, int64_t first, int64_t end) {
  std::map<int32_t, double> probability;
  const double entry = 1 / static_cast<double>(end - first);
  for (auto i = static_cast<size_t>(first); i < static_cast<size_t>(end); ++i) {
    const double below = static_cast<double>(table.threshold[i]) * 0x1p-32;
    probability[table.below[i]] += entry * below;
    probability[table.above[i]] += entry * (1 - below);
  }
  return probability;
}

bool is_single_value(const ColumnSampler& column) {
  if (column.lower.size() != 1) return false;
  return is_integer(column.storage) ? column.width[0] == 1 : column.real_base[0] == column.real_top[0];
}

}  // namespace

MixtureColumn::MixtureColumn(const ColumnSampler& column) : column_(&column) {
  if (column.missing_latent >= 0 || (column.has_latent() && column.transform != Transform::kSegments))
    throw InputError("the model's columns are none of a mixture's: it has no closed-form density");
  for (size_t state = 0; state < column.state_role.size(); ++state) {
    Part part{column.state_role[state], {}};
    int32_t* known = nullptr;
    if (part.role == StateRole::kMissing) {
      part.value.is_missing = true;
      known = &missing_part_;
    } else if (part.role == StateRole::kLatent) {
      known = &latent_part_;
    } else {
      if (is_integer(column.storage))
        part.value.integer = column.state_integer[state];
      else
        part.value.real = column.state_real[state];
      known = &part_of_value_.try_emplace(key_of(part.value), kNeverSeen).first->second;
    }
    if (*known == kNeverSeen) {
      *known = static_cast<int32_t>(parts_.size());
      parts_.push_back(part);
    }
    part_of_state_.push_back(*known);
  }
  if (!column.has_latent() || is_single_value(column)) return;
  latent_ = column.latent;
  for (size_t bucket = 0; bucket < kBuckets; ++bucket) {
    constexpr float kMargin = 1e-4f;  // of rounding when a bucket is found
    const float begin = 2 * kScoreLimit * static_cast<float>(bucket) / kBuckets - kScoreLimit - kMargin;
    const auto next = std::upper_bound(column.lower.begin() + 1, column.lower.end(), begin);
    first_segment_.push_back(static_cast<int32_t>(next - column.lower.begin()) - 1);
  }
  const bool is_whole = is_integer(column.storage);
  least_ = is_whole ? static_cast<double>(column.base.front()) : column.real_base.front();
  greatest_ = is_whole ? static_cast<double>(column.base.back() + (column.width.back() - 1)) : column.real_top.back();
  least_score_ = score_of(value_at(-kScoreLimit));
  greatest_score_ = score_of(value_at(kScoreLimit));
}

int64_t MixtureColumn::key_of(const SampledValue& value) const {
  if (is_integer(storage())) return value.integer;
  const double real = storage() == Storage::kFloat32 ? static_cast<double>(static_cast<float>(value.real)) : value.real;
  return std::bit_cast<int64_t>(real + 0.0);  // of both zeros the positive one
}

int32_t MixtureColumn::part_of(const SampledValue& value) const {
  if (value.is_missing) return missing_part_;
  if (variable() < 0) return 0;
  const auto found = part_of_value_.find(key_of(value));
  return found != part_of_value_.end() ? found->second : latent_part_;
}

double MixtureColumn::upper(size_t segment) const {
  return segment + 1 < column_->lower.size() ? column_->lower[segment + 1] : kInfinity;
}

ScoreInterval MixtureColumn::integer_interval(int64_t value) const {
  const auto next = std::upper_bound(column_->base.begin(), column_->base.end(), value);
  if (next == column_->base.begin()) return {-kInfinity, -kInfinity};
  const auto segment = static_cast<size_t>(next - column_->base.begin()) - 1;
  // Two numbers of int64 may lie further apart than int64 reaches.
  const uint64_t distance = static_cast<uint64_t>(value) - static_cast<uint64_t>(column_->base[segment]);
  const int64_t last = column_->width[segment] - 1;
  const double lower = column_->lower[segment], end = upper(segment), scale = column_->scale[segment];
  if (distance > static_cast<uint64_t>(last)) return {end, end};
  const auto step = static_cast<int64_t>(distance);
  const auto edge = [&](int64_t steps) {
    return scale > 0 ? std::min(end, lower + static_cast<double>(steps) / scale) : end;
  };
  const double low = step > 0 ? edge(step) : segment > 0 ? lower : -kInfinity;
  return {low, step < last ? edge(step + 1) : end};
}

ScoreInterval MixtureColumn::real_interval(double value) const {
  const auto next = std::upper_bound(column_->real_base.begin(), column_->real_base.end(), value);
  if (next == column_->real_base.begin()) return {-kInfinity, -kInfinity};
  const auto segment = static_cast<size_t>(next - column_->real_base.begin()) - 1;
  const double base = column_->real_base[segment], top = column_->real_top[segment];
  const double lower = column_->lower[segment], end = upper(segment), slope = column_->real_slope[segment];
  if (value > top) return {end, end};
  const double begin = segment > 0 ? lower : -kInfinity;
  if (base == top) return {begin, end};
  if (value == base) return {begin, lower};
  const double z = slope > 0 ? std::min(end, lower + (value - base) / slope) : end;
  return {z, value < top ? z : end};
}

ScoreInterval MixtureColumn::interval_of(const SampledValue& value) const {
  return is_integer(storage()) ? integer_interval(value.integer) : real_interval(value.real);
}

double MixtureColumn::value_as_real(const SampledValue& value) const {
  return is_integer(storage()) ? static_cast<double>(value.integer) : value.real;
}

double MixtureColumn::extrapolated(double value) const {
  const double slope = greatest_ > least_ ? (greatest_score_ - least_score_) / (greatest_ - least_) : 0;
  const double score =
      value < least_ ? least_score_ - (least_ - value) * slope : greatest_score_ + (value - greatest_) * slope;
  return std::clamp(score, -double{kScoreLimit}, double{kScoreLimit});
}

double MixtureColumn::score_of(const SampledValue& value) const {
  const ScoreInterval interval = interval_of(value);
  if (interval.low == interval.high)
    return std::isinf(interval.low) ? extrapolated(value_as_real(value)) : interval.low;
  const double boundaries[] = {interval.low, interval.high};
  return std::clamp(mean_scores(boundaries)[0], -double{kScoreLimit}, double{kScoreLimit});
}

// The last that begins at or below z, which is within the axis.
size_t MixtureColumn::segment_of(float z) const {
  if (first_segment_.empty()) return 0;
  const auto bucket = static_cast<size_t>((z + kScoreLimit) * (kBuckets / (2 * kScoreLimit)));
  auto segment = static_cast<size_t>(first_segment_[std::min(bucket, kBuckets - 1)]);
  while (segment + 1 < column_->lower.size() && column_->lower[segment + 1] <= z) ++segment;
  return segment;
}

SampledValue MixtureColumn::value_at(float z) const {
  z = std::clamp(z, -kScoreLimit, kScoreLimit);
  const size_t segment = segment_of(z);
  const float offset = z - column_->lower[segment];
  SampledValue value;
  if (storage() == Storage::kInt32) {
    const float steps = std::trunc(offset * static_cast<float>(column_->scale[segment]));
    const auto last = static_cast<float>(column_->width[segment] - 1);
    value.integer = column_->base[segment] + static_cast<int64_t>(std::clamp(steps, 0.0f, last));
  } else if (storage() == Storage::kInt64) {
    const double steps = std::trunc(static_cast<double>(offset) * column_->scale[segment]);
    const auto last = static_cast<double>(column_->width[segment] - 1);
    value.integer = column_->base[segment] + static_cast<int64_t>(std::clamp(steps, 0.0, last));
  } else if (storage() == Storage::kFloat32) {
    const auto base = static_cast<float>(column_->real_base[segment]);
    value.real =
        static_cast<double>(std::clamp(std::fma(offset, static_cast<float>(column_->real_slope[segment]), base), base,
                                       static_cast<float>(column_->real_top[segment])));
  } else {
    const double base = column_->real_base[segment];
    value.real = std::clamp(std::fma(static_cast<double>(offset), column_->real_slope[segment], base), base,
                            column_->real_top[segment]);
  }
  return value;
}

StateTree::StateTree(const Emission& emission) : states_(emission.states), above_(emission.above) {
  first_.push_back(0);
  std::vector<std::vector<std::pair<int32_t, double>>> of_state(static_cast<size_t>(states_));
  for (size_t node = 0; node < above_.size(); ++node) {
    up_.push_back(0);
    for (const auto& [state, probability] :
         outcome_probabilities(emission.table, emission.first[node], emission.first[node + 1])) {
      if (state == Emission::kAbove) {
        up_.back() = probability;
      } else if (probability > 0) {
        state_.push_back(state);
        probability_.push_back(probability);
        of_state[static_cast<size_t>(state)].emplace_back(static_cast<int32_t>(node), probability);
      }
    }
    first_.push_back(static_cast<int64_t>(state_.size()));
  }
  first_of_state_.push_back(0);
  for (const auto& entries : of_state) {
    for (const auto& [node, probability] : entries) {
      node_of_entry_.push_back(node);
      probability_of_entry_.push_back(probability);
    }
    first_of_state_.push_back(static_cast<int64_t>(node_of_entry_.size()));
  }
}

void StateTree::find_probabilities(std::span<const int32_t> states, std::span<double> probability) const {
  std::fill(probability.begin(), probability.end(), 0);
  for (const int32_t state : states) {
    const auto end = static_cast<size_t>(first_of_state_[static_cast<size_t>(state) + 1]);
    for (auto i = static_cast<size_t>(first_of_state_[static_cast<size_t>(state)]); i < end; ++i)
      probability[static_cast<size_t>(node_of_entry_[i])] += probability_of_entry_[i];
  }
  for (size_t node = nodes(); node-- > 0;)  // the nodes above have greater numbers
    if (above_[node] >= 0) probability[node] += up_[node] * probability[static_cast<size_t>(above_[node])];
}

void StateTree::find_states(int32_t member, std::span<double> probability) const {
  std::fill(probability.begin(), probability.end(), 0);
  double share = 1;
  for (int32_t node = member; node >= 0 && share > 0; share *= up(node), node = above(node)) {
    const auto states = own_states(node);
    const auto own = own_probabilities(node);
    for (size_t i = 0; i < states.size(); ++i) probability[static_cast<size_t>(states[i])] += share * own[i];
  }
}

MixtureView::MixtureView(const TableRecipe& recipe_)
    : recipe(recipe_), members(recipe_.sampler.members), latents(recipe_.sampler.latents) {
  const TableSampler& sampler = recipe.sampler;
  if (!sampler.is_mixture()) throw InputError("the model is no mixture: it has no closed-form density");
  const auto m = static_cast<size_t>(members), n = static_cast<size_t>(latents);
  const auto k = static_cast<size_t>(sampler.components);
  weight.resize(m);
  for (const auto& [member, probability] :
       outcome_probabilities(sampler.member, 0, static_cast<int64_t>(sampler.member.threshold.size())))
    weight[static_cast<size_t>(member)] = probability;
  mean.assign(sampler.mean.begin(), sampler.mean.end());
  // Woodbury's identity keeps its digits as long as no noise is small beside the latents' variance of about 1.
  constexpr float kLeastNoise = 0.01f;
  const auto least = std::min_element(sampler.residual.begin(), sampler.residual.end());
  if (2 * k <= n && *least >= kLeastNoise) {
    factor.assign(sampler.factor.begin(), sampler.factor.end());
    for (const float deviation : sampler.residual)
      residual.push_back(static_cast<double>(deviation) * static_cast<double>(deviation));
  } else {
    covariance.resize(m * n * n);
  }
  for (size_t member = 0; member < m && !is_low_rank(); ++member)
    for (size_t i = 0; i < n; ++i)
      for (size_t j = 0; j <= i; ++j) {
        const float *a = &sampler.factor[(member * n + i) * k], *b = &sampler.factor[(member * n + j) * k];
        double sum = 0;
        for (size_t c = 0; c < k; ++c) sum += static_cast<double>(a[c]) * static_cast<double>(b[c]);
        const auto noise = static_cast<double>(sampler.residual[member * n + i]);
        if (i == j) sum += noise * noise;
        covariance[(member * n + i) * n + j] = covariance[(member * n + j) * n + i] = sum;
      }
  for (const Emission& emission : sampler.emissions) variables.emplace_back(emission);
  columns_of_variable.resize(variables.size());
  std::vector<bool> is_taken(n);
  for (size_t c = 0; c < sampler.columns.size(); ++c) {
    const MixtureColumn& column = columns.emplace_back(sampler.columns[c]);
    if (column.variable() >= 0)
      columns_of_variable[static_cast<size_t>(column.variable())].push_back(static_cast<int32_t>(c));
    if (column.latent() < 0) continue;
    if (is_taken[static_cast<size_t>(column.latent())])
      throw InputError("two of the model's columns share a latent: it has no closed-form density");
    is_taken[static_cast<size_t>(column.latent())] = true;
  }
}

double MixtureView::variance(size_t member, size_t latent) const {
  const auto n = static_cast<size_t>(latents), k = static_cast<size_t>(recipe.sampler.components);
  const size_t at = member * n + latent;
  if (!is_low_rank()) return covariance[at * n + latent];
  double sum = residual[at];
  for (size_t c = 0; c < k; ++c) sum += factor[at * k + c] * factor[at * k + c];
  return sum;
}

}  // namespace doppel
