// A mixture's tables in the order in which a row needs them.
#include <algorithm>
#include <cmath>
#include <optional>

#include "kernels/common/half.h"
#include "kernels/common/philox.h"
#include "kernels/cpu/sample_table.h"
#include "kernels/cpu/sobol.h"

namespace doppel {
namespace {

// Entries first .. last of a table; with pairs of outcomes where they are too many for 16 bits.
void add_entries(const AliasTable& from, size_t first, size_t last, int32_t outcomes, std::vector<AliasEntry>& entries,
                 OutcomePairs& pairs) {
  for (size_t entry = first; entry < last; ++entry) {
    const int32_t below = from.below[entry], above = from.above[entry];
    if (outcomes > kMostNarrowOutcomes) {
      entries.push_back({from.threshold[entry], static_cast<uint32_t>(pairs.size())});
      pairs.push_back({{below, above}});
    } else {
      const uint32_t low_half = static_cast<uint32_t>(below) & 0xFFFFu;
      entries.push_back({from.threshold[entry], static_cast<uint32_t>(above) << 16 | low_half});
    }
  }
}

// A weight in half precision, in bits; none where that is another number.
std::optional<uint16_t> in_half(float weight) {
  const uint16_t half = half_of_float(weight);
  if (std::abs(weight) >= 65536 || float_of_half(half) != weight) return std::nullopt;
  return half;
}

struct LatentRange {
  size_t first, last;  // past the last
};
LatentRange latents_of(const PreparedMixture& mixture, int32_t vector) {
  const int32_t end = kVectorLatents * (vector + 1) - mixture.padding;
  return {static_cast<size_t>(std::max(end - kVectorLatents, 0)), static_cast<size_t>(end)};
}

// How many components, from the first on, some member uses for a latent of the range.
int32_t used_components(const TableSampler& sampler, LatentRange range) {
  const auto latents = static_cast<size_t>(sampler.latents), components = static_cast<size_t>(sampler.components);
  size_t used = 0;
  for (size_t member = 0; member < static_cast<size_t>(sampler.members); ++member)
    for (size_t latent = range.first; latent < range.last; ++latent) {
      const float* weights = sampler.factor.data() + (member * latents + latent) * components;
      size_t count = components;
      while (count > used && effective_weight(weights[count - 1]) == 0) --count;
      used = std::max(used, count);
    }
  return static_cast<int32_t>(used);
}

// Weights of a vector's latents, the last lanes, by weight_of(latent).
template <class Function>
LatentVector<float> vector_of(LatentRange range, Function weight_of) {
  LatentVector<float> weights{};
  for (size_t latent = range.first; latent < range.last; ++latent)
    weights.latent[kVectorLatents - (range.last - latent)] = effective_weight(weight_of(latent));
  return weights;
}

// In half precision, if that holds them all.
void halve_weights(PreparedMixture& mixture) {
  mixture.half_weights.resize(mixture.weights.size());
  for (size_t i = 0; i < mixture.weights.size(); ++i)
    for (int32_t lane = 0; lane < kVectorLatents; ++lane) {
      const std::optional<uint16_t> half = in_half(mixture.weights[i].latent[lane]);
      if (!half) return mixture.half_weights.clear();
      mixture.half_weights[i].latent[lane] = *half;
    }
  mixture.weights.clear();
}

void prepare_residuals(const TableSampler& sampler, PreparedMixture& to) {
  const auto latents = static_cast<size_t>(sampler.latents);
  const auto padding = static_cast<size_t>(to.padding), padded = padding + latents;
  to.residual_draw = residual_draws(sampler);
  to.residual_draw.insert(to.residual_draw.begin(), padding, -1);
  if (std::all_of(to.residual_draw.begin(), to.residual_draw.end(), [](int32_t draw) { return draw < 0; })) return;
  to.residuals.resize(static_cast<size_t>(sampler.members) * padded);
  for (size_t member = 0; member < static_cast<size_t>(sampler.members); ++member)
    std::transform(sampler.residual.begin() + static_cast<ptrdiff_t>(member * latents),
                   sampler.residual.begin() + static_cast<ptrdiff_t>((member + 1) * latents),
                   to.residuals.begin() + static_cast<ptrdiff_t>(member * padded + padding), effective_weight);
}

void prepare_weights(const TableSampler& sampler, PreparedMixture& to) {
  const auto latents = static_cast<size_t>(sampler.latents), components = static_cast<size_t>(sampler.components);
  to.latent_vectors = (sampler.latents + kVectorLatents - 1) / kVectorLatents;
  to.padding = kVectorLatents * to.latent_vectors - sampler.latents;
  for (int32_t vector = 0; vector < to.latent_vectors; ++vector) {
    to.used.push_back(used_components(sampler, latents_of(to, vector)));
    to.weights_per_member += 1 + static_cast<size_t>(to.used.back());
  }
  to.weights.reserve(to.weights_per_member * static_cast<size_t>(sampler.members));
  for (size_t member = 0; member < static_cast<size_t>(sampler.members); ++member) {
    const float* mean = sampler.mean.data() + member * latents;
    const float* factor = sampler.factor.data() + member * latents * components;
    for (int32_t vector = 0; vector < to.latent_vectors; ++vector) {
      const LatentRange range = latents_of(to, vector);
      to.weights.push_back(vector_of(range, [&](size_t latent) { return mean[latent]; }));
      for (size_t k = 0; k < static_cast<size_t>(to.used[vector]); ++k)
        to.weights.push_back(vector_of(range, [&](size_t latent) { return factor[latent * components + k]; }));
    }
  }
  halve_weights(to);
  prepare_residuals(sampler, to);
}

// Entries member after member, so that what a row reads lies together; then those of the nodes above.
void prepare_nodes(const TableSampler& sampler, PreparedMixture& to) {
  const auto members = static_cast<size_t>(sampler.members), variables = sampler.emissions.size();
  size_t entries = 0;
  for (const Emission& emission : sampler.emissions) entries += emission.table.threshold.size();
  if (entries >> 32) throw Error("table sampler: mixture: more than 2^32 states of all members");
  const auto padded = (variables + kMostLanes - 1) / kMostLanes * kMostLanes;
  to.variables = static_cast<int32_t>(variables);
  to.padded_variables = static_cast<int32_t>(padded);
  to.entries.reserve(entries);
  to.pairs.resize(variables);
  to.above.resize(variables);
  to.nodes_above.resize(variables);
  to.member_nodes.resize(2 * padded * members);
  const auto add = [&](size_t variable, size_t node) {
    const Emission& emission = sampler.emissions[variable];
    const auto first = static_cast<size_t>(emission.first[node]), last = static_cast<size_t>(emission.first[node + 1]);
    const auto place = static_cast<uint32_t>(to.entries.size());
    add_entries(emission.table, first, last, emission.states, to.entries, to.pairs[variable]);
    const int32_t above = std::max(emission.above[node] - sampler.members, 0);
    return PreparedMixture::Node{place, static_cast<uint32_t>(last - first), above};
  };
  for (size_t member = 0; member < members; ++member)
    for (size_t variable = 0; variable < variables; ++variable) {
      const PreparedMixture::Node node = add(variable, member);
      uint32_t* counts = to.member_nodes.data() + 2 * padded * member;
      counts[variable] = node.entries;
      counts[padded + variable] = node.first;
      to.above[variable].push_back(node.above);
    }
  for (size_t variable = 0; variable < variables; ++variable)
    for (size_t node = members; node < sampler.emissions[variable].above.size(); ++node)
      to.nodes_above[variable].push_back(add(variable, node));
}

// Words that no variable has are made, too, and not used.
void prepare_sobol(PreparedMixture& to) {
  to.sobol_blocks = std::min(to.word_blocks, kSobolDimensions / 4);
  const auto words = 4 * static_cast<size_t>(to.sobol_blocks);
  to.padded_sobol = (4 * to.sobol_blocks + kMostLanes - 1) / kMostLanes * kMostLanes;
  const std::vector<uint32_t> parts = sobol_parts(4 * to.sobol_blocks);
  constexpr size_t kValues = size_t{kSobolParts} * kSobolPartValues;
  to.sobol.resize(kValues * static_cast<size_t>(to.padded_sobol));
  for (size_t value = 0; value < kValues; ++value)
    for (size_t word = 0; word < words; ++word)
      to.sobol[value * static_cast<size_t>(to.padded_sobol) + word] = parts[word * kValues + value];
}

}  // namespace

PreparedMixture prepare_mixture(const TableSampler& sampler) {
  PreparedMixture mixture;
  mixture.word_blocks = static_cast<int32_t>((1 + sampler.emissions.size() + 3) / 4);
  add_entries(sampler.member, 0, sampler.member.threshold.size(), sampler.members, mixture.member,
              mixture.member_pairs);
  if (sampler.balanced) prepare_sobol(mixture);
  prepare_weights(sampler, mixture);
  prepare_nodes(sampler, mixture);
  return mixture;
}

SobolBlock sobol_block(const PreparedMixture& mixture, uint64_t seed, uint64_t block) {
  SobolBlock points{};
  const auto order = philox_words(seed, block, 0, Stream::kOrder);
  std::copy(order.begin(), order.end(), points.order);
  const uint64_t row = block << kSobolBlockBits;
  for (int32_t four = 0; four < mixture.sobol_blocks; ++four) {
    const auto shift = philox_words(seed, row >> 32, static_cast<uint32_t>(four), Stream::kShift);
    std::copy(shift.begin(), shift.end(), points.shared + 4 * four);
  }
  const auto words = static_cast<size_t>(mixture.padded_sobol);
  for (size_t part = 0; part < kSobolParts; ++part) {  // zeros of the places in the block add nothing
    const size_t value = static_cast<uint32_t>(row) >> 4 * part & (kSobolPartValues - 1);
    const uint32_t* added = mixture.sobol.data() + (kSobolPartValues * part + value) * words;
    for (size_t word = 0; word < words; ++word) points.shared[word] ^= static_cast<int32_t>(added[word]);
  }
  return points;
}

}  // namespace doppel
