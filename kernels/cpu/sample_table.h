// The CPU's table sampler from inside: what is prepared once, and the instruction sets it can run on. Backends use
// prepare_cpu_table_sampler; tests and benchmarks choose the instruction set.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/table.h"

namespace doppel {

// A segment of a 32-bit or a 64-bit column: what turns an offset into a value, in one piece of memory. `base` and
// `base_bits` are one field, a real number or an integer by the column's storage; `top` is the highest value of a real
// segment, and width - 1 of an integer one.
struct alignas(16) Segment32 {
  float lower, slope, top;
  union {
    float base;
    int32_t integer_base;
  };
};
struct alignas(32) Segment64 {
  double slope, top;
  union {
    double base;
    int64_t integer_base;
  };
  float lower;
};

// A ColumnSampler with its lookup tables.
struct PreparedColumn {
  // How a segment column becomes values.
  enum class Lookup : uint8_t {
    kChain,     // few atoms of 32 bits: a comparison and a choice each
    kAtoms,     // one value a segment: find the segment, copy its value
    kSegments,  // find the segment, compute within it
  };
  Storage storage = Storage::kInt32;
  Transform transform = Transform::kSegments;
  Lookup lookup = Lookup::kSegments;
  int32_t latent = 0, missing_latent = -1;
  float missing_threshold = 0;

  // Finding a segment: bucket = trunc(z * bucket_scale + bucket_offset) is a monotone map of the score axis to
  // [0, buckets]; first[bucket] is the last segment that begins in an earlier bucket, and no more than `most` begin in
  // one bucket: those are compared one by one where they are at most kComparedSegments, otherwise by binary search.
  float bucket_scale = 0, bucket_offset = 0;
  int32_t most = 0;
  std::vector<uint16_t> first;  // [buckets + 1]
  std::vector<float> lower;     // [segments + padding]: padding is +infinity, may be compared and is never chosen

  // [segments], those of the storage's size. Atoms are the bases' bits alone.
  std::vector<Segment32> segments32;
  std::vector<Segment64> segments64;
  std::vector<uint32_t> atoms32;
  std::vector<uint64_t> atoms64;

  double mean = 0, deviation = 1, minimum = 0, maximum = 0;  // kLinear
};
inline constexpr int32_t kComparedSegments = 3;

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

// Throws Error where `sample` cannot write `rows` rows of the columns (of a TableSampler or prepared) to the buffers.
template <class Column>
void check_buffers(const std::vector<Column>& columns, std::span<const ColumnBuffer> buffers, int64_t rows) {
  if (buffers.size() != columns.size()) throw Error("table sampler: buffers and columns differ in number");
  for (size_t column = 0; column < buffers.size(); ++column) {
    if (buffers[column].values == nullptr && rows > 0) throw Error("table sampler: a column without a buffer");
    if (columns[column].missing_latent >= 0 && buffers[column].validity == nullptr)
      throw Error("table sampler: a column with missing values and no validity buffer");
  }
}

// Working memory of one sampler, 64-byte aligned: normals [4 * blocks, tile_rows], scores [4 * groups, tile_rows], and
// for one column buckets and values [tile_rows].
struct TileScratch {
  explicit TileScratch(const PreparedTable& table);
  float* normals = nullptr;
  float* scores = nullptr;
  int32_t* buckets = nullptr;
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
