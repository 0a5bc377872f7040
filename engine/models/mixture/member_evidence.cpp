#include "engine/models/mixture/member_evidence.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

#include "kernels/common/elementary.h"

namespace doppel {
namespace {

constexpr double kLeastPivot = 1e-10;  // the variance of a latent given the others before it

bool leaves_part(const MixtureColumn& column, int32_t known, int32_t part) {
  if (known == kUnknownPart) return true;
  if (known == kAnyValue) return part != column.missing_part();
  return known == part;
}

int64_t bytes_of(const std::vector<double>& values) {
  return static_cast<int64_t>(values.size() * sizeof(double));
}

}  // namespace

void factorise_by_hand(std::span<double> a, size_t n) {
  for (size_t j = 0; j < n; ++j) {
    for (size_t i = j; i < n; ++i) {
      double sum = a[i * n + j];
      for (size_t k = 0; k < j; ++k) sum -= a[i * n + k] * a[j * n + k];
      a[i * n + j] = i == j ? std::sqrt(std::max(sum, kLeastPivot)) : sum / a[j * n + j];
    }
    for (size_t i = 0; i < j; ++i) a[i * n + j] = 0;
  }
}

StateEvidences::StateEvidences(const MixtureView& view, double floor)
    : view_(view), floor_(floor), kept_(view.variables.size()), states_of_part_(view.variables.size()) {
  for (size_t v = 0; v < view.variables.size(); ++v) {
    if (view.columns_of_variable[v].size() != 1) continue;
    const MixtureColumn& column = view.columns[static_cast<size_t>(view.columns_of_variable[v][0])];
    states_of_part_[v].resize(column.parts().size());
    for (int32_t state = 0; state < view.variables[v].states(); ++state)
      states_of_part_[v][static_cast<size_t>(column.part_of_state(state))].push_back(state);
  }
}

size_t StateEvidences::Hash::operator()(const std::vector<int32_t>& parts) const {
  uint64_t hash = 0;
  for (const int32_t part : parts) {
    hash = (hash ^ static_cast<uint32_t>(part)) * 0x9e3779b97f4a7c15;
    hash ^= hash >> 32;
  }
  return hash;
}

const StateEvidence& StateEvidences::find(size_t variable, std::span<const int32_t> parts) {
  key_.assign(parts.begin(), parts.end());
  auto& kept = kept_[variable];
  const auto found = kept.find(key_);
  if (found != kept.end()) return found->second;
  const StateEvidence& evidence = kept.emplace(key_, make(variable, parts)).first->second;
  bytes_ += 3 * bytes_of(evidence.probability) + bytes_of(evidence.node_probability);
  return evidence;
}

void StateEvidences::forget() {
  for (auto& kept : kept_) kept.clear();
  bytes_ = 0;
}

bool StateEvidences::leaves(size_t variable, std::span<const int32_t> parts, int32_t state) const {
  const std::vector<int32_t>& columns = view_.columns_of_variable[variable];
  for (size_t i = 0; i < columns.size(); ++i) {
    const MixtureColumn& column = view_.columns[static_cast<size_t>(columns[i])];
    if (!leaves_part(column, parts[i], column.part_of_state(state))) return false;
  }
  return true;
}

std::vector<int32_t> StateEvidences::states_left(size_t variable, std::span<const int32_t> parts) const {
  if (parts.size() == 1 && parts[0] == MixtureColumn::kNeverSeen) return {};
  if (parts.size() == 1 && parts[0] >= 0) return states_of_part_[variable][static_cast<size_t>(parts[0])];
  std::vector<int32_t> states;
  for (int32_t state = 0; state < view_.variables[variable].states(); ++state)
    if (leaves(variable, parts, state)) states.push_back(state);
  return states;
}

StateEvidence StateEvidences::make(size_t variable, std::span<const int32_t> parts) const {
  const StateTree& tree = view_.variables[variable];
  const auto members = static_cast<size_t>(view_.members);
  StateEvidence evidence;
  const std::vector<int32_t> states = states_left(variable, parts);
  evidence.node_probability.assign(tree.nodes(), 1);
  if (states.size() < static_cast<size_t>(tree.states())) tree.find_probabilities(states, evidence.node_probability);
  const std::span<const double> probability = std::span(evidence.node_probability).first(members);
  evidence.is_possible = std::any_of(probability.begin(), probability.end(), [](double p) { return p > 0; });
  double share = 0;
  for (size_t m = 0; m < members; ++m) {
    const double p = probability[m];
    share += view_.weight[m] * p;
    evidence.probability.push_back(evidence.is_possible ? std::max(p, kLeastProbability) : floor_);
    evidence.inverse_probability.push_back(1 / evidence.probability.back());
    evidence.log_probability.push_back(log_of_positive(evidence.probability.back()));
  }
  evidence.log_share = log_of_positive(std::max(share, floor_));
  return evidence;
}

const LatentPattern& LatentPatterns::find(const std::vector<int32_t>& known) {
  const auto found = kept_.find(known);
  if (found != kept_.end()) return found->second;
  const LatentPattern& pattern = kept_.emplace(known, make(known)).first->second;
  bytes_ += bytes_of(pattern.whitening) + bytes_of(pattern.offset) + 2 * bytes_of(pattern.precision) +
            bytes_of(pattern.constant);
  return pattern;
}

const LatentConditional& LatentPatterns::conditional(const LatentPattern& pattern, int32_t member) {
  const std::pair key(&pattern, member);
  const auto found = conditionals_.find(key);
  if (found != conditionals_.end()) return found->second;
  const LatentConditional& conditional = conditionals_.emplace(key, make_conditional(pattern, member)).first->second;
  bytes_ += bytes_of(conditional.gain) + bytes_of(conditional.factor);
  return conditional;
}

void LatentPatterns::forget() {
  kept_.clear();
  conditionals_.clear();
  bytes_ = 0;
}

LatentPattern LatentPatterns::make(const std::vector<int32_t>& known) const {
  const auto members = static_cast<size_t>(view_.members), latents = static_cast<size_t>(view_.latents);
  const size_t k = known.size();
  LatentPattern pattern;
  pattern.known = known;
  for (int32_t j = 0; j < view_.latents; ++j)
    if (!std::binary_search(known.begin(), known.end(), j)) pattern.unknown.push_back(j);
  pattern.constant.resize(members);
  pattern.offset.resize(k * members);
  pattern.precision.resize(k * members);
  pattern.whitening.resize(k * (k + 1) / 2 * members);
  const double log_two_pi = log_of_positive(2 * std::numbers::pi);
  std::vector<double> lower(k * k);
  for (size_t m = 0; m < members; ++m) {
    const double* covariance = &view_.covariance[m * latents * latents];
    const double* mean = &view_.mean[m * latents];
    for (size_t i = 0; i < k; ++i)
      for (size_t j = 0; j < k; ++j)
        lower[i * k + j] = covariance[static_cast<size_t>(known[i]) * latents + static_cast<size_t>(known[j])];
    factorise_by_hand(lower, k);
    const std::vector<double> inverse = invert_lower(lower, k);
    double constant = -0.5 * log_two_pi * static_cast<double>(k);
    size_t at = m;
    for (size_t i = 0; i < k; ++i) {
      constant -= log_of_positive(lower[i * k + i]);
      double offset = 0;
      for (size_t j = 0; j <= i; ++j, at += members) {
        const double w = inverse[i * k + j];
        pattern.whitening[at] = w;
        pattern.precision[j * members + m] += w * w;
        offset += w * mean[known[j]];
      }
      pattern.offset[i * members + m] = offset;
    }
    pattern.constant[m] = constant;
  }
  for (const double precision : pattern.precision)
    pattern.conditional_constant.push_back(0.5 * (log_of_positive(precision) - log_two_pi));
  return pattern;
}

LatentConditional LatentPatterns::make_conditional(const LatentPattern& pattern, int32_t member) const {
  const auto members = static_cast<size_t>(view_.members), latents = static_cast<size_t>(view_.latents);
  const auto m = static_cast<size_t>(member);
  const size_t k = pattern.known.size(), u = pattern.unknown.size();
  const double* covariance = &view_.covariance[m * latents * latents];
  const auto between = [&](int32_t i, int32_t j) {
    return covariance[static_cast<size_t>(i) * latents + static_cast<size_t>(j)];
  };
  const auto w = [&](size_t i, size_t j) { return pattern.whitening[(i * (i + 1) / 2 + j) * members + m]; };
  // cross = covariance_UK W^T, so that covariance_UK covariance_KK^-1 = cross W and what the known latents explain of
  // the unknown ones is cross cross^T.
  std::vector<double> cross(u * k);
  LatentConditional conditional;
  conditional.gain.resize(u * k);
  conditional.factor.resize(u * u);
  for (size_t i = 0; i < u; ++i) {
    for (size_t a = 0; a < k; ++a)
      for (size_t b = 0; b <= a; ++b) cross[i * k + a] += between(pattern.unknown[i], pattern.known[b]) * w(a, b);
    for (size_t a = 0; a < k; ++a)
      for (size_t b = 0; b <= a; ++b) conditional.gain[i * k + b] += cross[i * k + a] * w(a, b);
    for (size_t j = 0; j <= i; ++j) {
      double sum = between(pattern.unknown[i], pattern.unknown[j]);
      for (size_t a = 0; a < k; ++a) sum -= cross[i * k + a] * cross[j * k + a];
      conditional.factor[i * u + j] = conditional.factor[j * u + i] = sum;
    }
  }
  factorise_by_hand(conditional.factor, u);
  return conditional;
}

}  // namespace doppel
