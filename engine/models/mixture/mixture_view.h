// A mixture as the density that its sampler draws from: the parameters read back off a TableSampler, and for each
// column the inverse of its transform. What conditions, imputation and scores start from.
//
// A column's value says one thing of the state of its variable (its "part": this special value, missing, or "the latent
// gives the value") and, in the latter case or where the column has no variable, in which interval of the score axis
// its latent lies.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "engine/density.h"
#include "engine/table_generator.h"
#include "kernels/table.h"

namespace doppel {

// low <= z < high, or the point low == high. The outermost values reach to infinity.
struct ScoreInterval {
  double low = 0, high = 0;
};

// One column of the sampler.
class MixtureColumn {
 public:
  static constexpr int32_t kNeverSeen = -1;
  // What the column can be by its variable. Equal parts of different states are one.
  struct Part {
    StateRole role = StateRole::kValue;
    SampledValue value;  // kValue, kMissing
  };

  // Throws InputError where the column is none of a mixture's (gaps by a latent, a linear transform).
  explicit MixtureColumn(const ColumnSampler& column);

  int32_t variable() const { return column_->emission; }  // -1: none
  int32_t latent() const { return latent_; }              // -1: none, it is constant apart from its states
  Storage storage() const { return column_->storage; }
  const std::vector<Part>& parts() const { return parts_; }
  int32_t part_of_state(int32_t state) const { return part_of_state_[static_cast<size_t>(state)]; }
  int32_t missing_part() const { return missing_part_; }  // kNeverSeen: it is never missing
  int32_t latent_part() const { return latent_part_; }    // kNeverSeen: no state leaves the value to the latent

  // The part that a value is. kNeverSeen: no state makes it, and so where the column has no variable and is missing.
  // Where there is no variable, and the value is there: 0.
  int32_t part_of(const SampledValue& value) const;

  // Where on the axis the transform gives this value: a point for most real numbers. A value between two neighbours
  // that the transform gives is the point between them; values beyond the range are at minus or plus infinity.
  ScoreInterval interval_of(const SampledValue& value) const;
  // One score for a value. Of an interval, the mean of the standard normal within it: the axis is close to one, and
  // over a short interval that is its middle. Beyond the range the axis goes on with its average slope over the whole
  // range, up to kScoreLimit.
  double score_of(const SampledValue& value) const;
  // The transform itself (kernels/table.h).
  SampledValue value_at(float z) const;

 private:
  int64_t key_of(const SampledValue& value) const;
  ScoreInterval integer_interval(int64_t value) const;
  ScoreInterval real_interval(double value) const;
  double upper(size_t segment) const;
  size_t segment_of(float z) const;
  double value_as_real(const SampledValue& value) const;
  double extrapolated(double value) const;

  const ColumnSampler* column_;
  int32_t latent_ = -1, missing_part_ = kNeverSeen, latent_part_ = kNeverSeen;
  std::vector<Part> parts_;
  std::vector<int32_t> part_of_state_;
  std::unordered_map<int64_t, int32_t> part_of_value_;
  // [kBuckets] A segment that begins below each of as many parts of the axis, and hardly earlier.
  static constexpr size_t kBuckets = 1024;
  std::vector<int32_t> first_segment_;
  // The ends of the range: values and scores.
  double least_ = 0, greatest_ = 0, least_score_ = 0, greatest_score_ = 0;
};

// A variable's distributions: P(state | node) = own probability + up[node] * P(state | the node above).
class StateTree {
 public:
  explicit StateTree(const Emission& emission);
  int32_t states() const { return states_; }
  size_t nodes() const { return up_.size(); }

  // P(one of these states | node) of each node, to probability [nodes]. The states are distinct.
  void find_probabilities(std::span<const int32_t> states, std::span<double> probability) const;
  // P(state | member) of each state, to probability [states].
  void find_states(int32_t member, std::span<double> probability) const;

  // A node's own outcomes (states ascending), and the rest of its probability.
  std::span<const int32_t> own_states(int32_t node) const { return of_node(state_, node); }
  std::span<const double> own_probabilities(int32_t node) const { return of_node(probability_, node); }
  double up(int32_t node) const { return up_[static_cast<size_t>(node)]; }
  int32_t above(int32_t node) const { return above_[static_cast<size_t>(node)]; }

 private:
  template <class Value>
  std::span<const Value> of_node(const std::vector<Value>& values, int32_t node) const {
    const auto begin = static_cast<size_t>(first_[static_cast<size_t>(node)]);
    return std::span(values).subspan(begin, static_cast<size_t>(first_[static_cast<size_t>(node) + 1]) - begin);
  }

  int32_t states_;
  std::vector<int32_t> above_;
  std::vector<double> up_;
  std::vector<int64_t> first_;  // [nodes + 1] entries of a node
  std::vector<int32_t> state_;
  std::vector<double> probability_;
  // The same entries by state.
  std::vector<int64_t> first_of_state_;  // [states + 1]
  std::vector<int32_t> node_of_entry_;
  std::vector<double> probability_of_entry_;
};

// The whole mixture. Refers to the recipe, which must outlive it.
struct MixtureView {
  const TableRecipe& recipe;
  int32_t members, latents;
  std::vector<double> weight;  // [members] sums to 1
  std::vector<double> mean;    // [members, latents]
  // Covariances factor factor^T + diag(residual) of low rank, where every latent has a noise of its own and they save
  // anything; else empty.
  std::vector<double> factor;      // [members, latents, components]
  std::vector<double> residual;    // [members, latents] variances
  std::vector<double> covariance;  // [members, latents, latents] where they are not of low rank
  std::vector<StateTree> variables;
  std::vector<MixtureColumn> columns;  // of recipe.sampler.columns
  std::vector<std::vector<int32_t>> columns_of_variable;

  // Throws InputError where the recipe has no closed-form density: it is none of a mixture, or two columns share a
  // latent.
  explicit MixtureView(const TableRecipe& recipe);
  bool is_low_rank() const { return !residual.empty(); }
  double variance(size_t member, size_t latent) const;
};

}  // namespace doppel
