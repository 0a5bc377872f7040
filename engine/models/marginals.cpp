#include "engine/models/marginals.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "engine/models/score_axis.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr double kTailShare = 0.05;  // of the probability left in a tail: what smoothing may move there
constexpr int64_t kWidest32 = int64_t{1} << 24,
                  kWidest64 = int64_t{1} << 50;  // a score must reach every value of a segment

struct Run {
  size_t first, last;  // distinct values [first, last]
};

// Bounds on where the line of one run may pass: at value v the score is within [low, high].
class Cone {
 public:
  Cone(double value, double score) : value_(value), score_(score) {}
  void pass(double value, double low, double high) {
    const double distance = value - value_;
    if (distance <= 0) return;
    least_ = std::max(least_, (low - score_) / distance);
    greatest_ = std::min(greatest_, (high - score_) / distance);
  }
  bool holds(double value, double score) const {
    const double slope = (score - score_) / (value - value_);
    return slope >= least_ && slope <= greatest_;
  }
  bool is_empty() const { return !(least_ <= greatest_); }

 private:
  double value_, score_;
  double least_ = 0, greatest_ = std::numeric_limits<double>::infinity();
};

// Distinct values as intervals of the score axis. `step` is 1 where a value v owns [v, v + 1) and 0 where it is a
// point.
class Smoother {
 public:
  Smoother(std::span<const double> values, std::span<const int64_t> counts, double step, double widest)
      : values_(values),
        step_(step),
        widest_(widest),
        boundaries_(score_boundaries(counts)),
        reach_(boundaries_.size()) {
    for (size_t i = 0; i < boundaries_.size(); ++i) {
      const double z = boundaries_[i], tail = normal_cdf(-std::abs(z));
      if (tail > 0) reach_[i] = std::min(kSmoothing, kTailShare * tail) / normal_density(z);
      boundaries_[i] = std::clamp(z, -double{kScoreLimit}, double{kScoreLimit});
    }
  }

  const std::vector<double>& boundaries() const { return boundaries_; }

  std::vector<Run> runs() const {
    std::vector<Run> runs;
    for (size_t first = 0; first < values_.size(); first = runs.back().last + 1)
      runs.push_back({first, run_end(first)});
    return runs;
  }

 private:
  double low(size_t boundary) const { return boundaries_[boundary] - reach_[boundary]; }
  double high(size_t boundary) const { return boundaries_[boundary] + reach_[boundary]; }

  // A point that holds more than smoothing may move is a jump of the distribution function.
  bool is_jump(size_t i) const { return step_ == 0 && low(i + 1) > high(i); }

  // The last value of the longest run from `first` that keeps within the bounds.
  size_t run_end(size_t first) const {
    size_t end = first;
    if (is_jump(first) || !std::isfinite(values_[first])) return end;
    Cone cone(values_[first], boundaries_[first]);
    for (size_t i = first + 1; i < values_.size(); ++i) {
      // Boundary i lies between value i - 1 and value i, and so do the ends of what they own.
      cone.pass(values_[i - 1] + step_, low(i), high(i));
      if (is_jump(i) || cone.is_empty() || !(values_[i] - values_[first] < widest_)) break;
      cone.pass(values_[i], low(i), high(i));
      if (cone.holds(values_[i] + step_, boundaries_[i + 1])) end = i;
    }
    return end;
  }

  std::span<const double> values_;
  double step_, widest_;
  std::vector<double> boundaries_;  // [values + 1], clamped to the score limit
  std::vector<double> reach_;       // how far a boundary may move
};

// Collects the segments of one column. A segment without room between its bounds, which are floats, gives way to the
// next.
class SegmentWriter {
 public:
  explicit SegmentWriter(ColumnSampler& column) : column_(column) {}
  void add_integers(double lower, double upper, int64_t base, int64_t width) {
    if (!open(lower, upper)) return;
    column_.base.push_back(base);
    column_.width.push_back(width);
    column_.scale.push_back(static_cast<double>(width) / length_);
  }
  void add_reals(double lower, double upper, double base, double top) {
    if (!open(lower, upper)) return;
    column_.real_base.push_back(base);
    column_.real_top.push_back(top);
    column_.real_slope.push_back(top > base && top - base < kHuge ? (top - base) / length_ : 0);
  }

 private:
  static constexpr double kHuge = 1e300;

  bool open(double lower, double upper) {
    const float from = column_.lower.empty() ? -kScoreLimit : static_cast<float>(lower), to = static_cast<float>(upper);
    if (!(from < to)) return false;
    column_.lower.push_back(from);
    length_ = static_cast<double>(to) - static_cast<double>(from);
    return true;
  }

  ColumnSampler& column_;
  double length_ = 1;
};

bool fits_int32(int64_t low, int64_t high) {
  return low >= std::numeric_limits<int32_t>::min() && high <= std::numeric_limits<int32_t>::max();
}

// Whether all values differ by multiples of a number above 1.
bool has_stride(const std::vector<int64_t>& values) {
  uint64_t divisor = 0;
  for (size_t i = 1; i < values.size() && divisor != 1; ++i)
    divisor = std::gcd(divisor, static_cast<uint64_t>(values[i]) - static_cast<uint64_t>(values[i - 1]));
  return divisor > 1;
}

std::vector<Run> single_values(size_t count) {
  std::vector<Run> runs(count);
  for (size_t i = 0; i < count; ++i) runs[i] = {i, i};
  return runs;
}

void add_whole_numbers(const Distribution& distribution, ColumnSampler& column) {
  const std::vector<int64_t>& quanta = distribution.quanta;
  const std::vector<double> values(quanta.begin(), quanta.end());
  const int64_t widest = column.storage == Storage::kInt32 ? kWidest32 : kWidest64;
  const Smoother smoother(values, distribution.counts, 1, static_cast<double>(widest));
  const bool keeps_values = distribution.exact && (quanta.size() <= kExactSegments || has_stride(quanta));
  SegmentWriter writer(column);
  for (const Run& run : keeps_values ? single_values(quanta.size()) : smoother.runs()) {
    writer.add_integers(smoother.boundaries()[run.first], smoother.boundaries()[run.last + 1], quanta[run.first],
                        quanta[run.last] - quanta[run.first] + 1);
  }
}

void add_reals(const Distribution& distribution, ColumnSampler& column) {
  const std::vector<double>& reals = distribution.reals;
  const Smoother smoother(reals, distribution.counts, 0, std::numeric_limits<double>::infinity());
  const bool keeps_values = distribution.exact && reals.size() <= kExactSegments;
  SegmentWriter writer(column);
  for (const Run& run : keeps_values ? single_values(reals.size()) : smoother.runs())
    writer.add_reals(smoother.boundaries()[run.first], smoother.boundaries()[run.last + 1], reals[run.first],
                     reals[run.last]);
}

void add_levels(const std::vector<int64_t>& counts, std::span<const int32_t> order, ColumnSampler& column) {
  std::vector<int64_t> ordered;
  for (const int32_t code : order) ordered.push_back(counts[code]);
  const std::vector<double> boundaries = score_boundaries(ordered);
  SegmentWriter writer(column);
  for (size_t i = 0; i < order.size(); ++i) {
    if (ordered[i] > 0)
      writer.add_integers(boundaries[i], std::min(boundaries[i + 1], double{kScoreLimit}), order[i], 1);
  }
}

}  // namespace

Storage storage_of(const ColumnSchema& schema, const Distribution& distribution) {
  if (schema.kind == ColumnKind::kReal)
    return schema.source == SourceType::kFloat32 ? Storage::kFloat32 : Storage::kFloat64;
  const std::vector<int64_t>& quanta = distribution.quanta;
  return quanta.empty() || fits_int32(quanta.front(), quanta.back()) ? Storage::kInt32 : Storage::kInt64;
}

ColumnSampler make_marginal(const ColumnSchema& schema, const ColumnProfile& profile, std::span<const int32_t> order) {
  ColumnSampler column;
  column.storage = storage_of(schema, profile.distribution);
  if (is_discrete(schema.kind) && profile.present > 0) {
    add_levels(profile.level_counts, order, column);
  } else if (is_numeric(schema.kind) && !profile.distribution.quanta.empty()) {
    add_whole_numbers(profile.distribution, column);
  } else if (is_numeric(schema.kind) && !profile.distribution.reals.empty()) {
    add_reals(profile.distribution, column);
  } else {
    SegmentWriter(column).add_integers(-double{kScoreLimit}, double{kScoreLimit}, 0, 1);
  }
  return column;
}

ColumnSampler make_linear(const ColumnSchema& schema, const Distribution& distribution, double mean, double deviation) {
  ColumnSampler column;
  column.storage = storage_of(schema, distribution);
  column.transform = Transform::kLinear;
  column.mean = mean;
  column.deviation = deviation;
  if (schema.kind == ColumnKind::kReal) {
    column.minimum = distribution.reals.front();
    column.maximum = distribution.reals.back();
  } else {
    column.minimum = static_cast<double>(distribution.quanta.front());
    column.maximum = static_cast<double>(distribution.quanta.back());
  }
  return column;
}

}  // namespace doppel
