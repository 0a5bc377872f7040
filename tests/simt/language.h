// Kernels that use what the emulator offers of CUDA's language, for the test that it does what CUDA's guide says.
#pragma once

#include <cuda_runtime_api.h>

namespace doppel {

inline constexpr int kLanguageThreads = 64, kLanguageRows = 15;

// out[row, thread]: row by row the results of the shuffles, votes, barrier reductions and atomics, in one block.
void launch_language(unsigned* out, cudaStream_t stream);

// *total = the sum of x[0, n), added by whichever block is the last to finish: partial[blocks] is published by fences.
// *finished is 0 before and after.
void launch_last_block_sum(const float* x, int n, float* partial, unsigned* finished, float* total, int blocks,
                           cudaStream_t stream);

}  // namespace doppel
