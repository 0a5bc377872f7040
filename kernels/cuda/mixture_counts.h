// Counts of a mixture's members (MixtureCounts of kernels/mixture.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/responsibilities.h"

namespace doppel::cuda {

// Entries are sorted by member, those of a member in the order of rows. A member's counts are those of each variable's
// states, then its weight.
struct CountArguments {
  int64_t members;
  int32_t variables, size;  // size: counts of a member
  const int32_t* first;     // [members + 1] where a member's entries begin
  const Entry* entry;
  const int32_t* states;       // [blocks of kDensityRows rows, variables, kDensityRows]
  const int32_t* first_count;  // [variables + 2] where a variable's counts begin, the weight's place, and the end
  double* counts;              // [members, size]
};

// mixture_counts.cu. Asynchronous.
void sum_counts(const CountArguments& arguments, cudaStream_t stream);
// first [members + 1]: where each member's begin among entries sorted by member.
void find_boundaries(const int32_t* member, int64_t entries, int64_t members, int32_t* first, cudaStream_t stream);

}  // namespace doppel::cuda
