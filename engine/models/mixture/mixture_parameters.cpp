#include "engine/models/mixture/mixture_parameters.h"

namespace doppel {

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

}  // namespace doppel
