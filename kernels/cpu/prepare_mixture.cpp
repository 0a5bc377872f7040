// A mixture's tables in the order in which a row needs them.
#include <algorithm>

#include "kernels/cpu/sample_table.h"

namespace doppel {
namespace {

constexpr int32_t kLatents = LatentVector::kLatents;

AliasEntry entry_of(const AliasTable& table, size_t entry) {
  return {table.threshold[entry], {table.below[entry], table.above[entry]}};
}

// The weights' vector of one member for latents kLatents * vector and the following, by weight_of(latent).
template <class Function>
LatentVector vector_of(const TableSampler& sampler, int32_t vector, Function weight_of) {
  LatentVector weights{};
  for (int32_t lane = 0; lane < std::min(kLatents, sampler.latents - kLatents * vector); ++lane)
    weights.latent[lane] = effective_weight(weight_of(static_cast<size_t>(kLatents * vector + lane)));
  return weights;
}

// How many components, from the first on, some member uses for a latent of the vector.
int32_t used_components(const TableSampler& sampler, int32_t vector) {
  const auto latents = static_cast<size_t>(sampler.latents), components = static_cast<size_t>(sampler.components);
  const auto first = static_cast<size_t>(kLatents * vector), last = std::min(latents, first + kLatents);
  size_t used = 0;
  for (size_t member = 0; member < static_cast<size_t>(sampler.members); ++member)
    for (size_t latent = first; latent < last; ++latent) {
      const float* weights = sampler.factor.data() + (member * latents + latent) * components;
      size_t count = components;
      while (count > used && effective_weight(weights[count - 1]) == 0) --count;
      used = std::max(used, count);
    }
  return static_cast<int32_t>(used);
}

void prepare_weights(const TableSampler& sampler, PreparedMixture& to) {
  const auto latents = static_cast<size_t>(sampler.latents), components = static_cast<size_t>(sampler.components);
  to.latent_vectors = (sampler.latents + kLatents - 1) / kLatents;
  to.residual_draw = residual_draws(sampler);
  to.residual_draw.resize(static_cast<size_t>(to.latent_vectors * kLatents), -1);
  for (int32_t vector = 0; vector < to.latent_vectors; ++vector) {
    to.used.push_back(used_components(sampler, vector));
    to.weights_per_member += 2 + static_cast<size_t>(to.used.back());
  }
  to.weights.reserve(to.weights_per_member * static_cast<size_t>(sampler.members));
  for (size_t member = 0; member < static_cast<size_t>(sampler.members); ++member) {
    const float* mean = sampler.mean.data() + member * latents;
    const float* factor = sampler.factor.data() + member * latents * components;
    const float* residual = sampler.residual.data() + member * latents;
    for (int32_t vector = 0; vector < to.latent_vectors; ++vector) {
      to.weights.push_back(vector_of(sampler, vector, [&](size_t latent) { return mean[latent]; }));
      for (size_t k = 0; k < static_cast<size_t>(to.used[vector]); ++k)
        to.weights.push_back(
            vector_of(sampler, vector, [&](size_t latent) { return factor[latent * components + k]; }));
    }
    for (int32_t vector = 0; vector < to.latent_vectors; ++vector)
      to.weights.push_back(vector_of(sampler, vector, [&](size_t latent) { return residual[latent]; }));
  }
}

void add_node(const Emission& emission, size_t node, PreparedMixture& to) {
  const auto first = static_cast<size_t>(emission.first[node]), last = static_cast<size_t>(emission.first[node + 1]);
  to.nodes.push_back({static_cast<uint32_t>(to.entries.size()), static_cast<uint32_t>(last - first)});
  for (size_t entry = first; entry < last; ++entry) to.entries.push_back(entry_of(emission.table, entry));
}

void prepare_nodes(const TableSampler& sampler, PreparedMixture& to) {
  const auto members = static_cast<size_t>(sampler.members), variables = sampler.emissions.size();
  to.variables = static_cast<int32_t>(variables);
  size_t nodes = 0, entries = 0;
  for (const Emission& emission : sampler.emissions)
    nodes += emission.above.size(), entries += emission.table.threshold.size();
  if (nodes >> 32 || entries >> 32) throw Error("table sampler: mixture: more than 2^32 states of all members");
  to.nodes.reserve(nodes);
  to.above.reserve(nodes);
  to.entries.reserve(entries);
  std::vector<size_t> first_above;  // of each variable, the number of its first node above the members
  for (size_t next = members * variables; const Emission& emission : sampler.emissions) {
    first_above.push_back(next);
    next += emission.above.size() - members;
  }
  const auto add = [&](size_t variable, size_t node) {
    const Emission& emission = sampler.emissions[variable];
    add_node(emission, node, to);
    const int32_t above = emission.above[node];
    to.above.push_back(above < 0 ? 0
                                 : static_cast<uint32_t>(first_above[variable] + static_cast<size_t>(above) - members));
  };
  for (size_t member = 0; member < members; ++member)
    for (size_t variable = 0; variable < variables; ++variable) add(variable, member);
  for (size_t variable = 0; variable < variables; ++variable)
    for (size_t node = members; node < sampler.emissions[variable].above.size(); ++node) add(variable, node);
}

}  // namespace

PreparedMixture prepare_mixture(const TableSampler& sampler) {
  PreparedMixture mixture;
  mixture.word_blocks = static_cast<int32_t>((1 + sampler.emissions.size() + 3) / 4);
  for (size_t entry = 0; entry < sampler.member.threshold.size(); ++entry)
    mixture.member.push_back(entry_of(sampler.member, entry));
  prepare_weights(sampler, mixture);
  prepare_nodes(sampler, mixture);
  return mixture;
}

}  // namespace doppel
