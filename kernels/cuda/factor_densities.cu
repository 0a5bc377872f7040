// What latents add to log densities under factor analysers (factor_densities.h); A^T z is cuBLAS's.
//
// in    z [rows, stride], A^T z [rows, blocks, rank, 16], parameters with the member fastest; lists of absent latents
// out   log densities [rows, padded members], added to in place
// limit rank <= 32; any number of rows, members (padded to 16) and latents. Order of operations: the CPU's, but for
// sums
//       over a row's absent latents
//
// Squares: a thread has one member and eight rows; a parameter is loaded once for them and z four latents at a time,
// the same for all of a block. 3 L flop a row and member (L latents), L bytes of parameters: bound by arithmetic.
//
// Rows without gaps: a thread has one member and four rows, whose b is a column of shared memory (16 rank bytes a
// thread); loads of M's factor are coalesced and shared by the four. rank^2 flop and 4 rank bytes a row and member: a
// small part of the product, which takes 2 L rank flop.
//
// Rows with gaps: a warp has one row and member. M, an 8 x 4 grid of lanes' tiles [n, 2 n] in registers, loses the
// terms of absent latents (or gets those of present ones), 32 at a time by way of shared memory: two flop for each of
// the (8 n)^2 elements and 3 n floats of shared memory a lane and term; half of the elements are above the diagonal and
// not needed. n is 1, 2 or 4, the least that the rank fits. Then M goes to shared memory, and lane k has row k of its
// Cholesky factor and element k of b: rank^3 / 6 fused operations, two loads of shared memory each. For g gaps
// 2 g rank^2 flop and 4 g rank bytes of L2 a row and member: with 100 gaps and rank 32 twice the product's work.
// M in local or shared memory of a thread for each member, as the CPU has it, leaves 3 warps on a multiprocessor.
#include "kernels/common/portable.h"
#include "kernels/cuda/factor_densities.h"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/sums.cuh"

namespace doppel::cuda {
namespace {

using Lanes = PlainLanes;

// ---- squares

constexpr int kSquareThreads = 128;  // members of a block

__global__ void __launch_bounds__(kSquareThreads) squares_kernel(const FactorArguments a) {
  const int64_t member = static_cast<int64_t>(blockIdx.x) * kSquareThreads + threadIdx.x;
  if (member >= a.padded) return;
  const int64_t blocks = (a.rows + kSquareRows - 1) / kSquareRows;
  for (int64_t block = blockIdx.y; block < blocks; block += gridDim.y) {
    const int64_t first = block * kSquareRows;
    const float *mean = a.mean + member, *precision = a.precision + member;
    float sum[kSquareRows] = {};
    for (int j = 0; j < a.latents; j += kLatentsOfVector) {
      float z[kSquareRows][kLatentsOfVector];
#pragma unroll
      for (int r = 0; r < kSquareRows; ++r) {
        const float4 four = __ldg(reinterpret_cast<const float4*>(a.z + (first + r) * a.stride + j));
        z[r][0] = four.x, z[r][1] = four.y, z[r][2] = four.z, z[r][3] = four.w;
      }
#pragma unroll
      for (int i = 0; i < kLatentsOfVector; ++i) {
        if (j + i >= a.latents) break;
        const float centre = __ldg(mean), scale = __ldg(precision);
        mean += a.padded, precision += a.padded;
#pragma unroll
        for (int r = 0; r < kSquareRows; ++r) {
          const float offset = z[r][i] - centre;
          sum[r] = Lanes::fused(Lanes::multiply(offset, offset), scale, sum[r]);
        }
      }
    }
#pragma unroll
    for (int r = 0; r < kSquareRows; ++r) {
      if (first + r >= a.rows) break;
      float* place = a.log_density + (first + r) * a.padded + member;
      *place = Lanes::fused(sum[r], -0.5f, *place);
    }
  }
}

// ---- rows without gaps

constexpr int kExplainedThreads = 64, kExplainedRows = 4;
constexpr int kExplainedBlocks = 16;  // resident: 64 registers a thread

__device__ __forceinline__ float4 less(const float4& y, float scale, const float4& x) {  // y - scale x
  return make_float4(Lanes::fused(-scale, x.x, y.x), Lanes::fused(-scale, x.y, y.y), Lanes::fused(-scale, x.z, y.z),
                     Lanes::fused(-scale, x.w, y.w));
}

__global__ void __launch_bounds__(kExplainedThreads, kExplainedBlocks)
    explained_kernel(const FactorArguments a, const int32_t* rows, int64_t count) {
  SIMT_DYNAMIC_SHARED(float4, shared);  // [rank, kExplainedThreads] b of four rows
  const int64_t member = static_cast<int64_t>(blockIdx.x) * kExplainedThreads + threadIdx.x;
  if (member >= a.padded) return;
  float4* b = shared + threadIdx.x;
  const int64_t block = member / kMemberLanes, lane = member % kMemberLanes, width = a.padded * a.rank;
  const int64_t place = block * a.rank * kMemberLanes + lane;
  const float half_log = __ldg(a.half_log + member);
  for (int64_t first = static_cast<int64_t>(blockIdx.y) * kExplainedRows; first < count;
       first += static_cast<int64_t>(gridDim.y) * kExplainedRows) {
    int64_t row[kExplainedRows];
#pragma unroll
    for (int r = 0; r < kExplainedRows; ++r)
      row[r] = __ldg(rows + (first + r < count ? first + r : count - 1)) - a.first_row;
    for (int k = 0; k < a.rank; ++k) {
      const int64_t at = place + k * kMemberLanes;
      const float offset = __ldg(a.offset + at);
      b[k * kExplainedThreads] =
          make_float4(__ldg(a.product + row[0] * width + at) - offset, __ldg(a.product + row[1] * width + at) - offset,
                      __ldg(a.product + row[2] * width + at) - offset, __ldg(a.product + row[3] * width + at) - offset);
    }
    const float* root = a.root + block * (a.rank * (a.rank + 1) / 2) * kMemberLanes + lane;
    float4 sum = make_float4(0, 0, 0, 0);
    for (int k = 0; k < a.rank; ++k) {
      float4 y = b[k * kExplainedThreads];
      for (int l = 0; l < k; ++l, root += kMemberLanes) y = less(y, __ldg(root), b[l * kExplainedThreads]);
      const float inverse = __ldg(root);
      root += kMemberLanes;
      y = make_float4(y.x * inverse, y.y * inverse, y.z * inverse, y.w * inverse);
      b[k * kExplainedThreads] = y;
      sum = make_float4(Lanes::fused(y.x, y.x, sum.x), Lanes::fused(y.y, y.y, sum.y), Lanes::fused(y.z, y.z, sum.z),
                        Lanes::fused(y.w, y.w, sum.w));
    }
    const float explained[kExplainedRows] = {sum.x, sum.y, sum.z, sum.w};
#pragma unroll
    for (int r = 0; r < kExplainedRows; ++r) {
      if (first + r >= count) break;
      float* value = a.log_density + row[r] * a.padded + member;
      *value = Lanes::fused(explained[r], 0.5f, *value - half_log);
    }
  }
}

// ---- rows with gaps

constexpr int kGapWarps = 4, kTerms = 32;  // of a block; staged at once
constexpr int kTilesDown = 8, kTilesAcross = 4;

// n floats of shared memory, aligned to them.
template <int n>
__device__ __forceinline__ void load_floats(const float* from, float* to) {
  if constexpr (n == 4) {
    const float4 four = *reinterpret_cast<const float4*>(from);
    to[0] = four.x, to[1] = four.y, to[2] = four.z, to[3] = four.w;
  } else if constexpr (n == 2) {
    const float2 two = *reinterpret_cast<const float2*>(from);
    to[0] = two.x, to[1] = two.y;
  } else {
    to[0] = *from;
  }
}

// A warp's row under one member. `shared` is the warp's own.
template <int n>
struct RowOfFactors {
  static constexpr int kOrder = kTilesDown * n;  // M is [kOrder, kOrder], zero past the rank
  static constexpr int kStride = kOrder + 1;     // of M in shared memory: lanes' rows are in banks of their own
  static constexpr int kFloats = kOrder * (kTerms > kStride ? kTerms : kStride);
  static constexpr int kResidentBlocks = n == 4 ? 3 : 5;  // 168 or 96 registers a thread
  static_assert(kOrder <= kWarp && kTilesDown * kTilesAcross == kWarp && kTilesAcross * 2 * n == kOrder);

  const FactorArguments& a;
  const FactorsByMember& of;
  float* shared;
  int64_t member;
  int lane, down, across;  // a lane's tile of M: rows from `down` and columns from `across` on
  float m[n][2 * n];
  float b;  // of the lane's row

  // M of all latents, and b as the product has it; or of none, and b without the means.
  __device__ __forceinline__ void load(int64_t row, bool of_all) {
    const int triangle = a.rank * (a.rank + 1) / 2;
    for (int e = lane; e < triangle && of_all; e += kWarp) shared[e] = __ldg(of.moment + member * triangle + e);
    __syncwarp();
#pragma unroll
    for (int i = 0; i < n; ++i)
#pragma unroll
      for (int c = 0; c < 2 * n; ++c) {
        const int k = down + i, l = across + c;
        m[i][c] = k == l ? 1.0f : 0.0f;
        if (of_all) m[i][c] = l <= k && k < a.rank ? shared[k * (k + 1) / 2 + l] : 0.0f;
      }
    b = 0;
    if (lane >= a.rank) return;
    const int64_t block = member / kMemberLanes;
    b = __ldg(a.product + ((row * (a.padded / kMemberLanes) + block) * a.rank + lane) * kMemberLanes +
              member % kMemberLanes);
    if (of_all) b = b - __ldg(of.offset + member * a.rank + lane);
  }

  // Adds sign x the terms A_j A_j^T residual_j of at most kTerms latents to M, and takes sign x A_j mean_j from b.
  __device__ __forceinline__ void add_terms(const int32_t* latents, int count, float sign) {
    const int32_t latent = lane < count ? __ldg(latents + lane) : 0;
    const int64_t place = member * a.latents + latent;
    const float mean = __ldg(of.mean + place);
    const float scale = sign / fmaxf(__ldg(of.precision + place), 1e-30f);
    __syncwarp();
    for (int e = lane; e - lane < count * kOrder; e += kWarp) {
      const int term = e / kOrder, k = e % kOrder;
      const int32_t j = __shfl_sync(kAllLanes, latent, term % kWarp);
      if (term < count) shared[e] = k < a.rank ? __ldg(of.loading + (member * a.latents + j) * a.rank + k) : 0.0f;
    }
    __syncwarp();
    for (int t = 0; t < count; ++t) {
      const float* term = shared + t * kOrder;
      const float scale_of_term = __shfl_sync(kAllLanes, scale, t), mean_of_term = __shfl_sync(kAllLanes, mean, t);
      if (lane < kOrder) b = Lanes::fused(-sign * term[lane], mean_of_term, b);
      float left[n], right[2 * n];
      load_floats<n>(term + down, left);
      load_floats<n>(term + across, right);
      load_floats<n>(term + across + n, right + n);
#pragma unroll
      for (int i = 0; i < n; ++i) {
        const float scaled = scale_of_term * left[i];
#pragma unroll
        for (int c = 0; c < 2 * n; ++c) m[i][c] = Lanes::fused(scaled, right[c], m[i][c]);
      }
    }
  }

  // 1/2 (b^T M^-1 b - log |M|), in all lanes. A pivot of M, which is at least the identity, is at least 1.
  __device__ __forceinline__ float explained() {
    __syncwarp();
#pragma unroll
    for (int i = 0; i < n; ++i)
#pragma unroll
      for (int c = 0; c < 2 * n; ++c) shared[(down + i) * kStride + across + c] = m[i][c];
    __syncwarp();
    float* own = shared + lane * kStride;
    float square = 0, half_log = 0;
    for (int k = 0; k < a.rank; ++k) {
      const bool is_below = lane >= k && lane < a.rank;
      const float* pivot_row = shared + k * kStride;
      float element = is_below ? own[k] : 0.0f;
      for (int l = 0; l < k && is_below; ++l) element = Lanes::fused(-own[l], pivot_row[l], element);
      const float pivot = fmaxf(__shfl_sync(kAllLanes, element, k), 1.0f), inverse = 1.0f / sqrtf(pivot);
      half_log = Lanes::fused(logf(pivot), 0.5f, half_log);
      const float y = __shfl_sync(kAllLanes, b, k) * inverse;
      square = Lanes::fused(y, y, square);
      if (is_below && lane > k) {
        own[k] = element * inverse;
        b = Lanes::fused(-(element * inverse), y, b);
      }
      __syncwarp();
    }
    return Lanes::fused(square, 0.5f, -half_log);
  }
};

template <int n>
__global__ void __launch_bounds__(kGapWarps* kWarp, RowOfFactors<n>::kResidentBlocks)
    gaps_kernel(const FactorArguments a, const FactorsByMember of, const GappyRows rows) {
  using Row = RowOfFactors<n>;
  SIMT_SHARED(float4, shared, [kGapWarps * Row::kFloats / 4]);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t member = static_cast<int64_t>(blockIdx.x) * kGapWarps + warp;
  if (member >= a.members) return;
  Row row{a,
          of,
          reinterpret_cast<float*>(shared) + warp * Row::kFloats,
          member,
          lane,
          lane / kTilesAcross * n,
          lane % kTilesAcross * 2 * n,
          {},
          0};
  for (int64_t i = blockIdx.y; i < rows.rows; i += gridDim.y) {
    const int64_t absent = __ldg(rows.absent_first + i), absent_end = __ldg(rows.absent_first + i + 1);
    const int64_t present = __ldg(rows.present_first + i), present_end = __ldg(rows.present_first + i + 1);
    const bool few_gaps = 2 * (absent_end - absent) <= a.latents;
    float missed = 0;
    for (int64_t g = absent + lane; g < absent_end; g += kWarp)
      missed += __ldg(of.absent + member * a.latents + __ldg(rows.absent + g));
    missed = sum_to_all_lanes(missed);
    const int64_t number = __ldg(rows.row + i) - a.first_row;
    row.load(number, few_gaps);
    const int32_t* latents = few_gaps ? rows.absent : rows.present;
    const int64_t end = few_gaps ? absent_end : present_end;
    for (int64_t first = few_gaps ? absent : present; first < end; first += kTerms)
      row.add_terms(latents + first, static_cast<int>(end - first < kTerms ? end - first : kTerms),
                    few_gaps ? -1.0f : 1.0f);
    const float explained = row.explained();
    if (lane == 0) {
      float* value = a.log_density + number * a.padded + member;
      *value = *value + missed + explained;
    }
  }
}

// ---- the order of parameters

constexpr int kSortThreads = 256;

__global__ void __launch_bounds__(kSortThreads)
    by_member_kernel(const float* from, int64_t outer, int64_t padded, int64_t width, float* to) {
  const int64_t values = outer * padded * width;
  for (int64_t i = static_cast<int64_t>(blockIdx.x) * kSortThreads + threadIdx.x; i < values;
       i += static_cast<int64_t>(gridDim.x) * kSortThreads) {
    const int64_t k = i % width, j = i / width % outer, member = i / width / outer;
    to[i] = __ldg(from + ((j * (padded / kMemberLanes) + member / kMemberLanes) * width + k) * kMemberLanes +
                  member % kMemberLanes);
  }
}

}  // namespace

void add_squares(const FactorArguments& arguments, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((arguments.padded + kSquareThreads - 1) / kSquareThreads),
                  at_most((arguments.rows + kSquareRows - 1) / kSquareRows));
  CUDA_LAUNCH(squares_kernel, grid, dim3(kSquareThreads), 0, stream, arguments);
}

void add_explained(const FactorArguments& arguments, const int32_t* row, int64_t count, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((arguments.padded + kExplainedThreads - 1) / kExplainedThreads),
                  at_most((count + kExplainedRows - 1) / kExplainedRows));
  const size_t shared_bytes = static_cast<size_t>(arguments.rank) * kExplainedThreads * sizeof(float4);
  CUDA_LAUNCH(explained_kernel, grid, dim3(kExplainedThreads), shared_bytes, stream, arguments, row, count);
}

void add_explained_with_gaps(const FactorArguments& arguments, const FactorsByMember& members, const GappyRows& rows,
                             cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>((arguments.members + kGapWarps - 1) / kGapWarps), at_most(rows.rows));
  const dim3 block(kGapWarps * kWarp);
  if (arguments.rank <= kTilesDown) {
    CUDA_LAUNCH(gaps_kernel<1>, grid, block, 0, stream, arguments, members, rows);
  } else if (arguments.rank <= 2 * kTilesDown) {
    CUDA_LAUNCH(gaps_kernel<2>, grid, block, 0, stream, arguments, members, rows);
  } else {
    CUDA_LAUNCH(gaps_kernel<4>, grid, block, 0, stream, arguments, members, rows);
  }
}

void sort_by_member(const float* from, int64_t outer, int64_t padded, int64_t width, float* to, cudaStream_t stream) {
  const int64_t values = outer * padded * width;
  if (values == 0) return;
  CUDA_LAUNCH(by_member_kernel, dim3(at_most((values + kSortThreads - 1) / kSortThreads)), dim3(kSortThreads), 0,
              stream, from, outer, padded, width, to);
}

}  // namespace doppel::cuda
