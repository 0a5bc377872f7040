#include "engine/models/mixture/latent_limit.h"

#include <bit>
#include <cmath>
#include <limits>

#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr float kNoBound = std::numeric_limits<float>::infinity();

// Floats as integers in the same order.
int32_t rank_of(float x) {
  const auto bits = std::bit_cast<int32_t>(x);
  return bits < 0 ? std::numeric_limits<int32_t>::min() - bits : bits;
}
float float_of_rank(int32_t rank) {
  return std::bit_cast<float>(rank < 0 ? std::numeric_limits<int32_t>::min() - rank : rank);
}

// The least float in [low, high) that satisfies a property which, from some point on, all do; high if none does.
template <class Property>
float first_that(float low, float high, Property property) {
  int64_t from = rank_of(low), to = rank_of(high);
  while (from < to) {
    const int64_t middle = from + (to - from) / 2;
    property(float_of_rank(static_cast<int32_t>(middle))) ? to = middle : from = middle + 1;
  }
  return float_of_rank(static_cast<int32_t>(to));
}

int64_t number_in(const SampledValue& value, const ValueRange<int64_t>&) {
  return value.integer;
}
double number_in(const SampledValue& value, const ValueRange<double>&) {
  return value.real;
}

// The scores of one segment whose values are within the range, added to the spans.
template <class Number>
void add_span(const MixtureColumn& column, float low, float high, const ValueRange<Number>& range,
              std::vector<ScoreSpan>& spans) {
  const auto value_at = [&](float z) { return number_in(column.value_at(z), range); };
  const float from = first_that(low, high, [&](float z) { return value_at(z) >= range.least; });
  const float to = first_that(from, high, [&](float z) { return value_at(z) > range.greatest; });
  if (!(from < to)) return;
  const float begin = from == -kScoreLimit ? -kNoBound : from, end = to > kScoreLimit ? kNoBound : to;
  if (!spans.empty() && spans.back().high == begin) {
    spans.back().high = end;
  } else {
    spans.push_back({begin, end});
  }
}

template <class Number>
std::vector<ScoreSpan> spans_of(const ColumnSampler& sampler, const MixtureColumn& column,
                                const std::vector<ValueRange<Number>>& ranges) {
  const float end_of_axis = std::nextafter(kScoreLimit, kNoBound);
  std::vector<ScoreSpan> spans;
  for (size_t s = 0; s < sampler.lower.size(); ++s) {
    const float low = sampler.lower[s], high = s + 1 < sampler.lower.size() ? sampler.lower[s + 1] : end_of_axis;
    for (const auto& range : ranges) add_span(column, low, high, range, spans);
  }
  return spans;
}

// Ranges of single real numbers that the latent spreads over: no probability, but a density.
std::vector<double> points_of(const ColumnSampler& sampler, std::vector<ValueRange<double>>& ranges) {
  std::vector<double> points;
  std::erase_if(ranges, [&](const ValueRange<double>& range) {
    if (range.least != range.greatest) return false;
    for (size_t s = 0; s < sampler.lower.size(); ++s) {
      const double base = sampler.real_base[s], top = sampler.real_top[s];
      if (range.least == base && base == top) return false;
      if (base <= range.least && range.least <= top && base < top) points.push_back(range.least);
    }
    return true;
  });
  return points;
}

}  // namespace

LatentUse limit_latent(const ColumnSchema& schema, const ColumnSampler& sampler, const MixtureColumn& column,
                       const ColumnCondition& condition, bool other_values, LatentLimit& limit) {
  if (schema.kind == ColumnKind::kKey || schema.kind == ColumnKind::kText)
    return condition.allows_text ? LatentUse::kFree : LatentUse::kForbidden;
  if (column.latent() < 0) {
    const SampledValue only = column.value_at(0);
    const bool is_met = is_integer(sampler.storage) ? condition.allows(only.integer) : condition.allows(only.real);
    return is_met ? LatentUse::kFree : LatentUse::kForbidden;
  }
  limit.latent = column.latent();
  if (is_integer(sampler.storage)) {
    limit.spans = spans_of(sampler, column, condition.quanta);
  } else {
    std::vector<ValueRange<double>> ranges = condition.reals;
    const std::vector<double> points = points_of(sampler, ranges);
    limit.spans = spans_of(sampler, column, ranges);
    if (limit.spans.empty() && !other_values && !points.empty()) {
      if (points.size() > 1)
        throw UsageError("--where: column '" + schema.name +
                         "' holds real numbers, of which single values have no probability: give one, or ranges");
      SampledValue value;
      value.real = limit.value = points[0];
      const ScoreInterval place = column.interval_of(value);
      limit.point = std::isfinite(place.low) ? place.low : place.high;
      return LatentUse::kLimited;
    }
  }
  if (limit.spans.empty()) return LatentUse::kForbidden;
  return limit.spans == std::vector<ScoreSpan>{{-kNoBound, kNoBound}} ? LatentUse::kFree : LatentUse::kLimited;
}

}  // namespace doppel
