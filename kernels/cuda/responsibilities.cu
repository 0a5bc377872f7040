// Log densities of rows under every member of a mixture, and which members of a row are near its greatest.
//
// in    parameters with the member fastest; rows in blocks of 8 with the row fastest (responsibilities.h)
// out   log densities [rows, padded members]; of each row the members near the greatest, ascending, with its parts in
// them limit any number of rows and members, padded to 16; any number of variables and latents
//
// Log densities: a thread has one member and eight rows, so that a parameter is loaded once for them, and in the CPU's
// order of operations. Neighbouring threads have neighbouring members: loads of parameters are coalesced, those of
// rows (32 bytes for eight) are the same for all of a block. V variables, L latents: L^2 + 5 L + V flop a row and
// member, and for eight of them 4 (L (L + 3) / 2 + 8 V + 1) bytes of parameters, which L1 and L2 hold. Bound by loads
// where variables are many, else by arithmetic.
//
// Near members: a warp has a row, and goes through its log densities twice: for the greatest, and for those near it,
// whose places follow from ballots. First they are counted; with the places that follow from the counts, the same pass
// writes them. 8 bytes a row and member, 12 with the pass again.
//
// Entries: a thread has a row, whose densities by the greatest it adds in their order, in double, as the CPU does.
// Three passes over a row's few members: 20 bytes and 20 flop each, bound by latency.
#include "kernels/common/math.h"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/responsibilities.h"
#include "kernels/cuda/sums.cuh"

namespace doppel::cuda {
namespace {

using Lanes = PlainLanes;

constexpr int kNearThreads = 256, kEntryThreads = 256;
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ == 750  // with eight, ptxas spills two registers
constexpr int kResidentDensityBlocks = 7;
#else
constexpr int kResidentDensityBlocks = 8;  // 64 registers a thread
#endif

template <class Four, class Number>
__device__ __forceinline__ void load_rows(const Four* from, Number to[kDensityRows]) {
  const Four low = __ldg(from), high = __ldg(from + 1);
  to[0] = low.x, to[1] = low.y, to[2] = low.z, to[3] = low.w;
  to[4] = high.x, to[5] = high.y, to[6] = high.z, to[7] = high.w;
}

__global__ void __launch_bounds__(kDensityThreads, kResidentDensityBlocks)
    log_densities_kernel(const DensityArguments a) {
  const int64_t member = static_cast<int64_t>(blockIdx.x) * kDensityThreads + threadIdx.x;
  if (member >= a.padded) return;
  for (int64_t block = blockIdx.y; block < a.rows / kDensityRows; block += gridDim.y) {
    float sum[kDensityRows];
    const float base = __ldg(a.base + member);
#pragma unroll
    for (int r = 0; r < kDensityRows; ++r) sum[r] = base;
    for (int v = 0; v < a.variables; ++v) {
      int state[kDensityRows];
      load_rows(reinterpret_cast<const int4*>(a.states) + (block * a.variables + v) * 2, state);
      const float* table = a.emission + __ldg(a.first + v) + member;
      const int states = __ldg(a.state_count + v);
#pragma unroll
      for (int r = 0; r < kDensityRows; ++r)
        if (state[r] >= 0 && state[r] < states) sum[r] = sum[r] + __ldg(table + state[r] * a.padded);
    }
    const float* weight = a.whitening + member;
    const auto* latents = reinterpret_cast<const float4*>(a.latent) + block * a.latents * 2;
    for (int i = 0; i < a.latents; ++i) {
      float y[kDensityRows];
      const float shift = __ldg(weight);
      weight += a.padded;
#pragma unroll
      for (int r = 0; r < kDensityRows; ++r) y[r] = shift;
      for (int j = 0; j <= i; ++j, weight += a.padded) {
        const float w = __ldg(weight);
        float z[kDensityRows];
        load_rows(latents + 2 * j, z);
#pragma unroll
        for (int r = 0; r < kDensityRows; ++r) y[r] = Lanes::fused(w, z[r], y[r]);
      }
#pragma unroll
      for (int r = 0; r < kDensityRows; ++r) sum[r] = Lanes::fused(Lanes::multiply(y[r], y[r]), -0.5f, sum[r]);
    }
#pragma unroll
    for (int r = 0; r < kDensityRows; ++r) a.log_density[(block * kDensityRows + r) * a.padded + member] = sum[r];
  }
}

__global__ void __launch_bounds__(kNearThreads) near_members_kernel(const NearArguments a) {
  const unsigned lane = threadIdx.x % kWarp;
  const int64_t warps = static_cast<int64_t>(gridDim.x) * (kNearThreads / kWarp);
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * (kNearThreads / kWarp) + threadIdx.x / kWarp; row < a.rows;
       row += warps) {
    const float* values = a.log_density + row * a.padded;
    float most = kNoDensity;
    for (int64_t member = lane; member < a.padded; member += kWarp) most = fmaxf(most, __ldg(values + member));
    most = greatest_to_all_lanes(most);
    const bool possible = most > 0.5f * kNoDensity;
    const float bound = most - kNegligible;
    int count = 0;
    for (int64_t first = 0; possible && first < a.padded; first += kWarp) {
      const int64_t member = first + lane;
      const float value = member < a.padded ? __ldg(values + member) : kNoDensity;
      const unsigned near = __ballot_sync(0xffffffffu, value >= bound);
      if (a.first != nullptr && value >= bound) {
        const int64_t place = __ldg(a.first + row) + count + __popc(near & ((1u << lane) - 1));
        a.member[place] = static_cast<int32_t>(member);
        a.value[place] = value;
      }
      count += __popc(near);
    }
    if (lane == 0) a.count[row] = count;
    if (lane == 0 && row == 0) a.count[a.rows] = 0;
  }
}

__global__ void __launch_bounds__(kEntryThreads) entries_kernel(const ShareArguments a) {
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kEntryThreads + threadIdx.x;
  if (row >= a.rows) return;
  const int first = __ldg(a.first + row), end = __ldg(a.first + row + 1);
  float greatest = first < end ? __ldg(a.value + first) : 0;
  for (int e = first + 1; e < end; ++e) greatest = fmaxf(greatest, __ldg(a.value + e));
  double sum = 0;
  for (int e = first; e < end; ++e) {
    const float density = portable::exp_below_zero<Lanes>(__ldg(a.value + e) - greatest);
    sum += static_cast<double>(density);
  }
  for (int e = first; e < end; ++e) {
    const float density = portable::exp_below_zero<Lanes>(__ldg(a.value + e) - greatest);
    const auto share = static_cast<float>(static_cast<double>(density) / sum);
    a.entry[e] = Entry{static_cast<int32_t>(a.first_row + row), share};
  }
  a.greatest[row] = greatest;
  a.sum[row] = sum;
}

}  // namespace

void compute_log_densities(const DensityArguments& arguments, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((arguments.padded + kDensityThreads - 1) / kDensityThreads),
                  at_most(arguments.rows / kDensityRows));
  CUDA_LAUNCH(log_densities_kernel, grid, dim3(kDensityThreads), 0, stream, arguments);
}

void find_near_members(const NearArguments& arguments, cudaStream_t stream) {
  constexpr int kRows = kNearThreads / kWarp;
  const dim3 grid(at_most((arguments.rows + kRows - 1) / kRows));
  CUDA_LAUNCH(near_members_kernel, grid, dim3(kNearThreads), 0, stream, arguments);
}

void find_entries(const ShareArguments& arguments, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((arguments.rows + kEntryThreads - 1) / kEntryThreads));
  CUDA_LAUNCH(entries_kernel, grid, dim3(kEntryThreads), 0, stream, arguments);
}

}  // namespace doppel::cuda
