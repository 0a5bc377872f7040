// Pairs of columns, for those who show them.
#include <algorithm>
#include <cmath>
#include <utility>

#include "engine/evaluation/evaluation.h"

namespace doppel {

std::vector<const PairEvaluation*> worst_pairs(const Evaluation& evaluation, size_t most) {
  std::vector<const PairEvaluation*> pairs;
  for (const PairEvaluation& pair : evaluation.pairs)
    if (!std::isnan(pair.trend_score)) pairs.push_back(&pair);
  const auto shown = static_cast<int64_t>(std::min(pairs.size(), most));
  const auto is_worse = [](const PairEvaluation* a, const PairEvaluation* b) {
    if (a->trend_score != b->trend_score) return a->trend_score < b->trend_score;
    return std::pair(a->first, a->second) < std::pair(b->first, b->second);
  };
  std::partial_sort(pairs.begin(), pairs.begin() + shown, pairs.end(), is_worse);
  pairs.resize(shown);
  return pairs;
}

Dependence dependence_of(const PairEvaluation& pair) {
  if (pair.metric == "CorrelationSimilarity") return {"correlation", pair.real_correlation, pair.synthetic_correlation};
  return {"Cramér's V", pair.real_association, pair.synthetic_association};
}

}  // namespace doppel
