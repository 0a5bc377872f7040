// What a condition on a column means for the latent that gives its values: the scores whose values meet it.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "engine/models/mixture/conditions.h"
#include "engine/models/mixture/mixture_view.h"
#include "kernels/table.h"

namespace doppel {

// Scores low <= z < high; infinite where the span reaches beyond the axis.
struct ScoreSpan {
  float low, high;
  bool operator==(const ScoreSpan&) const = default;
};

// A bound of one latent: spans, or a point.
struct LatentLimit {
  size_t column = 0;  // of the sampler
  int32_t latent = 0;
  std::vector<ScoreSpan> spans;
  std::optional<double> point;
  double value = 0;  // at the point
};

enum class LatentUse : uint8_t { kForbidden, kFree, kLimited };

// `other_values`: states of the column meet the condition, too; beside them a single real number has no probability.
// Sets the limit's latent, and its spans or point where the latent is limited. Throws UsageError for several single
// real numbers.
LatentUse limit_latent(const ColumnSchema& schema, const ColumnSampler& sampler, const MixtureColumn& column,
                       const ColumnCondition& condition, bool other_values, LatentLimit& limit);

}  // namespace doppel
