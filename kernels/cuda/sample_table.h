// The CUDA table sampler from inside: what its kernel gets. Backends use prepare_cuda_table_sampler.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/common/portable.h"
#include "kernels/table.h"

namespace doppel::cuda {

using Lanes = PlainLanes;

inline constexpr int kSampleThreads = 64;  // of a block
inline constexpr int kRowsPerThread = 4;   // 16-byte stores of 4-byte values
inline constexpr int kTileRows = kSampleThreads * kRowsPerThread;
inline constexpr int kGroupScores = 8;            // latents computed together
inline constexpr size_t kSharedBytes = 48 << 10;  // a block has this much on every device

// A Philox block whose normals are the own noise of a group's latents: normal 4 block + i goes to score[i] (-1: to
// none).
struct NoiseBlock {
  uint32_t block;
  int8_t score[4];
};

// Tables lie at byte offsets.
template <class T>
DOPPEL_HOST_DEVICE const T* table_at(const std::byte* tables, uint32_t offset) {
  return reinterpret_cast<const T*>(tables + offset);
}

// Up to eight latents, and the columns that are made of them. residual 0: no own noise; of a mixture, where members
// have residuals of their own, 1: some noise.
struct SampleGroup {
  int32_t first_column, columns, first_noise, noises;
  float residual[kGroupScores];
};

// A PreparedColumn (kernels/cpu/sample_table.h, which says how a segment is found) whose tables are at byte offsets
// from ColumnArguments::tables.
struct SampleColumn {
  Storage storage;
  Transform transform;
  bool has_missing;
  int32_t score, missing_score;  // of its group; -1: no state is the latent's; missing_score -1: no score says so
  float missing_threshold;
  float bucket_scale, bucket_offset;
  int32_t search_steps;
  uint32_t first, lower, segments;
  uint32_t bytes_before;             // a row's bytes of the columns before this one
  int32_t bitmaps_before;            // validity bitmaps before this column's
  int32_t emission;                  // -1: no variable
  uint32_t state_role, state_value;  // [states] StateRole; values' bits in the storage's size
  double mean, deviation, minimum, maximum;
};

// A variable, by byte offsets from ScoreArguments::tables.
struct SampleVariable {
  uint32_t above;        // [members] the node above each, counted from the first above the members
  uint32_t nodes_above;  // int4 [nodes above]: first entry, entries, node above
  uint32_t pairs;        // int2, where outcomes are too many for 16 bits
  bool has_pairs;
};

// A PreparedMixture (kernels/cpu/sample_table.h) on the device; no variables and no members in another model.
struct SampleMixture {
  uint32_t first_word_block, word_blocks, sobol_blocks, member_entries;
  int32_t variables, padded_variables;
  int64_t member_weights;  // float4 of a member: [groups, 2 + components, 8 floats]
  const uint2* member;
  const int2* member_pairs;      // null: narrow
  const uint32_t* member_nodes;  // [members, 2, padded_variables]
  const uint2* entries;
  const SampleVariable* variable;
  const uint32_t* sobol;  // [4 sobol_blocks, kSobolParts, kSobolPartValues]
};

// Where scores of rows, and states of a mixture's variables, come from.
struct ScoreArguments {
  uint64_t seed, first_row;
  int64_t tiles;                     // of kTileRows
  int32_t components, kept, groups;  // kept = kept_normals(components)
  const float* factor;               // [groups, components, kGroupScores]; [members, groups, 2 + components, ...]
  const SampleGroup* group;          // [groups]
  const NoiseBlock* noise;
  const std::byte* tables;
  float* scratch;  // [blocks, scratch_bytes] where shared memory is too small, else null
  bool is_mixture;
  SampleMixture mixture;
};

// Where columns go.
struct ColumnArguments {
  const SampleColumn* column;
  const std::byte* tables;
  std::byte* out;             // columns one after the other, each [padded_rows] values; then the bitmaps likewise
  uint32_t row_bytes;         // of the values of a row
  int64_t rows, padded_rows;  // padded to tiles
};

struct SampleArguments {
  ScoreArguments scores;
  ColumnArguments columns;
};

// Normals of a row that are kept: the components', in whole Philox blocks.
constexpr int32_t kept_normals(int32_t components) {
  return (components + 3) / 4 * 4;
}
// Of a block: normals and scores, and states of a mixture's variables.
constexpr size_t scratch_bytes(int32_t components, int32_t variables) {
  const auto numbers = static_cast<size_t>(kept_normals(components)) + kGroupScores + static_cast<size_t>(variables);
  return numbers * kTileRows * sizeof(float);
}
constexpr size_t factor_bytes(int32_t components, int32_t groups) {
  return static_cast<size_t>(groups) * static_cast<size_t>(components) * kGroupScores * sizeof(float);
}
// Do a block's normals and the factor fit into shared memory?
constexpr bool fits_shared(int32_t components, int32_t groups) {
  return scratch_bytes(components, 0) + factor_bytes(components, groups) <= kSharedBytes;
}
// Of a mixture: the members' factors stay where they are.
constexpr bool mixture_fits_shared(int32_t components, int32_t variables) {
  return scratch_bytes(components, variables) <= kSharedBytes;
}

// Dynamic shared memory of a block that computes scores.
constexpr size_t shared_bytes(const ScoreArguments& a) {
  if (a.scratch != nullptr) return 0;
  return scratch_bytes(a.components, a.mixture.variables) + (a.is_mixture ? 0 : factor_bytes(a.components, a.groups));
}

// sample_table.cu. Asynchronous; `blocks` of them share the tiles.
void sample_table(const SampleArguments& arguments, int blocks, cudaStream_t stream);

// The bytes of one of the two output buffers: enough rows a copy to hide its latency, few enough that as many batches
// as there are cores stay in memory's budget.
inline constexpr size_t kSampleBufferBytes = size_t{4} << 20;

std::unique_ptr<PreparedTableSampler> prepare_cuda_table_sampler(const TableSampler& sampler, int device,
                                                                 size_t buffer_bytes = kSampleBufferBytes);

}  // namespace doppel::cuda
