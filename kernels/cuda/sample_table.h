// The CUDA table sampler from inside: what its kernel gets. Backends use prepare_cuda_table_sampler.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/table.h"

namespace doppel::cuda {

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

// Up to eight latents, and the columns that are made of them. residual 0: no own noise.
struct SampleGroup {
  int32_t first_column, columns, first_noise, noises;
  float residual[kGroupScores];
};

// A PreparedColumn (kernels/cpu/sample_table.h, which says how a segment is found) whose tables are at byte offsets
// from SampleArguments::tables.
struct SampleColumn {
  Storage storage;
  Transform transform;
  int8_t score, missing_score;  // of its group; missing_score -1: never missing
  float missing_threshold;
  float bucket_scale, bucket_offset;
  int32_t search_steps;
  uint32_t first, lower, segments;
  uint32_t bytes_before;   // a row's bytes of the columns before this one
  int32_t bitmaps_before;  // validity bitmaps before this column's
  double mean, deviation, minimum, maximum;
};

struct SampleArguments {
  uint64_t seed, first_row;
  int64_t rows, tiles;               // tiles = rows / kTileRows, rounded up
  int32_t components, kept, groups;  // kept = kept_normals(components)
  const float* factor;               // [groups, components, kGroupScores]
  const SampleGroup* group;          // [groups]
  const NoiseBlock* noise;
  const SampleColumn* column;
  const std::byte* tables;
  std::byte* out;      // columns one after the other, each [tiles * kTileRows] values; then the bitmaps likewise
  uint32_t row_bytes;  // of the values of a row
  float* scratch;      // [blocks, (drawn + kGroupScores) * kTileRows] where shared memory is too small, else null
};

// Normals of a row that are kept: the components', in whole Philox blocks.
constexpr int32_t kept_normals(int32_t components) {
  return (components + 3) / 4 * 4;
}
constexpr size_t scratch_bytes(int32_t components) {
  return (static_cast<size_t>(kept_normals(components)) + kGroupScores) * kTileRows * sizeof(float);
}
constexpr size_t factor_bytes(int32_t components, int32_t groups) {
  return static_cast<size_t>(groups) * static_cast<size_t>(components) * kGroupScores * sizeof(float);
}
// Do a block's normals and the factor fit into shared memory?
constexpr bool fits_shared(int32_t components, int32_t groups) {
  return scratch_bytes(components) + factor_bytes(components, groups) <= kSharedBytes;
}

// sample_table.cu. Asynchronous; `blocks` of them share the tiles.
void sample_table(const SampleArguments& arguments, int blocks, cudaStream_t stream);

// The bytes of one of the two output buffers: enough rows a copy to hide its latency, few enough to stay in memory's
// budget.
inline constexpr size_t kSampleBufferBytes = size_t{8} << 20;

std::unique_ptr<PreparedTableSampler> prepare_cuda_table_sampler(const TableSampler& sampler, int device,
                                                                 size_t buffer_bytes = kSampleBufferBytes);

}  // namespace doppel::cuda
