#include "kernels/cuda/table_constants.h"

#include <algorithm>
#include <array>
#include <bit>

#include "kernels/common/error.h"
#include "kernels/cpu/sobol.h"

namespace doppel::cuda {
namespace {

constexpr int kBlocksPerMultiprocessor = 16;
constexpr size_t kScratchBytes = size_t{16} << 20;  // at most: stays in the L2 cache of a large device

template <class Value>
std::vector<Value> values_of(const std::vector<StateValue<Value>>& states) {
  std::vector<Value> values;
  for (const StateValue<Value>& state : states) values.push_back(state.value);
  return values;
}

SampleColumn make_column(Blob& blob, const PreparedColumn& from) {
  SampleColumn to{};
  to.storage = from.storage;
  to.transform = from.transform;
  to.has_missing = from.has_missing;
  to.emission = from.emission;
  to.missing_threshold = from.missing_threshold;
  to.mean = from.mean;
  to.deviation = from.deviation;
  to.minimum = from.minimum;
  to.maximum = from.maximum;
  if (from.emission >= 0) {
    to.state_role = blob.offset_of(from.state_role);
    to.state_value = bytes_per_value(from.storage) == 8 ? blob.offset_of(values_of(from.states64))
                                                        : blob.offset_of(values_of(from.states32));
  }
  if (from.has_latent && from.transform == Transform::kSegments) {
    to.bucket_scale = from.bucket_scale;
    to.bucket_offset = from.bucket_offset;
    to.search_steps = std::bit_width(static_cast<uint32_t>(from.most));
    to.first = blob.offset_of(from.first);
    to.lower = blob.offset_of(from.lower);
    const bool wide = bytes_per_value(from.storage) == 8;
    to.segments = wide ? blob.offset_of(from.segments64) : blob.offset_of(from.segments32);
  }
  return to;
}

// The own-noise normals of a group's latents, by Philox block.
std::vector<NoiseBlock> plan_noise(const GroupPlan& group, const std::vector<int32_t>& draws) {
  std::vector<NoiseBlock> blocks;
  for (size_t score = 0; score < group.latents.size(); ++score) {
    const int32_t number = draws[group.latents[score]];
    if (number < 0) continue;
    const auto block = static_cast<uint32_t>(number / 4);
    auto found = std::find_if(blocks.begin(), blocks.end(), [&](const NoiseBlock& b) { return b.block == block; });
    if (found == blocks.end()) found = blocks.insert(blocks.end(), NoiseBlock{block, {-1, -1, -1, -1}});
    found->score[number % 4] = static_cast<int8_t>(score);
  }
  return blocks;
}

MixtureTables put_mixture(Blob& blob, const PreparedTable& table) {
  const PreparedMixture& mixture = *table.mixture;
  MixtureTables to;
  to.numbers.first_word_block = static_cast<uint32_t>(table.blocks);
  to.numbers.word_blocks = static_cast<uint32_t>(mixture.word_blocks);
  to.numbers.sobol_blocks = static_cast<uint32_t>(mixture.sobol_blocks);
  to.sobol = blob.put(sobol_parts(4 * mixture.sobol_blocks));
  to.numbers.member_entries = static_cast<uint32_t>(mixture.member.size());
  to.numbers.variables = mixture.variables;
  to.numbers.padded_variables = mixture.padded_variables;
  to.member = blob.put(mixture.member);
  to.member_pairs = blob.put(mixture.member_pairs);
  to.member_nodes = blob.put(mixture.member_nodes);
  to.entries = blob.put(mixture.entries);
  std::vector<SampleVariable> variables;
  for (size_t v = 0; v < static_cast<size_t>(mixture.variables); ++v) {
    std::vector<std::array<int32_t, 4>> nodes;
    for (const PreparedMixture::Node& node : mixture.nodes_above[v])
      nodes.push_back({static_cast<int32_t>(node.first), static_cast<int32_t>(node.entries), node.above, 0});
    variables.push_back({blob.offset_of(mixture.above[v]), blob.offset_of(nodes), blob.offset_of(mixture.pairs[v]),
                         !mixture.pairs[v].empty()});
  }
  to.variable = blob.put(variables);
  return to;
}

// Weights of a group's latents, [rows, kGroupScores], appended row by row.
template <class Function>
void append_weights(const GroupPlan& plan, std::vector<float>& to, Function weight_of) {
  to.resize(to.size() + kGroupScores);
  for (size_t score = 0; score < plan.latents.size(); ++score)
    to[to.size() - kGroupScores + score] = effective_weight(weight_of(static_cast<size_t>(plan.latents[score])));
}

// The groups' factors one after the other, or for each member of a mixture means, factor and residuals of each group.
std::vector<float> make_weights(const TableSampler& sampler, const std::vector<GroupPlan>& groups) {
  const auto latents = static_cast<size_t>(sampler.latents), components = static_cast<size_t>(sampler.components);
  const bool is_mixture = sampler.is_mixture();
  std::vector<float> weights;
  weights.reserve(static_cast<size_t>(sampler.members) * groups.size() * (components + (is_mixture ? 2 : 0)) *
                  kGroupScores);
  for (size_t member = 0; member < static_cast<size_t>(sampler.members); ++member) {
    const size_t first = member * latents;
    for (const GroupPlan& plan : groups) {
      if (is_mixture) append_weights(plan, weights, [&](size_t latent) { return sampler.mean[first + latent]; });
      for (size_t k = 0; k < components; ++k)
        append_weights(plan, weights, [&](size_t latent) { return sampler.factor[(first + latent) * components + k]; });
      if (is_mixture) append_weights(plan, weights, [&](size_t latent) { return sampler.residual[first + latent]; });
    }
  }
  return weights;
}

SampleGroup make_group(const GroupPlan& plan, const TableSampler& sampler, const std::vector<int32_t>& draws) {
  SampleGroup group{plan.first_column, plan.columns, 0, 0, {}};
  for (size_t score = 0; score < plan.latents.size(); ++score) {
    const int32_t latent = plan.latents[score];
    if (draws[latent] >= 0)
      group.residual[score] = sampler.is_mixture() ? 1 : effective_weight(sampler.residual[latent]);
  }
  return group;
}

}  // namespace

DeviceBuffer<std::byte> upload(const Blob& blob, cudaStream_t stream) {
  const std::vector<std::byte>& bytes = blob.bytes();
  if (bytes.size() >> 32) throw Error("table sampler: tables of more than 4 GiB");
  DeviceBuffer<std::byte> uploaded = upload(bytes, stream);
  CUDA_CHECK(cudaStreamSynchronize(stream));
  return uploaded;
}

std::vector<SampleColumn> make_columns(Blob& blob, const PreparedTable& table) {
  std::vector<SampleColumn> columns;
  for (const PreparedColumn& column : table.columns) columns.push_back(make_column(blob, column));
  return columns;
}

ColumnTables put_columns(Blob& blob, std::vector<SampleColumn> columns) {
  ColumnTables tables;
  for (SampleColumn& column : columns) {
    column.bytes_before = tables.row_bytes;
    column.bitmaps_before = tables.bitmaps;
    tables.row_bytes += static_cast<uint32_t>(bytes_per_value(column.storage));
    tables.bitmaps += column.has_missing;
  }
  tables.column = blob.put(columns);
  return tables;
}

ColumnTables put_columns_of_latents(Blob& blob, const TableSampler& sampler, const PreparedTable& table) {
  std::vector<SampleColumn> columns = make_columns(blob, table);
  for (size_t c = 0; c < columns.size(); ++c) {
    const ColumnSampler& column = sampler.columns[c];
    columns[c].score = column.has_latent() ? column.latent : -1;
    columns[c].missing_score = column.missing_latent;
  }
  return put_columns(blob, std::move(columns));
}

ColumnArguments column_arguments(const ColumnTables& tables, std::byte* uploaded) {
  ColumnArguments arguments{};
  arguments.column = reinterpret_cast<const SampleColumn*>(uploaded + tables.column);
  arguments.tables = uploaded;
  arguments.row_bytes = tables.row_bytes;
  return arguments;
}

std::vector<GroupPlan> plan_latents(int32_t latents) {
  std::vector<GroupPlan> groups;
  for (int32_t latent = 0; latent < latents; ++latent) {
    if (latent % kGroupScores == 0) groups.emplace_back();
    groups.back().score_of(latent);
  }
  return groups;
}

ScoreTables put_scores(Blob& blob, const TableSampler& sampler, const PreparedTable& table,
                       const std::vector<GroupPlan>& plans) {
  const std::vector<int32_t> draws = residual_draws(sampler);
  std::vector<SampleGroup> groups;
  std::vector<NoiseBlock> noise;
  for (const GroupPlan& plan : plans) {
    const std::vector<NoiseBlock> blocks = plan_noise(plan, draws);
    groups.push_back(make_group(plan, sampler, draws));
    groups.back().first_noise = static_cast<int32_t>(noise.size());
    groups.back().noises = static_cast<int32_t>(blocks.size());
    noise.insert(noise.end(), blocks.begin(), blocks.end());
  }
  ScoreTables tables;
  tables.groups = static_cast<int32_t>(groups.size());
  tables.factor = blob.put(make_weights(sampler, plans));
  tables.group = blob.put(groups);
  tables.noise = blob.put(noise);
  if (sampler.is_mixture()) {
    tables.mixture = put_mixture(blob, table);
    tables.mixture.numbers.member_weights = int64_t{tables.groups} * (sampler.components + 2) * kGroupScores / 4;
  }
  return tables;
}

ScoreArguments score_arguments(const ScoreTables& tables, const TableSampler& sampler, std::byte* uploaded) {
  ScoreArguments arguments{};
  arguments.components = sampler.components;
  arguments.kept = kept_normals(sampler.components);
  arguments.groups = tables.groups;
  arguments.factor = reinterpret_cast<const float*>(uploaded + tables.factor);
  arguments.group = reinterpret_cast<const SampleGroup*>(uploaded + tables.group);
  arguments.noise = reinterpret_cast<const NoiseBlock*>(uploaded + tables.noise);
  arguments.tables = uploaded;
  if (sampler.is_mixture()) {
    arguments.is_mixture = true;
    arguments.mixture = tables.mixture.numbers;
    arguments.mixture.member = reinterpret_cast<const uint2*>(uploaded + tables.mixture.member);
    if (sampler.members > kMostNarrowOutcomes)
      arguments.mixture.member_pairs = reinterpret_cast<const int2*>(uploaded + tables.mixture.member_pairs);
    arguments.mixture.member_nodes = reinterpret_cast<const uint32_t*>(uploaded + tables.mixture.member_nodes);
    arguments.mixture.sobol = reinterpret_cast<const uint32_t*>(uploaded + tables.mixture.sobol);
    arguments.mixture.entries = reinterpret_cast<const uint2*>(uploaded + tables.mixture.entries);
    arguments.mixture.variable = reinterpret_cast<const SampleVariable*>(uploaded + tables.mixture.variable);
  }
  return arguments;
}

Scorer make_scorer(const ScoreTables& tables, const TableSampler& sampler, std::byte* uploaded, int multiprocessors,
                   cudaStream_t stream) {
  Scorer scorer;
  ScoreArguments& arguments = scorer.arguments;
  arguments = score_arguments(tables, sampler, uploaded);
  scorer.blocks = multiprocessors * kBlocksPerMultiprocessor;
  const int32_t variables = arguments.mixture.variables;
  if (sampler.is_mixture() ? !mixture_fits_shared(sampler.components, variables)
                           : !fits_shared(sampler.components, tables.groups)) {
    const size_t block_bytes = scratch_bytes(sampler.components, variables);
    scorer.blocks =
        static_cast<int>(std::clamp<size_t>(kScratchBytes / block_bytes, 1, static_cast<size_t>(scorer.blocks)));
    scorer.scratch = DeviceBuffer<float>(static_cast<size_t>(scorer.blocks) * block_bytes / sizeof(float), stream);
    arguments.scratch = scorer.scratch.data();
  }
  return scorer;
}

}  // namespace doppel::cuda
