// Table sampling: rows of a Gaussian latent model or of a mixture of them, mapped column by column to the values of a
// table.
//
//   z[row, j] = mean[m, j] + sum_k factor[m, j, k] * e[row, k]
//                          + residual[m, j] * e[row, components + index of j among the latents with a residual]
//
// with m the row's member of the mixture (0 where there is only one) and e[row, n] the n-th standard normal of the row
// (random.h). The sum starts at the mean and is a chain of fused multiply-adds, k ascending, the residual last. Then
// each column turns one z, one state (below) or both into one value through its own transform. Every operation is IEEE
// float or double add, multiply, fma, compare and convert in a fixed order, so the bits are the same on every backend
// and instruction set (the bit law), and row i depends on (sampler, seed, i) only (the row law).
//
// A mixture also has variables: quantities of finitely many states (a category's levels, the special values of a
// number, "missing", or combinations of such of several columns) that are drawn independently given the member. Random
// numbers of a row of a mixture, as random.h numbers blocks and words:
//   blocks 0 .. N - 1         the normals, N = ceil((components + latents with a residual) / 4)
//   then V blocks             word 0: the member; word 1 + v: the state of variable v; V = ceil((1 + variables) / 4)
//   then a block a variable   word 0, 1, ...: the first, second, ... draw further up its tree
// Of a balanced mixture the first 64 of the words of the V blocks are those of Sobol' points instead (common/sobol.h).
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "kernels/host_memory.h"

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

// Weights (factor, residual, mean) smaller than this by magnitude count as zero. Then a product of a weight and a
// normal never underflows (a normal is 0 or at least 2^-42), no sum is -0, and leaving out a zero weight changes no
// bit.
inline constexpr float kNegligibleWeight = 0x1p-100f;
constexpr float effective_weight(float weight) {
  return weight < kNegligibleWeight && weight > -kNegligibleWeight ? 0.0f : weight;
}

enum class Transform : uint8_t {
  kSegments,  // an empirical distribution cut into intervals of the score axis
  kLinear,    // mean + deviation * z, clipped: the classic PCA
};

// A draw from n outcomes of given probabilities by one word (Walker, 1977): entry i = high half of word * n; low half <
// threshold[i] ? below[i] : above[i]. Which outcome stands where is part of the sampler, as it decides the bits.
struct AliasTable {
  std::vector<uint32_t> threshold;
  std::vector<int32_t> below, above;  // outcomes
};

// A variable's distributions, a tree of nodes: nodes 0 .. members - 1 are the mixture's members, the others stand above
// them. A node's outcomes are states and kAbove: the state is drawn again, from the node above, with a new word. So a
// member holds only what it has seen, and the rest of its probability is shared.
struct Emission {
  static constexpr int32_t kAbove = -1;
  static constexpr int32_t kMostNodesUp = 4;  // draws a row needs at most beyond the first: one block of words
  int32_t states = 0;
  std::vector<int32_t> above;  // [nodes] greater than the node's own, no member's; -1: none, and no outcome is kAbove
  // [nodes + 1] A node's entries are first[node] .. first[node + 1] of `table`, at least one; at most 2^32 - 1 in all.
  std::vector<int64_t> first;
  AliasTable table;  // [entries] of all nodes
};

// What a state of a variable means to a column.
enum class StateRole : uint8_t {
  kValue,    // the column holds the state's value
  kMissing,  // the column has no value
  kLatent,   // the value is the transform of the column's latent
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

  // A mixture's column that has a variable (missing_latent is -1 then). A column none of whose states is kLatent has no
  // segments, and its transform means nothing.
  int32_t emission = -1;               // index of the variable; -1: the latent alone gives the value
  std::vector<StateRole> state_role;   // [states]
  std::vector<int64_t> state_integer;  // [states] the values of integers; 0 where the role is another
  std::vector<double> state_real;      // [states] the values of reals, likewise

  bool has_state(StateRole role) const {
    return std::find(state_role.begin(), state_role.end(), role) != state_role.end();
  }
  bool has_latent() const { return emission < 0 || has_state(StateRole::kLatent); }  // whose transform gives values
  bool can_be_missing() const { return missing_latent >= 0 || has_state(StateRole::kMissing); }
};

struct TableSampler {
  int32_t members = 1;        // of the mixture
  int32_t latents = 0;        // number of z
  int32_t components = 0;     // normals shared by all z of a row
  std::vector<float> factor;  // [members, latents, components], row-major, effective_weight of each; magnitude <= 2^64
  std::vector<float> residual;  // [members, latents] standard deviation of each z's own noise, likewise; a latent for
                                // which it is 0 in all members has no draw
  std::vector<ColumnSampler> columns;

  // Of a mixture. Empty where there is one member at the origin: then a row needs no words but those of its normals.
  std::vector<float> mean;          // [members, latents], effective_weight of each; magnitude <= 2^64
  AliasTable member;                // outcomes 0 .. members - 1; at least members / 2 entries
  std::vector<Emission> emissions;  // the variables
  bool balanced = false;            // rows share out members and states evenly, instead of drawing them independently
  bool is_mixture() const { return !member.threshold.empty(); }
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

  // Memory that `sample` fills fastest (a device copies straight into its own kind), though it fills any.
  virtual HostMemory allocate(size_t bytes) const { return allocate_host_memory(bytes); }
  // How many bytes of rows it is best asked for at a time where nothing else decides.
  virtual size_t preferred_bytes() const { return kCacheBytes; }
};

// Which normal is the own noise of each latent, [latents]; -1: it has none in any member.
std::vector<int32_t> residual_draws(const TableSampler& sampler);

// Throws Error if the sampler contradicts itself or leaves the ranges above (lengths, latents out of range, a
// non-ascending `lower`, a number that is not finite).
void check_table_sampler(const TableSampler& sampler);

}  // namespace doppel
