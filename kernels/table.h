// Table sampling: rows of a Gaussian latent model, mapped column by column to the values of a table.
//
//   z[row, j] = sum_k factor[j, k] * e[row, k]  +  residual[j] * e[row, components + index of j among residuals > 0]
//
// with e[row, n] the n-th standard normal of the row (random.h). The sum starts at +0 and is a chain of fused
// multiply-adds, k ascending, the residual last. Then each column turns one z into one value through its own transform.
// Every operation is IEEE float or double add, multiply, fma, compare and convert in a fixed order, so the bits are the
// same on every backend and instruction set (the bit law), and row i depends on (sampler, seed, i) only (the row law).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

namespace doppel {

// How a column's values lie in memory, in a batch.
enum class Storage : uint8_t { kInt32, kInt64, kFloat32, kFloat64 };

constexpr size_t bytes_per_value(Storage storage) {
  return storage == Storage::kInt32 || storage == Storage::kFloat32 ? 4 : 8;
}
constexpr bool is_integer(Storage storage) {
  return storage == Storage::kInt32 || storage == Storage::kInt64;
}

// Scores outside [-kScoreLimit, kScoreLimit] are moved to the nearest end by segment transforms.
inline constexpr float kScoreLimit = 6.0f;

// Weights (factor, residual) smaller than this by magnitude count as zero. Then a product of a weight and a normal
// never underflows (a normal is 0 or at least 2^-42), no sum is -0, and leaving out a zero weight changes no bit.
inline constexpr float kNegligibleWeight = 0x1p-100f;
constexpr float effective_weight(float weight) {
  return weight < kNegligibleWeight && weight > -kNegligibleWeight ? 0.0f : weight;
}

enum class Transform : uint8_t {
  kSegments,  // an empirical distribution cut into intervals of the score axis
  kLinear,    // mean + deviation * z, clipped: the classic PCA
};

// One column of the output. For kSegments the score axis is cut into `segments` intervals; segment s owns
// lower[s] <= z < lower[s + 1] (the first reaches down to -inf, the last up to +inf) and holds
//   integers (kInt32, kInt64):  base[s] + clamp(trunc((z - lower[s]) * scale[s]), 0, width[s] - 1)
//   reals (kFloat32, kFloat64): clamp(fma(z - lower[s], real_slope[s], real_base[s]), real_base[s], real_top[s])
// with z moved into [-kScoreLimit, kScoreLimit] first. clamp(x, low, high) is y = x < low ? low : x, then
// y > high ? high : y, so that the sign of a zero is known. kInt32 and kFloat32 compute in float (width <= 2^24),
// kInt64 and kFloat64 in double (width <= 2^53; z - lower in float first, rounded, then widened). A one-value segment
// (an atom, a category) has width 1, or real_base == real_top.
struct ColumnSampler {
  Storage storage = Storage::kInt32;
  Transform transform = Transform::kSegments;
  int32_t latent = 0;              // which z gives the value
  int32_t missing_latent = -1;     // which z says whether it is missing; -1: never missing
  float missing_threshold = 0.0f;  // missing where z[missing_latent] < missing_threshold

  std::vector<float> lower;    // [segments], ascending; lower[0] = -kScoreLimit
  std::vector<int64_t> base;   // [segments], integers only
  std::vector<int64_t> width;  // [segments] >= 1, integers only
  std::vector<double> scale;   // [segments] width / (length of the segment), integers only; rounded to float for kInt32
  std::vector<double> real_base, real_top, real_slope;  // [segments], reals only

  // kLinear: fma(z, deviation, mean), clamped to [minimum, maximum]; integers then round to nearest, ties to even, and
  // the bounds are within the storage (kInt64: +-2^53). In float for kFloat32, in double otherwise.
  double mean = 0, deviation = 1, minimum = 0, maximum = 0;
};

struct TableSampler {
  int32_t latents = 0;          // number of z
  int32_t components = 0;       // normals shared by all z of a row
  std::vector<float> factor;    // [latents, components], row-major, effective_weight of each; magnitude <= 2^64
  std::vector<float> residual;  // [latents] standard deviation of each z's own noise, likewise; 0: none, and no draw
  std::vector<ColumnSampler> columns;
};

// Where a batch's column goes. `values` has room for `rows` values of the column's storage, 64-byte aligned; `validity`
// for (rows + 7) / 8 bytes (bit i of the bitmap, least significant first, is 1 where row i has a value), or is null for
// a column that is never missing. Missing values are written as 0. Bits past the last row are 0.
struct ColumnBuffer {
  void* values = nullptr;
  uint8_t* validity = nullptr;
};

// A table sampler made ready for one backend: lookup tables built, constants uploaded. One per worker: `sample` is not
// thread-safe on one object, different objects are independent.
class PreparedTableSampler {
 public:
  virtual ~PreparedTableSampler() = default;
  // Writes rows [first_row, first_row + rows) of the table to columns[0 .. sampler.columns.size()), in host memory.
  // Returns when they are there.
  virtual void sample(uint64_t seed, uint64_t first_row, int64_t rows, std::span<const ColumnBuffer> columns) = 0;
};

// Throws Error if the sampler contradicts itself or leaves the ranges above (lengths, latents out of range, a
// non-ascending `lower`, a number that is not finite).
void check_table_sampler(const TableSampler& sampler);

}  // namespace doppel
