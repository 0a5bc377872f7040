// The CPU's table sampler from inside: what is prepared once, and the instruction sets it can run on. Backends use
// prepare_cpu_table_sampler; tests and benchmarks choose the instruction set.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/random.h"
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

// What becomes of a column's value, in its bits: (value of the latent & kept) | value.
template <class Value>
struct StateValue {
  Value kept;   // all bits where the latent gives the value, else none
  Value value;  // the state's, 0 where it has none
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

  // A mixture's column with a variable. [states], those of the storage's size.
  int32_t emission = -1;
  bool has_latent = true, has_missing = false;  // some state, or the column itself, is of that kind
  std::vector<StateValue<uint32_t>> states32;
  std::vector<StateValue<uint64_t>> states64;
  std::vector<StateRole> state_role;
  std::vector<int32_t> missing_sign;  // [states] -1 where it is missing, 0 elsewhere; empty up to 32 states
  uint32_t missing_states = 0;        // bit 31 - state is 1 where it is missing; 0 if there are more than 32

  bool can_be_missing() const { return has_missing; }
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

// An entry of an alias table in 8 bytes. Outcomes of 16 bits (of members or of a variable) are in it, the one below the
// threshold in the low half; larger ones are at this place of a table of pairs, which then exists.
struct AliasEntry {
  uint32_t threshold, outcomes;
};
struct OutcomePair {
  int32_t outcome[2];  // below the threshold, and above
};
using OutcomePairs = std::vector<OutcomePair>;
inline constexpr int32_t kMostNarrowOutcomes = 1 << 15;

// Weights of so many latents of one member, computed together. Weight: float, or uint16_t, the bits of a number in half
// precision.
inline constexpr int32_t kVectorLatents = 8;
template <class Weight>
struct alignas(kVectorLatents * sizeof(Weight)) LatentVector {
  Weight latent[kVectorLatents];
};

// What a mixture has besides columns. What is needed of one member lies together: neighbouring rows are of different
// members.
struct PreparedMixture {
  int32_t word_blocks = 0;      // Philox blocks of a row whose words draw the member and the states
  int32_t sobol_blocks = 0;     // the first so many of them are not Philox's but Sobol' points' words
  int32_t padded_sobol = 0;     // their words, to whole vectors
  std::vector<uint32_t> sobol;  // [kSobolParts, kSobolPartValues, padded_sobol] (sobol.h)
  std::vector<AliasEntry> member;
  OutcomePairs member_pairs;  // empty where outcomes are narrow

  // A member's weights: for each vector of latents the means, then the factor's for components 0 .. used - 1 (all
  // members' are zero beyond, which is half of a triangular factor; so padding comes first, where it costs least of
  // one). Where half precision holds them all, they are in
  // half_weights: 16 bits each, as what a row costs is mostly the loads of its member's weights.
  int32_t latent_vectors = 0, padding = 0;           // latents that are nobody's, before the others
  std::vector<int32_t> used;                         // [latent_vectors]
  size_t weights_per_member = 0;                     // in vectors
  std::vector<LatentVector<float>> weights;          // [members, weights_per_member], or empty
  std::vector<LatentVector<uint16_t>> half_weights;  // likewise: the other of the two
  std::vector<int32_t> residual_draw;                // [padding + latents] -1: none
  std::vector<float> residuals;                      // [members, padding + latents], empty where none has a draw

  // A member's nodes: how many entries each variable has, then where in `entries` they begin, both padded with zeros.
  int32_t variables = 0, padded_variables = 0;  // to a multiple of kMostLanes
  std::vector<uint32_t> member_nodes;           // [members, 2, padded_variables]
  std::vector<AliasEntry> entries;
  std::vector<OutcomePairs> pairs;  // [variables], those of narrow outcomes empty

  // The nodes above the members, variable after variable: for each member the number of its one, for each of them its
  // entries and the number of the one above it. Where there is none the number means nothing and is 0.
  struct Node {
    uint32_t first, entries;
    int32_t above;
  };
  std::vector<std::vector<int32_t>> above;     // [variables, members]
  std::vector<std::vector<Node>> nodes_above;  // [variables]
};

struct PreparedTable {
  int32_t blocks = 0;               // of four normals, per row
  int32_t tile_rows = 0;            // rows sampled together: a multiple of 64
  std::vector<LatentGroup> groups;  // empty in a mixture
  std::optional<PreparedMixture> mixture;
  std::vector<PreparedColumn> columns;

  int32_t word_blocks() const { return mixture ? mixture->word_blocks : 0; }
  int32_t padded_variables() const { return mixture ? mixture->padded_variables : 0; }
  int32_t padded_latents() const {
    return mixture ? mixture->latent_vectors * kVectorLatents : 4 * static_cast<int32_t>(groups.size());
  }
};

PreparedTable prepare_table(const TableSampler& sampler);  // checks it, too
PreparedMixture prepare_mixture(const TableSampler& sampler);

// What the points of rows 1024 block .. 1024 block + 1023 share: their order, and what all their words have added.
struct SobolBlock {
  uint32_t order[4];
  alignas(64) int32_t shared[kSobolDimensions];
};
SobolBlock sobol_block(const PreparedMixture& mixture, uint64_t seed, uint64_t block);

// Throws Error where `sample` cannot write `rows` rows of the columns to the buffers. Column: has can_be_missing().
template <class Column>
void check_buffers(const std::vector<Column>& columns, std::span<const ColumnBuffer> buffers, int64_t rows) {
  if (buffers.size() != columns.size()) throw Error("table sampler: buffers and columns differ in number");
  for (size_t column = 0; column < buffers.size(); ++column) {
    if (buffers[column].values == nullptr && rows > 0) throw Error("table sampler: a column without a buffer");
    if (columns[column].can_be_missing() && buffers[column].validity == nullptr)
      throw Error("table sampler: a column with missing values and no validity buffer");
  }
}

inline constexpr int32_t kMostLanes = 16;  // of any instruction set, in floats

inline constexpr int32_t kDrawnRows = 64;  // rows whose entries are read before they are judged

// Working memory of one sampler, 64-byte aligned.
struct TileScratch {
  explicit TileScratch(const PreparedTable& table);
  float* normals = nullptr;     // [4 * blocks, tile_rows]
  float* scores = nullptr;      // [latents, tile_rows], after those of a mixture's padding
  int32_t* buckets = nullptr;   // [tile_rows]
  std::byte* values = nullptr;  // [tile_rows] of the widest storage

  // Of a mixture.
  int32_t* words = nullptr;        // [tile_rows, 4 * word_blocks]
  int32_t* members = nullptr;      // [tile_rows]
  float* row_scores = nullptr;     // [kMostLanes, padded_latents]
  int32_t* low = nullptr;          // [kDrawnRows, padded_variables] low halves of products
  AliasEntry* drawn = nullptr;     // likewise, the entries that the high halves point to
  int32_t* row_states = nullptr;   // likewise, the states
  int32_t* states = nullptr;       // [padded_variables, tile_rows]
  int32_t* listed = nullptr;       // [tile_rows] rows whose state is drawn again, from the node above
  int32_t* listed_node = nullptr;  // [tile_rows] the node that each of those draws from next
  int32_t* climbing = nullptr;     // [tile_rows] which of those still draw
  int32_t* more_words = nullptr;   // [4, tile_rows] their words

 private:
  std::unique_ptr<std::byte, void (*)(std::byte*)> memory_;
};

struct PreparedDecoder;  // decode_table.h
struct DecoderScratch;
struct PreparedBounded;  // bounded_sampler.h
struct BoundedScratch;

constexpr int64_t padded_normals(int64_t blocks) {
  return 4 * ((blocks + kMostLanes - 1) / kMostLanes * kMostLanes);
}

struct InstructionSet {
  std::string name;  // "AVX-512", "AVX2", "NEON", "scalar"
  void (*sample)(const PreparedTable& table, TileScratch& scratch, uint64_t seed, uint64_t first_row, int64_t rows,
                 std::span<const ColumnBuffer> columns);
  // Normals [4 * blocks, rows] of rows [first_row, first_row + rows), rows a multiple of 64.
  void (*normals)(uint64_t seed, uint64_t first_row, int64_t rows, int32_t blocks, float* normals);
  // `blocks` blocks of four of one row, from first_block on; out has room for padded_normals(blocks).
  void (*normals_of_row)(uint64_t seed, uint64_t row, int64_t first_block, int64_t blocks, float* normals);
  void (*decode)(const PreparedDecoder& decoder, DecoderScratch& scratch, uint64_t seed, uint64_t first_row,
                 int64_t rows, std::span<const ColumnBuffer> columns);
  void (*bounded)(const PreparedBounded& sampler, BoundedScratch& scratch, uint64_t seed, uint64_t first_row,
                  int64_t rows, std::span<const ColumnBuffer> columns);
};

// Those of this machine, the best first; "scalar" is always there and the last.
const std::vector<InstructionSet>& instruction_sets();

std::unique_ptr<PreparedTableSampler> prepare_cpu_table_sampler(const TableSampler& sampler,
                                                                const InstructionSet& instructions);

extern const InstructionSet kScalarInstructions;

}  // namespace doppel
