// Sums of what rows say of latents and factors under factor analysers (factor_sums.h).
//
// in    entries sorted by member, rows z [rows, stride] with bits for what they lack, A^T z [rows, blocks, rank, 16]
//       that responsibilities were found with, parameters
// out   posterior means of factors [entries, rank]; sums [members, rank + 2, stride], added to
// limit rank <= 32; any number of entries, members and latents
//
// A sum belongs to one thread, which adds entries in their order: the same bits each time. There are members x columns
// / 64 blocks of sums: a hundred members of some hundred latents fill a device, a few members leave most of it idle.
//
// factors_kernel: a warp has an entry without gaps, a lane a factor; b is A^T z less A^T mean. 2 rank^2 flop, 68 rank
// bytes (of b, of which each number is in a sector of its own) and M^-1, which a member's entries share in the caches.
//
// complete_kernel: 64 threads have an entry with gaps. M, in double, lies in their registers, [8 n, 8 n] with n 1, 2 or
// 4, the least that the rank fits; it loses the terms of absent latents (or gets those of present ones), 16 at a time
// by way of shared memory, and is inverted pivot by pivot (Goodnight, "A tutorial on the sweep operator", 1979). For g
// gaps 2 g rank^2 + 2 rank^3 flop in double, 8 g rank + 16 rank^2 bytes.
//
// gap_sums_kernel: a warp has a member and eight latents, or eight factors. With f a latent's row of the factor, V the
// entry's M^-1 and e = f^T x, the entry adds share (e x + V f) to products with factors and share (e^2 + f^T V f +
// residual) to squares. 2 rank^2 flop in double and 8 rank^2 bytes of V, from the caches, an entry and gap.
//
// sums_kernel: a block has a member and 64 columns of its sums, a thread a column: products with all factors, sum and
// square are in registers, in single precision for up to 512 entries at a time and then in double in memory. Factors by
// shares go through shared memory, 32 entries at a time, and are read by broadcast, four at a time; z is read once,
// eight entries ahead, 64 neighbouring latents of a row. 2 (rank + 2) flop and 4 bytes an entry and column: bound by
// arithmetic from some 16 factors on, else by memory.
#include "kernels/common/portable.h"
#include "kernels/cuda/factor_sums.h"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/sums.cuh"

namespace doppel::cuda {
namespace {

using Lanes = PlainLanes;

constexpr int kFactorsOfTile = 8;  // M and a thread's sums have one, two or four times as many

// A row's number among those with gaps, or -1.
__device__ __forceinline__ int32_t gap_of(const FactorSumArguments& a, int64_t row) {
  return a.gap != nullptr ? __ldg(a.gap + row) : -1;
}

// A^T z of the row and member, [rank] kMemberLanes apart.
__device__ __forceinline__ const float* product_of(const FactorSumArguments& a, int64_t row, int64_t member) {
  const int64_t block = member / kMemberLanes, blocks = a.padded / kMemberLanes;
  return a.product + ((row - a.first_row) * blocks + block) * a.rank * kMemberLanes + member % kMemberLanes;
}
__device__ __forceinline__ const float* offset_of(const FactorSumArguments& a, int64_t member) {
  return a.offset + member / kMemberLanes * a.rank * kMemberLanes + member % kMemberLanes;
}

// ---- rows without gaps

constexpr int kFactorWarps = 8;

__global__ void __launch_bounds__(kFactorWarps* kWarp) factors_kernel(const FactorSumArguments a) {
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int k = lane < a.rank ? lane : 0;
  for (int64_t entry = static_cast<int64_t>(blockIdx.x) * kFactorWarps + warp; entry < a.entries;
       entry += static_cast<int64_t>(gridDim.x) * kFactorWarps) {
    const int64_t row = __ldg(&a.entry[entry].row), member = __ldg(a.member + entry);
    if (gap_of(a, row) >= 0) continue;
    const float b =
        __ldg(product_of(a, row, member) + k * kMemberLanes) - __ldg(offset_of(a, member) + k * kMemberLanes);
    const float* inverse = a.inverse + member * a.rank * a.rank + k;
    float x = 0;
    for (int l = 0; l < a.rank; ++l) {
      const float of_other = __shfl_sync(kAllLanes, b, l);
      x = Lanes::fused(__ldg(inverse + l * a.rank), of_other, x);
    }
    if (lane < a.rank) a.factors[entry * a.rank + lane] = x;
  }
}

// ---- rows with gaps

constexpr int kCompleteThreads = 64, kTerms = 16;  // of a block; staged at once
constexpr int kCompleteBlocks = 6;                 // resident: 168 registers a thread

// An entry's M. A thread has one column of it, and rows kApart apart.
template <int n>
struct PosteriorOfEntry {
  static constexpr int kOrder = kFactorsOfTile * n, kApart = kCompleteThreads / kOrder, kEach = kOrder / kApart;
  struct Shared {
    double terms[kTerms * kOrder];
    double scales[kTerms];      // of their products: 1 / residual, with the sign
    double means[kTerms];       // of their latents
    double pivots[2 * kOrder];  // the row and the column of a pivot
    double b[kOrder];
    double parts[kCompleteThreads];  // of sums
  };

  const FactorSumArguments& a;
  const GapSumArguments& g;
  Shared& shared;
  int64_t row, member;
  int thread, column, first_row;
  double m[kEach];
  double b;  // of the thread's factor

  // M of all latents, and b as the product has it; or of none, and b without the means.
  __device__ __forceinline__ void load(bool of_all) {
    const double* moment = g.moment + member * a.rank * a.rank;
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
      const int k = first_row + r * kApart;
      m[r] = k == column ? 1.0 : 0.0;
      if (of_all && k < a.rank && column < a.rank) m[r] = __ldg(moment + k * a.rank + column);
    }
    b = 0;
    if (thread >= a.rank) return;
    b = static_cast<double>(__ldg(product_of(a, row, member) + thread * kMemberLanes));
    if (of_all) b = b - static_cast<double>(__ldg(offset_of(a, member) + thread * kMemberLanes));
  }

  // Adds sign x the terms A_j A_j^T residual_j of at most kTerms latents to M, and takes sign x A_j mean_j from b.
  __device__ __forceinline__ void add_terms(const int32_t* latents, int count, double sign) {
    __syncthreads();
    if (thread < count) {
      const int64_t j = __ldg(latents + thread);
      const double scale = sign / __ldg(g.residual + member * a.latents + j);
      const auto mean = static_cast<double>(__ldg(a.mean + j * a.padded + member));
      shared.scales[thread] = scale;
      shared.means[thread] = mean;
    }
    for (int e = thread; e < count * kOrder; e += kCompleteThreads) {
      const int64_t j = __ldg(latents + e / kOrder), k = e % kOrder;
      double of_factor = 0;
      if (k < a.rank) of_factor = __ldg(g.factor + (member * a.latents + j) * a.rank + k);
      shared.terms[e] = of_factor;
    }
    __syncthreads();
    for (int t = 0; t < count; ++t) {
      const double* term = shared.terms + t * kOrder;
      const double scaled = shared.scales[t] * term[column];
      if (thread < kOrder) b = __fma_rn(-scaled, shared.means[t], b);
#pragma unroll
      for (int r = 0; r < kEach; ++r) m[r] = __fma_rn(term[first_row + r * kApart], scaled, m[r]);
    }
  }

  __device__ __forceinline__ void invert() {
    for (int k = 0; k < a.rank; ++k) {
#pragma unroll
      for (int r = 0; r < kEach; ++r) {
        if (first_row + r * kApart == k) shared.pivots[column] = m[r];
        if (column == k) shared.pivots[kOrder + first_row + r * kApart] = m[r];
      }
      __syncthreads();
      const double inverse = 1 / shared.pivots[k], of_column = shared.pivots[column] * inverse;
#pragma unroll
      for (int r = 0; r < kEach; ++r) {
        const int of_row = first_row + r * kApart;
        const double of_pivot = shared.pivots[kOrder + of_row];
        if (of_row == k) {
          m[r] = column == k ? inverse : of_column;
        } else {
          m[r] = column == k ? -of_pivot * inverse : __fma_rn(-of_pivot, of_column, m[r]);
        }
      }
      __syncthreads();
    }
  }

  // M, by then inverted and so symmetric, and its product with b.
  __device__ __forceinline__ void store(double* inverse, float* factors) {
    if (thread < kOrder) shared.b[thread] = b;
    __syncthreads();
    double x = 0;
#pragma unroll
    for (int r = 0; r < kEach; ++r) {
      const int k = first_row + r * kApart;
      x = __fma_rn(m[r], shared.b[k], x);
      if (k < a.rank && column < a.rank) inverse[k * a.rank + column] = m[r];
    }
    shared.parts[thread] = x;
    __syncthreads();
    if (thread >= a.rank) return;
    x = 0;
#pragma unroll
    for (int part = 0; part < kApart; ++part) x += shared.parts[part * kOrder + thread];
    factors[thread] = static_cast<float>(x);
  }
};

template <int n>
__global__ void __launch_bounds__(kCompleteThreads, kCompleteBlocks)
    complete_kernel(const FactorSumArguments a, const GapSumArguments g) {
  using Posterior = PosteriorOfEntry<n>;
  SIMT_SHARED(typename Posterior::Shared, shared, [1]);
  const int thread = static_cast<int>(threadIdx.x);
  for (int i = static_cast<int>(blockIdx.x); i < g.entries; i += static_cast<int>(gridDim.x)) {
    const int64_t entry = g.first_entry + i, row = __ldg(&a.entry[entry].row), member = __ldg(a.member + entry);
    const int32_t gap = gap_of(a, row);
    if (gap < 0) continue;
    Posterior of{a, g, shared[0], row, member, thread, thread % Posterior::kOrder, thread / Posterior::kOrder, {}, 0};
    const int64_t absent = __ldg(g.absent_first + gap), gaps = __ldg(g.absent_first + gap + 1) - absent;
    const bool few_gaps = 2 * gaps <= a.latents;
    const int32_t* latents = few_gaps ? g.absent + absent : g.present + __ldg(g.present_first + gap);
    const auto count = static_cast<int>(few_gaps ? gaps : a.latents - gaps);
    of.load(few_gaps);
    for (int first = 0; first < count; first += kTerms)
      of.add_terms(latents + first, count - first < kTerms ? count - first : kTerms, few_gaps ? -1.0 : 1.0);
    of.invert();
    of.store(g.inverse + static_cast<int64_t>(i) * a.rank * a.rank, a.factors + entry * a.rank);
  }
}

constexpr int kGapWarps = 4, kGapColumns = 8;  // of a block; of a warp
constexpr int kGapBlocks = 7;                  // resident: 72 registers a thread

// A warp's columns of a member's sums: latents, or factors.
struct ColumnsOfGaps {
  const FactorSumArguments& a;
  const GapSumArguments& g;
  int64_t member;
  int lane, first;  // first column among those of its kind
  bool of_factors;
  double* products;    // shared, the warp's own [kGapColumns, kWarp]: lane k's are with factor k
  double sum, square;  // lane c's are of column c

  // Which of the columns a row lacks.
  __device__ __forceinline__ unsigned absent_in(int32_t gap) const {
    if (gap < 0) return 0;
    if (of_factors) return (1u << (a.rank - first < kGapColumns ? a.rank - first : kGapColumns)) - 1;
    const uint32_t word = __ldg(a.absent + static_cast<int64_t>(gap) * a.words + first / 32);
    return word >> first % 32 & ((1u << kGapColumns) - 1);
  }

  // V = M^-1 of the entry.
  __device__ __forceinline__ void add_latent(int column, double share, double x, const double* inverse) {
    const int64_t latent = member * a.latents + first + column;
    const double* factor = g.factor + latent * a.rank;
    const int k = lane < a.rank ? lane : 0;
    double v = 0, of_own = 0;  // V f, and f
    if (lane < a.rank) {
      of_own = __ldg(factor + lane);
      for (int l = 0; l < a.rank; ++l) v = __fma_rn(inverse[l * a.rank + k], __ldg(factor + l), v);
    }
    const double expected_sum = sum_of_warp(of_own * x), spread_sum = sum_of_warp(of_own * v);
    const double expected = __shfl_sync(kAllLanes, expected_sum, 0), spread = __shfl_sync(kAllLanes, spread_sum, 0);
    const double residual = __ldg(g.residual + latent);
    products[column * kWarp + lane] += share * __fma_rn(expected, x, v);
    if (lane == column) sum += share * expected, square += share * (expected * expected + spread + residual);
  }
  __device__ __forceinline__ void add_factor(int column, double share, const double* inverse) {
    if (lane < a.rank) products[column * kWarp + lane] += share * inverse[(first + column) * a.rank + lane];
  }
  __device__ __forceinline__ void add(int64_t entry, unsigned columns) {
    const auto share = static_cast<double>(__ldg(&a.entry[entry].share));
    const double* inverse = g.inverse + (entry - g.first_entry) * a.rank * a.rank;
    double x = 0;
    if (lane < a.rank) x = static_cast<double>(a.factors[entry * a.rank + lane]);
    for (int column = 0; column < kGapColumns; ++column) {
      if ((columns >> column & 1) == 0) continue;
      if (of_factors) {
        add_factor(column, share, inverse);
      } else {
        add_latent(column, share, x, inverse);
      }
    }
  }
  // To the member's sums.
  __device__ __forceinline__ void store() const {
    const int64_t stride = a.stride;
    const int end = of_factors ? a.rank : a.latents;
    double* to = a.sums + member * (a.rank + 2) * stride + (of_factors ? a.latents : 0) + first;
    for (int column = 0; column < kGapColumns && first + column < end; ++column)
      if (lane < a.rank) to[lane * stride + column] += products[column * kWarp + lane];
    if (lane < kGapColumns && first + lane < end && !of_factors) {
      to[a.rank * stride + lane] += sum;
      to[(a.rank + 1) * stride + lane] += square;
    }
  }
};

__global__ void __launch_bounds__(kGapWarps* kWarp, kGapBlocks)
    gap_sums_kernel(const FactorSumArguments a, const GapSumArguments g) {
  SIMT_SHARED(double, shared, [kGapWarps * kGapColumns * kWarp]);
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int of_latents = (a.latents + kGapColumns - 1) / kGapColumns,
            groups = of_latents + (a.rank + kGapColumns - 1) / kGapColumns;
  const int group = static_cast<int>(blockIdx.y) * kGapWarps + warp;
  if (group >= groups) return;
  const int last = g.first_entry + g.entries, of_member = __ldg(a.first + blockIdx.x),
            of_next = __ldg(a.first + blockIdx.x + 1);
  const int begin = of_member > g.first_entry ? of_member : g.first_entry, end = of_next < last ? of_next : last;
  if (begin >= end) return;
  const bool of_factors = group >= of_latents;
  ColumnsOfGaps columns{a,
                        g,
                        static_cast<int64_t>(blockIdx.x),
                        lane,
                        (of_factors ? group - of_latents : group) * kGapColumns,
                        of_factors,
                        shared + warp * kGapColumns * kWarp,
                        0,
                        0};
  for (int column = 0; column < kGapColumns; ++column) columns.products[column * kWarp + lane] = 0;
  for (int first = begin; first < end; first += kWarp) {
    const int own = first + lane;
    unsigned absent = 0;
    if (own < end) absent = columns.absent_in(gap_of(a, __ldg(&a.entry[own].row)));
    const unsigned some = __ballot_sync(kAllLanes, absent != 0);
    for (int e = 0; e < kWarp && some >> e != 0; ++e) {
      const unsigned of_entry = __shfl_sync(kAllLanes, absent, e);
      if (of_entry != 0) columns.add(first + e, of_entry);
    }
  }
  columns.store();
}

// ---- all other sums

constexpr int kTileEntries = 32, kRunEntries = 512, kAhead = 8;
constexpr int kSumBlocks = 6;  // resident: 168 registers a thread

// What an entry has in a column of the sums.
__device__ __forceinline__ float value_of(const FactorSumArguments& a, int64_t entry, int64_t row, int32_t gap,
                                          int column, float mean) {
  if (column < a.latents) {
    if (gap >= 0) {
      const uint32_t word = __ldg(a.absent + static_cast<int64_t>(gap) * a.words + column / 32);
      if ((word >> column % 32 & 1) != 0) return 0;
    }
    return __ldg(a.z + row * a.row_stride + column) - mean;
  }
  const int factor = column - a.latents;
  if (factor < a.rank) return __ldg(a.factors + entry * a.rank + factor);
  return factor == a.rank || (factor == a.rank + 1 && gap < 0) ? 1.0f : 0.0f;
}

template <int n>
__global__ void __launch_bounds__(kSumRows, kSumBlocks) sums_kernel(const FactorSumArguments a) {
  constexpr int kVectors = kFactorsOfTile * n / 4;
  SIMT_SHARED(float4, weighted, [kTileEntries * kVectors]);  // factors by share
  SIMT_SHARED(float, shares, [kTileEntries]);
  SIMT_SHARED(int32_t, rows, [kTileEntries]);
  SIMT_SHARED(int32_t, gaps, [kTileEntries]);
  const int begin = __ldg(a.first + blockIdx.x), end = __ldg(a.first + blockIdx.x + 1);
  if (begin == end) return;
  const int thread = static_cast<int>(threadIdx.x), column = static_cast<int>(blockIdx.y) * kSumRows + thread;
  const int64_t stride = a.stride;
  double* sums = a.sums + static_cast<int64_t>(blockIdx.x) * (a.rank + 2) * stride + column;
  float mean = 0;
  if (column < a.latents) mean = __ldg(a.mean + column * a.padded + blockIdx.x);
  for (int run = begin; run < end; run += kRunEntries) {
    const int run_end = end - run < kRunEntries ? end : run + kRunEntries;
    float4 products[kVectors];
    float sum = 0, square = 0;
#pragma unroll
    for (int v = 0; v < kVectors; ++v) products[v] = make_float4(0, 0, 0, 0);
    for (int tile = run; tile < run_end; tile += kTileEntries) {
      const int count = run_end - tile < kTileEntries ? run_end - tile : kTileEntries;
      __syncthreads();
      if (thread < kTileEntries) {  // past the last entry the last again, with no share
        const int entry = tile + (thread < count ? thread : count - 1);
        const int32_t row = __ldg(&a.entry[entry].row);
        const float share = __ldg(&a.entry[entry].share);
        rows[thread] = row;
        gaps[thread] = gap_of(a, row);
        shares[thread] = thread < count ? share : 0.0f;
      }
      __syncthreads();
      auto* to = reinterpret_cast<float*>(weighted);
      for (int i = thread; i < kTileEntries * kVectors * 4; i += kSumRows) {
        const int e = i / (kVectors * 4), k = i % (kVectors * 4);
        float x = 0;
        if (e < count && k < a.rank) x = __ldg(a.factors + static_cast<int64_t>(tile + e) * a.rank + k);
        to[i] = x * shares[e];
      }
      __syncthreads();
      for (int e = 0; e < count; e += kAhead) {
        float value[kAhead];
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
          const int entry = tile + (e + i < count ? e + i : count - 1);
          value[i] = value_of(a, entry, rows[e + i], gaps[e + i], column, mean);
        }
#pragma unroll
        for (int i = 0; i < kAhead; ++i) {
          const float share = shares[e + i], x = value[i];
          sum = Lanes::fused(share, x, sum);
          square = Lanes::fused(share * x, x, square);
#pragma unroll
          for (int v = 0; v < kVectors; ++v) {
            const float4 factors = weighted[(e + i) * kVectors + v];
            products[v].x = Lanes::fused(factors.x, x, products[v].x);
            products[v].y = Lanes::fused(factors.y, x, products[v].y);
            products[v].z = Lanes::fused(factors.z, x, products[v].z);
            products[v].w = Lanes::fused(factors.w, x, products[v].w);
          }
        }
      }
    }
#pragma unroll
    for (int v = 0; v < kVectors; ++v) {
      const float four[] = {products[v].x, products[v].y, products[v].z, products[v].w};
#pragma unroll
      for (int i = 0; i < 4; ++i)
        if (4 * v + i < a.rank) sums[(4 * v + i) * stride] += static_cast<double>(four[i]);
    }
    sums[a.rank * stride] += static_cast<double>(sum);
    sums[(a.rank + 1) * stride] += static_cast<double>(square);
  }
}

// Calls launch(constant) with the least n for which the rank fits kFactorsOfTile n.
template <int n>
struct Tiles {
  static constexpr int kTiles = n;
};
template <class Launch>
void with_tiles_of(int rank, const Launch& launch) {
  if (rank <= kFactorsOfTile) return launch(Tiles<1>());
  if (rank <= 2 * kFactorsOfTile) return launch(Tiles<2>());
  launch(Tiles<4>());
}

}  // namespace

void find_factors(const FactorSumArguments& arguments, cudaStream_t stream) {
  if (arguments.rank == 0) return;
  CUDA_LAUNCH(factors_kernel, dim3(at_most((int64_t{arguments.entries} + kFactorWarps - 1) / kFactorWarps)),
              dim3(kFactorWarps * kWarp), 0, stream, arguments);
}

void complete_rows(const FactorSumArguments& arguments, const GapSumArguments& gaps, cudaStream_t stream) {
  if (arguments.rank == 0) return;
  with_tiles_of(arguments.rank, [&](auto tiles) {
    CUDA_LAUNCH(complete_kernel<decltype(tiles)::kTiles>, dim3(at_most(gaps.entries)), dim3(kCompleteThreads), 0,
                stream, arguments, gaps);
  });
}

void sum_gaps(const FactorSumArguments& arguments, const GapSumArguments& gaps, cudaStream_t stream) {
  const int groups =
      (arguments.latents + kGapColumns - 1) / kGapColumns + (arguments.rank + kGapColumns - 1) / kGapColumns;
  const dim3 grid(static_cast<unsigned>(arguments.members),
                  static_cast<unsigned>((groups + kGapWarps - 1) / kGapWarps));
  CUDA_LAUNCH(gap_sums_kernel, grid, dim3(kGapWarps * kWarp), 0, stream, arguments, gaps);
}

void sum_factors(const FactorSumArguments& arguments, cudaStream_t stream) {
  const dim3 grid(static_cast<unsigned>(arguments.members),
                  static_cast<unsigned>(sum_stride(arguments.latents, arguments.rank) / kSumRows));
  with_tiles_of(arguments.rank, [&](auto tiles) {
    CUDA_LAUNCH(sums_kernel<decltype(tiles)::kTiles>, grid, dim3(kSumRows), 0, stream, arguments);
  });
}

}  // namespace doppel::cuda
