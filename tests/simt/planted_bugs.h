// A block-wise sum with one bug at a time, to show that the emulator reports it.
#pragma once

#include <cuda_runtime_api.h>

namespace doppel {

enum class Bug {
  kNone,
  kMissingBarrier,        // shared memory read before the barrier
  kMissingSecondBarrier,  // shared memory overwritten while others still read it
  kMissingWarpBarrier,    // lanes of a warp exchange through shared memory without __syncwarp
  kDivergentBarrier,      // some warps do not come to the barrier
  kExitBeforeBarrier,     // some threads return before it
  kTwoBarriers,           // the branches of an if have a barrier each
  kWrongMask,             // lanes call a shuffle that its mask leaves out
  kShuffleInBranch,       // a full mask where half of the lanes are
  kUninitialisedShared,   // a value read that nobody wrote
  kWritePastShared,
  kReadPastGlobal,
  kWritePastGlobal,
  kLostUpdateShared,  // += by many threads, no atomic
  kLostUpdateGlobal,  // += by many blocks, no atomic
  kMisaligned,        // a 16-byte load from an address that is not a multiple of 16
  kTooMuchShared,
  kEndlessRecursion,  // overflows the thread's stack
};

inline constexpr int kSumThreads = 128;

// *total += the sum of x[0, n).
void launch_sum(Bug bug, const float* x, int n, float* total, int blocks, cudaStream_t stream);
void launch_warp_butterfly_sum(const float* x, int n, float* total, int blocks, cudaStream_t stream);  // without a bug

}  // namespace doppel
