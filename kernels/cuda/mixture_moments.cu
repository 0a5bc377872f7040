// Moments of a mixture's members: sums over a member's rows, each weighted by its share, of the latents' offsets from
// the member's centre and of the offsets' products. To the CPU's bits: in double, unfused, each sum in the order of
// rows.
//
// in    rows' latents, in blocks of 8 rows; entries sorted by member; of each member its centre and, where latents are
//       absent, its mean and the matrices that give those (mixture_moments.h)
// out   moments [members, A (A + 3) / 2] of A axes, which hold sums already
// limit A up to kMostMomentAxes, any number of entries and members
//
// offsets_kernel: up to 32 lanes of a warp have an entry, as many as it has latents present or absent. Where some are
// absent, those present, less the mean, are whitened in shared memory (a lane has every 32nd of them, and adds in the
// order of latents), and those absent follow likewise. Neighbouring lanes read neighbouring numbers of the matrices,
// which entries of the same member share in L1 and L2. P latents present, G absent: P (P + 1) + 2 P G flop an entry,
// 8 (P (P + 1) / 2 + P G) bytes from caches, and 12 P + 8 G + 16 of memory.
//
// moments_kernel: a block has a member, and of its moments as many as its threads hold in registers, one each where
// members have at most 128, else eight. Entries go through shared memory in tiles, loaded 16 bytes at a time, with
// their weighted copy; an entry's leading 1 makes a sum of offsets one of products. A thread adds one entry after the
// other: its order is the CPU's. Neighbouring threads have neighbouring products of a row, or the same: shared memory
// is read without conflicts, weighted offsets by broadcast. A (A + 3) flop in double an entry, and 8 (A + 2) bytes of
// memory for each 1,024 moments: bound by arithmetic from some ten axes on, by latency where members have few entries.
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/mixture_moments.h"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

constexpr int kWarp = 32, kOffsetThreads = 128;
constexpr int kMostEach = 8;      // moments of a thread
constexpr int kTileEntries = 32;  // at most

// latents: of the entry's row, kDensityRows apart. offset: of the entry, after its leading 1. shared [2, present]: of
// the entry, for latents from the mean, and whitened. Without an entry, only the warp's barriers.
__device__ __forceinline__ void find_absent(const OffsetArguments& a, bool has_entry, int64_t member, int lane,
                                            const float* latents, double* shared, double* offset) {
  const int here = has_entry ? a.present : 0, gone = has_entry ? a.absent : 0, axes = here + gone;
  const double* mean = a.mean + member * axes;
  const double* inverse = a.inverse + member * here * here;
  double* white = shared + here;
  for (int i = lane; i < here; i += a.lanes) {
    const double from_mean = static_cast<double>(__ldg(latents + i * kDensityRows)) - __ldg(mean + i);
    shared[i] = from_mean;
  }
  __syncwarp();
  for (int i = lane; i < here; i += a.lanes) {
    double sum = 0;
    for (int j = 0; j <= i; ++j) sum += __ldg(inverse + static_cast<int64_t>(j) * here + i) * shared[j];
    white[i] = sum;
  }
  __syncwarp();
  const double* regression = a.regression + member * here * gone;
  const double* centre = a.centre + member * axes;
  for (int i = lane; i < gone; i += a.lanes) {
    double sum = __ldg(mean + here + i);
    for (int j = 0; j < here; ++j) sum += white[j] * __ldg(regression + static_cast<int64_t>(j) * gone + i);
    offset[__ldg(a.axis + here + i)] = sum - __ldg(centre + here + i);
  }
  __syncwarp();  // before shared memory is the next entry's
}

__global__ void __launch_bounds__(kOffsetThreads) offsets_kernel(const OffsetArguments a) {
  SIMT_DYNAMIC_SHARED(double, shared);  // [entries of the block, 2, present] where some are absent
  const int lane = static_cast<int>(threadIdx.x) % a.lanes, in_block = static_cast<int>(threadIdx.x) / a.lanes;
  const int of_block = kOffsetThreads / a.lanes, axes = a.present + a.absent;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * of_block; first < a.entries;
       first += static_cast<int64_t>(gridDim.x) * of_block) {
    const int64_t entry = first + in_block;
    const bool has_entry = entry < a.entries;
    const int64_t member = has_entry ? __ldg(a.member + a.first_entry + entry) : 0;
    const int64_t row = has_entry ? __ldg(&a.entry[a.first_entry + entry].row) : 0;
    const float* latents = a.latents + row / kDensityRows * a.present * kDensityRows + row % kDensityRows;
    const double* centre = a.centre + member * axes;
    double* offset = a.offset + entry * a.stride;
    for (int i = lane; i < a.present && has_entry; i += a.lanes)
      offset[1 + __ldg(a.axis + i)] = static_cast<double>(__ldg(latents + i * kDensityRows)) - __ldg(centre + i);
    if (has_entry && lane == 0) offset[0] = 1;
    if (has_entry && lane == 0 && 1 + axes < a.stride) offset[1 + axes] = 0;
    if (a.absent > 0) find_absent(a, has_entry, member, lane, latents, shared + in_block * 2 * a.present, offset + 1);
  }
}

// The axis of a packed moment: moments i (i + 3) / 2 .. are of axis i.
__device__ __forceinline__ int axis_of(int64_t moment) {
  auto axis = static_cast<int64_t>((sqrt(static_cast<double>(9 + 8 * moment)) - 3) / 2);
  while (axis * (axis + 3) / 2 > moment) --axis;
  while ((axis + 1) * (axis + 4) / 2 <= moment) ++axis;
  return static_cast<int>(axis);
}

template <int kEach>
__global__ void __launch_bounds__(kMomentThreads) moments_kernel(const MomentArguments a, int tile_entries) {
  SIMT_DYNAMIC_SHARED(double2, tile);  // [2, tile_entries, stride / 2] doubles in pairs: offsets, and weighted ones
  const int pairs = a.stride / 2, threads = static_cast<int>(blockDim.x), thread = static_cast<int>(threadIdx.x);
  double2* weighted_tile = tile + tile_entries * pairs;
  const auto* offsets = reinterpret_cast<const double*>(tile);
  const auto* weighted = reinterpret_cast<const double*>(weighted_tile);
  double* moments = a.moments + static_cast<int64_t>(blockIdx.x) * a.packed;
  const int64_t begin = static_cast<int64_t>(blockIdx.y) * threads * kEach + thread;
  // Of the member's entries those worked on, counted from the first of these.
  const int of_member = __ldg(a.first + blockIdx.x) - a.first_entry,
            of_next = __ldg(a.first + blockIdx.x + 1) - a.first_entry;
  const int first = of_member > 0 ? of_member : 0, end = of_next < a.entries ? of_next : a.entries;
  if (first >= end) return;
  int axis[kEach], other[kEach];  // places in an entry's offsets; past the last moment, of the leading 1
  double sum[kEach];
#pragma unroll
  for (int k = 0; k < kEach; ++k) {
    const int64_t moment = begin + k * threads;
    const bool is_one = moment < a.packed;
    const int i = is_one ? axis_of(moment) : -1;
    axis[k] = 1 + i;
    other[k] = is_one ? static_cast<int>(moment - static_cast<int64_t>(i) * (i + 3) / 2) : 0;
    sum[k] = is_one ? moments[moment] : 0;
  }
  for (int entry = first; entry < end; entry += tile_entries) {
    const int count = end - entry < tile_entries ? end - entry : tile_entries;
    const auto* from = reinterpret_cast<const double2*>(a.offset + static_cast<int64_t>(entry) * a.stride);
    __syncthreads();
    for (int i = thread; i < count * pairs; i += threads) {
      const double2 two = __ldg(from + i);
      const auto share = static_cast<double>(__ldg(&a.entry[a.first_entry + entry + i / pairs].share));
      const double2 both = make_double2(share * two.x, share * two.y);
      tile[i] = two;
      weighted_tile[i] = both;
    }
    __syncthreads();
    for (int e = 0; e < count && begin < a.packed; ++e) {
#pragma unroll
      for (int k = 0; k < kEach; ++k) sum[k] += weighted[e * a.stride + axis[k]] * offsets[e * a.stride + other[k]];
    }
  }
#pragma unroll
  for (int k = 0; k < kEach; ++k)
    if (begin + k * threads < a.packed) moments[begin + k * threads] = sum[k];
}

}  // namespace

void find_offsets(const OffsetArguments& arguments, cudaStream_t stream) {
  const int of_block = kOffsetThreads / arguments.lanes;
  const int64_t blocks = (int64_t{arguments.entries} + of_block - 1) / of_block;
  const dim3 grid(at_most(blocks));
  const size_t shared = arguments.absent > 0 ? static_cast<size_t>(of_block * 2 * arguments.present) : 0;
  CUDA_LAUNCH(offsets_kernel, grid, dim3(kOffsetThreads), shared * sizeof(double), stream, arguments);
}

void sum_moments(const MomentArguments& arguments, cudaStream_t stream) {
  const int64_t packed = arguments.packed;
  const size_t entry_bytes = 2 * sizeof(double) * static_cast<size_t>(arguments.stride);
  const auto entries = static_cast<int>(kMomentTileBytes / entry_bytes);
  const int tile_entries = entries < kTileEntries ? entries : kTileEntries;
  const size_t shared = entry_bytes * static_cast<size_t>(tile_entries);
  if (packed <= kMomentThreads) {
    const dim3 block(static_cast<unsigned>((packed + kWarp - 1) / kWarp * kWarp));
    CUDA_LAUNCH(moments_kernel<1>, dim3(static_cast<unsigned>(arguments.members)), block, shared, stream, arguments,
                tile_entries);
  } else {
    constexpr int64_t kOfBlock = kMomentThreads * kMostEach;
    const dim3 grid(static_cast<unsigned>(arguments.members),
                    static_cast<unsigned>((packed + kOfBlock - 1) / kOfBlock));
    CUDA_LAUNCH(moments_kernel<kMostEach>, grid, dim3(kMomentThreads), shared, stream, arguments, tile_entries);
  }
}

}  // namespace doppel::cuda
