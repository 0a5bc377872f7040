// Counts of a mixture's members: sums of its rows' shares, by the state of each variable and of all. In double, in the
// order of rows: the CPU's bits.
//
// in    entries sorted by member; rows' states, in blocks of 8 rows (mixture_counts.h)
// out   counts [members, size], which hold sums already
// limit any number of members, variables and states; up to 65,535 x 64 variables
//
// counts_kernel: a block has a member and 64 variables, a thread a variable, whose counts are no other thread's.
// Entries are read in batches, so that their loads run side by side; the counts are in shared memory where they fit. 12
// bytes and an addition an entry and variable; bound by the latency of additions to the same count, at 30 cycles each.
//
// boundaries_kernel: a thread has an entry, and sets where its member and those without entries before it begin. 4
// bytes an entry.
#include "kernels/cuda/mixture_counts.h"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

constexpr int kCountThreads = 64, kBoundaryThreads = 256;
constexpr int kSharedCounts = 4096;  // 32 KB
constexpr int kAhead = 8;            // entries read before their counts are added to

// Adds a member's shares to counts of a variable, `to` + state; negative and other states count nowhere.
__device__ __forceinline__ void add_shares(const CountArguments& a, int first, int end, int variable, int states,
                                           double* to) {
  const bool is_weight = variable == a.variables;
  for (int entry = first; entry < end; entry += kAhead) {
    int state[kAhead];
    float share[kAhead];
#pragma unroll
    for (int k = 0; k < kAhead; ++k) {
      state[k] = -1;
      if (entry + k >= end) continue;
      const int64_t row = __ldg(&a.entry[entry + k].row);
      share[k] = __ldg(&a.entry[entry + k].share);
      const int64_t block = row / kDensityRows * a.variables + variable;
      state[k] = is_weight ? 0 : __ldg(a.states + block * kDensityRows + row % kDensityRows);
    }
#pragma unroll
    for (int k = 0; k < kAhead; ++k)
      if (state[k] >= 0 && state[k] < states) to[state[k]] += static_cast<double>(share[k]);
  }
}

__global__ void __launch_bounds__(kCountThreads) counts_kernel(const CountArguments a) {
  SIMT_DYNAMIC_SHARED(double, shared);  // [counts of the block's variables], where they fit
  const int first = __ldg(a.first + blockIdx.x), end = __ldg(a.first + blockIdx.x + 1);
  if (first == end) return;
  const int thread = static_cast<int>(threadIdx.x), begin = static_cast<int>(blockIdx.y) * kCountThreads;
  const int past = begin + kCountThreads < a.variables + 1 ? begin + kCountThreads : a.variables + 1;
  const int first_count = __ldg(a.first_count + begin), size = __ldg(a.first_count + past) - first_count;
  double* counts = a.counts + static_cast<int64_t>(blockIdx.x) * a.size + first_count;
  const int variable = begin + thread;
  const int place = variable < past ? __ldg(a.first_count + variable) - first_count : 0;
  const int states = variable < past ? __ldg(a.first_count + variable + 1) - first_count - place : 0;
  if (size > kSharedCounts) {
    if (variable < past) add_shares(a, first, end, variable, states, counts + place);
    return;
  }
  for (int i = thread; i < size; i += kCountThreads) shared[i] = counts[i];
  __syncthreads();
  if (variable < past) add_shares(a, first, end, variable, states, shared + place);
  __syncthreads();
  for (int i = thread; i < size; i += kCountThreads) counts[i] = shared[i];
}

__global__ void __launch_bounds__(kBoundaryThreads)
    boundaries_kernel(const int32_t* member, int entries, int members, int32_t* first) {
  const int entry = static_cast<int>(blockIdx.x) * kBoundaryThreads + static_cast<int>(threadIdx.x);
  if (entry > entries) return;
  const int before = entry > 0 ? __ldg(member + entry - 1) : -1,
            here = entry < entries ? __ldg(member + entry) : members;
  for (int m = before + 1; m <= here; ++m) first[m] = entry;
}

}  // namespace

void sum_counts(const CountArguments& arguments, cudaStream_t stream) {
  const int groups = (arguments.variables + kCountThreads) / kCountThreads;
  const int shared = arguments.size < kSharedCounts ? arguments.size : kSharedCounts;
  const dim3 grid(static_cast<unsigned>(arguments.members), static_cast<unsigned>(groups));
  CUDA_LAUNCH(counts_kernel, grid, dim3(kCountThreads), static_cast<size_t>(shared) * sizeof(double), stream,
              arguments);
}

void find_boundaries(const int32_t* member, int64_t entries, int64_t members, int32_t* first, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(entries / kBoundaryThreads + 1));
  CUDA_LAUNCH(boundaries_kernel, grid, dim3(kBoundaryThreads), 0, stream, member, static_cast<int>(entries),
              static_cast<int>(members), first);
}

}  // namespace doppel::cuda
