// The CPU's table sampler from inside: what is prepared once, and the instruction sets it can run on. Backends use
// prepare_cpu_table_sampler; tests and benchmarks choose the instruction set.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/table.h"

namespace doppel {

// A ColumnSampler with its lookup tables. Tables end in padding that a search may read and never chooses.
struct PreparedColumn {
  Storage storage = Storage::kInt32;
  Transform transform = Transform::kSegments;
  int32_t latent = 0, missing_latent = -1;
  float missing_threshold = 0;

  // Finding a segment: bucket = trunc(z * bucket_scale + bucket_offset) is a monotone map of the score axis to
  // [0, buckets); first[bucket] is the last segment that begins in an earlier bucket, and a binary search of
  // `search_steps` steps finds the right one among those that begin in this bucket.
  float bucket_scale = 0, bucket_offset = 0;
  int32_t search_steps = 0;
  std::vector<int32_t> first;  // [buckets]
  std::vector<float> lower;    // [segments + padding], padding is +infinity

  std::vector<float> scale, width_less_one, base_f, top_f, slope_f;  // 32-bit storages
  std::vector<int32_t> base_i;
  std::vector<double> scale_d, width_less_one_d, base_d, top_d, slope_d;  // 64-bit storages
  std::vector<int64_t> base_l;

  double mean = 0, deviation = 1, minimum = 0, maximum = 0;  // kLinear
};

// Four latents computed together. Their weights of the draws that any of them uses, draws ascending; then each one's
// own noise.
struct LatentGroup {
  struct Term {
    int32_t draw;
    float weight[4];
  };
  std::vector<Term> terms;
  int32_t residual_draw[4] = {-1, -1, -1, -1};  // -1: none
  float residual[4] = {0, 0, 0, 0};
};

struct PreparedTable {
  int32_t blocks = 0;     // of four normals, per row
  int32_t tile_rows = 0;  // rows sampled together: a multiple of 64
  std::vector<LatentGroup> groups;
  std::vector<PreparedColumn> columns;
};

PreparedTable prepare_table(const TableSampler& sampler);  // checks it, too

// Working memory of one sampler, 64-byte aligned: normals [4 * blocks, tile_rows], scores [4 * groups, tile_rows], and
// for one column segments, offsets and values [tile_rows].
struct TileScratch {
  explicit TileScratch(const PreparedTable& table);
  float* normals = nullptr;
  float* scores = nullptr;
  int32_t* segments = nullptr;
  float* offsets = nullptr;
  std::byte* values = nullptr;

 private:
  std::unique_ptr<std::byte, void (*)(std::byte*)> memory_;
};

struct InstructionSet {
  std::string name;  // "AVX-512", "AVX2", "NEON", "scalar"
  void (*sample)(const PreparedTable& table, TileScratch& scratch, uint64_t seed, uint64_t first_row, int64_t rows,
                 std::span<const ColumnBuffer> columns);
  // Normals [4 * blocks, rows] of rows [first_row, first_row + rows), rows a multiple of 64.
  void (*normals)(uint64_t seed, uint64_t first_row, int64_t rows, int32_t blocks, float* normals);
};

// Those of this machine, the best first; "scalar" is always there and the last.
const std::vector<InstructionSet>& instruction_sets();

std::unique_ptr<PreparedTableSampler> prepare_cpu_table_sampler(const TableSampler& sampler,
                                                                const InstructionSet& instructions);

extern const InstructionSet kScalarInstructions;

}  // namespace doppel
