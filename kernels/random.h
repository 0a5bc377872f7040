// Counter-based randomness: Philox4x32-10 (Salmon et al., "Parallel random numbers: as easy as 1, 2, 3", SC 2011) and
// Box-Muller normals. There is no state: normal n of row i is a pure function of (seed, i, n).
//
// Block b of row i is philox(counter = {low(i), high(i), b, stream}, key = {low(seed), high(seed)}). Its four words
// give four normals: words 0, 1 -> normals 4b, 4b + 1; words 2, 3 -> normals 4b + 2, 4b + 3 (common/math.h:
// box_muller).
#pragma once

#include <cstdint>

namespace doppel {

// The fourth counter word separates uses of randomness that share a seed.
enum class Stream : uint32_t {
  kRows = 0,      // normals of generated rows
  kText = 1,      // free text and keys of generated rows
  kFit = 2,       // subsampling and starts while fitting
  kEvaluate = 3,  // splits while evaluating
  kComplete = 4,  // what is drawn for rows of which something is given
  kWhere = 5,     // generated rows under conditions that no table sampler draws
  kOrder = 6,     // of Sobol' points in a block (common/sobol.h)
  kShift = 7,     // of Sobol' points
};

// Sobol' points, which common/sobol.h defines: coordinates of a point, and rows that share an order.
inline constexpr int32_t kSobolDimensions = 64;
inline constexpr uint32_t kSobolBlockBits = 10;
inline constexpr uint32_t kSobolBlockRows = 1u << kSobolBlockBits;

// Tables of what four bits of a point's number add to a coordinate at a time.
inline constexpr int32_t kSobolParts = 8, kSobolPartValues = 16;

}  // namespace doppel
