// Scores of rows under a mixture whose covariances are of low rank: log densities of rows under members, and what known
// latents' cells are without them. In double, fused; sums have one order whatever rows are beside a row.
//
// in    z [rows, latents], NaN where a row does not know a latent; parameters of members (factor_scores.h); tables of
//       states (row_scores.h)
// out   joint [rows, stride], x [rows, members, width], of rows with gaps M's factors; found_without [cells, rows]
// limit rank <= 32; any number of rows, members, latents, variables and cells; memory for width doubles a row and
//       member, and of rows with gaps for 40, 144 or 544 more (order 8, 16 or 32)
//
// squares_kernel: a thread has one member and eight rows; each parameter is loaded once for them, z is the same for all
// of a warp. 5 L flop a row and member, 3 L bytes of L2 (L latents).
//
// products_kernel: sum of u e: a thread has four factors of a member and eight rows, 32 sums in registers; per latent 8
// loads of z, the same for all of a warp, and 48 bytes for 80 flop. The four warps of a block have the same members and
// other rows, so that most loads are L1's. 2 L rank flop and 8 width bytes written a row and member: the most of rows
// without gaps.
//
// whole_kernel, gaps_kernel: groups of 8, 16 or 32 lanes, as the rank fits, have a member of a row, each lane a row of
// M^-1 or M in registers. Rows that know all latents: 2 rank^2 flop. With gaps M loses the terms of absent latents, or
// gets those of present ones where these are fewer: which, lanes see in z, 32 latents at a time, and four terms go
// through shared memory at once. Then M's factor is found in shared memory, a column after the other. 2 g rank^2 flop
// and 8 g rank bytes of L2 a row and member for g terms, and rank^3; M of a member in a thread's own memory, as the CPU
// has it, would be local memory.
//
// without_whole_kernel, without_gaps_kernel: a thread has a cell, and of rows without gaps four; it goes through the
// members and keeps the greatest logarithm and the sum so far, so that nothing is stored by member and cell. 2 rank
// flop a row, member and cell, and an exponential where it can be seen beside the greatest. With gaps, the row's
// likeliest member comes first; 1 - s, rank^2 flop by M's factor, is found only where a bound by what the latent has
// alone lets the member matter (kTooImprobable: as the CPU's loops have it).
#include "kernels/common/elementary.h"
#include "kernels/cuda/factor_scores.h"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/sums.cuh"

namespace doppel::cuda {
namespace {

__device__ __forceinline__ double2 load_pair(const double* from) {
  return __ldg(reinterpret_cast<const double2*>(from));
}
__device__ __forceinline__ bool is_known(double z) {
  return z == z;
}

// ---- squares and states

constexpr int kSquareThreads = 128;

__global__ void __launch_bounds__(kSquareThreads) squares_kernel(const RowScoreArguments a, const FactorParameters p) {
  const int64_t member = static_cast<int64_t>(blockIdx.x) * kSquareThreads + threadIdx.x;
  if (member >= a.members) return;
  for (int64_t first = static_cast<int64_t>(blockIdx.y) * kFactorTileRows; first < a.rows;
       first += static_cast<int64_t>(gridDim.y) * kFactorTileRows) {
    const int count = static_cast<int>(a.rows - first < kFactorTileRows ? a.rows - first : kFactorTileRows);
    const double* z = a.z + first * a.latents;
    double sum[kFactorTileRows] = {};
    for (int64_t j = 0; j < a.latents; ++j) {
      const int64_t at = j * a.stride + member;
      const double mean = __ldg(p.mean + at), scale = __ldg(p.scale + at), constant = __ldg(p.constant + at);
#pragma unroll
      for (int r = 0; r < kFactorTileRows; ++r) {
        const double of_row = __ldg(z + (r < count ? r : 0) * a.latents + j), e = (of_row - mean) * scale;
        if (is_known(of_row)) sum[r] += __fma_rn(e, e, constant);
      }
    }
#pragma unroll
    for (int r = 0; r < kFactorTileRows; ++r) {
      if (r >= count) break;
      double joint = __ldg(a.log_weight + member);
      const int32_t* states = a.known_states + (first + r) * a.variables;
      for (int v = 0; v < a.variables; ++v) joint += __ldg(a.states[__ldg(states + v)] + member);
      a.joint[(first + r) * a.stride + member] = __fma_rn(sum[r], -0.5, joint);
    }
  }
}

// ---- the product with u

constexpr int kProductWarps = 4;   // of a block, each of other rows
constexpr int kProductBlocks = 4;  // resident: up to 128 registers a thread

__global__ void __launch_bounds__(kProductWarps* kWarp, kProductBlocks)
    products_kernel(const RowScoreArguments a, const FactorParameters p, double* x) {
  const int quads = p.width / kFactorsOfThread;
  const int64_t parts = a.members * quads, part = static_cast<int64_t>(blockIdx.x) * kWarp + threadIdx.x;
  if (part >= parts) return;
  const int64_t member = part / quads;
  constexpr int kBlockRows = kProductWarps * kFactorTileRows;
  for (int64_t first = static_cast<int64_t>(blockIdx.y) * kBlockRows + threadIdx.y * kFactorTileRows; first < a.rows;
       first += static_cast<int64_t>(gridDim.y) * kBlockRows) {
    const int count = static_cast<int>(a.rows - first < kFactorTileRows ? a.rows - first : kFactorTileRows);
    const double *z = a.z + first * a.latents, *loading = p.loading + part * kFactorsOfThread;
    const double *mean = p.mean + member, *scale = p.scale + member;
    double sum[kFactorTileRows][kFactorsOfThread] = {};
    for (int j = 0; j < a.latents; ++j) {
      const double2 u = load_pair(loading), v = load_pair(loading + 2);
      const double centre = __ldg(mean), by = __ldg(scale);
      loading += parts * kFactorsOfThread, mean += a.stride, scale += a.stride;
#pragma unroll
      for (int r = 0; r < kFactorTileRows; ++r) {
        const double of_row = __ldg(z + (r < count ? r : 0) * a.latents + j);
        const double e = is_known(of_row) ? (of_row - centre) * by : 0.0;
        sum[r][0] = __fma_rn(u.x, e, sum[r][0]), sum[r][1] = __fma_rn(u.y, e, sum[r][1]);
        sum[r][2] = __fma_rn(v.x, e, sum[r][2]), sum[r][3] = __fma_rn(v.y, e, sum[r][3]);
      }
    }
#pragma unroll
    for (int r = 0; r < kFactorTileRows; ++r) {
      if (r >= count) break;
      auto* to = reinterpret_cast<double2*>(x + ((first + r) * parts + part) * kFactorsOfThread);
      to[0] = make_double2(sum[r][0], sum[r][1]);
      to[1] = make_double2(sum[r][2], sum[r][3]);
    }
  }
}

// ---- what factors explain

constexpr int kFactorWarps = 4;  // of a block
constexpr int kWholeRows = 16;   // about, that share M^-1
constexpr int kTerms = 4;        // staged at once

// A lane's place: lane k of a group of `order` lanes, which has a member.
template <int order>
struct LaneOfMember {
  static constexpr int kMembers = kWarp / order;  // of a warp
  int warp, lane, group, k;
  int64_t first, member;  // of the warp, and of the lane: the last where there is none
  bool has_member;

  __device__ __forceinline__ explicit LaneOfMember(int64_t members)
      : warp(static_cast<int>(threadIdx.x) / kWarp),
        lane(static_cast<int>(threadIdx.x) % kWarp),
        group(lane / order),
        k(lane % order),
        first((static_cast<int64_t>(blockIdx.x) * kFactorWarps + warp) * kMembers),
        member(first + group < members ? first + group : members - 1),
        has_member(first + group < members) {}
};

// Over a group, in all its lanes; all lanes of the warp call it.
template <int order>
__device__ __forceinline__ double sum_of_group(double x) {
#pragma unroll
  for (int distance = order / 2; distance > 0; distance /= 2) x += __shfl_xor_sync(kAllLanes, x, distance);
  return x;
}

template <int order>
__device__ __forceinline__ void load_row(const double* from, double (&row)[order]) {
#pragma unroll
  for (int l = 0; l < order; l += 2) {
    const double2 two = load_pair(from + l);
    row[l] = two.x, row[l + 1] = two.y;
  }
}

template <int order>
__global__ void __launch_bounds__(kFactorWarps* kWarp)
    whole_kernel(const RowScoreArguments a, const FactorParameters p, double* x_of_rows) {
  SIMT_SHARED(double2, shared, [kFactorWarps * kWarp / 2]);
  const LaneOfMember<order> of(a.members);
  if (of.first >= a.members) return;
  double2* of_group = shared + (of.warp * kWarp + of.group * order) / 2;
  double inverse[order];
  load_row<order>(p.inverse + (of.member * order + of.k) * order, inverse);
  const double half_log = __ldg(p.half_log + of.member);
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    double* place = x_of_rows + (row * a.members + of.member) * p.width + of.k;
    const double b = of.k < p.width ? *place : 0.0;
    __syncwarp();
    reinterpret_cast<double*>(of_group)[of.k] = b;
    __syncwarp();
    double x = 0;
#pragma unroll
    for (int l = 0; l < order; l += 2) {
      const double2 two = of_group[l / 2];
      x = __fma_rn(inverse[l + 1], two.y, __fma_rn(inverse[l], two.x, x));
    }
    const double explained = sum_of_group<order>(b * x);
    if (!of.has_member) continue;
    if (of.k < p.width) *place = x;
    if (of.k == 0) a.joint[row * a.stride + of.member] += 0.5 * explained - half_log;
  }
}

// A row's M under a member, of which a lane has a row.
template <int order>
struct MomentOfRow {
  static constexpr int kStride = order + 1;  // of M in shared memory: lanes' rows begin in banks of their own
  static constexpr int kDoubles = kWarp * (kTerms > kStride ? kTerms : kStride);  // of a warp

  const RowScoreArguments& a;
  const FactorParameters& p;
  const LaneOfMember<order>& of;
  double* shared;  // the warp's

  __device__ __forceinline__ double* row_of(int k) const { return shared + (of.group * order + k) * kStride; }

  __device__ __forceinline__ void load(bool of_all, double (&m)[order]) const {
    if (of_all) return load_row<order>(p.moment + (of.member * order + of.k) * order, m);
#pragma unroll
    for (int l = 0; l < order; ++l) m[l] = l == of.k ? 1.0 : 0.0;
  }

  // Of latents from `first` on that are known, or, taken away, of those that are not.
  __device__ __forceinline__ void add_terms(const double* z, int first, bool of_all, double (&m)[order]) const {
    const int latent = first + of.lane;
    const bool is_term = latent < a.latents && is_known(__ldg(z + (latent < a.latents ? latent : 0))) != of_all;
    unsigned terms = __ballot_sync(kAllLanes, is_term);
    while (terms != 0) {
      double u[kTerms];
#pragma unroll
      for (int t = 0; t < kTerms; ++t) {
        const int64_t j = first + __ffs(static_cast<int>(terms)) - 1;
        u[t] = terms != 0 && of.k < p.width ? __ldg(p.loading + (j * a.members + of.member) * p.width + of.k) : 0.0;
        terms &= terms - 1;
      }
      __syncwarp();
#pragma unroll
      for (int t = 0; t < kTerms; ++t) shared[t * kWarp + of.lane] = u[t];
      __syncwarp();
#pragma unroll
      for (int t = 0; t < kTerms; ++t) {
        const double left = of_all ? -u[t] : u[t];
        const auto* right = reinterpret_cast<const double2*>(shared + t * kWarp + of.group * order);
#pragma unroll
        for (int l = 0; l < order; l += 2) {
          const double2 two = right[l / 2];
          m[l] = __fma_rn(left, two.x, m[l]), m[l + 1] = __fma_rn(left, two.y, m[l + 1]);
        }
      }
    }
  }

  // M = C C^T, to shared memory; b becomes C^-1 b. Returns 1/2 (|C^-1 b|^2 - log |M|). A pivot of M, which is at least
  // the identity, is at least 1.
  __device__ __forceinline__ double factorise(const double (&m)[order], double& b) const {
    double* own = row_of(of.k);
    __syncwarp();
#pragma unroll
    for (int l = 0; l < order; ++l) own[l] = m[l];
    __syncwarp();
    double own_pivot = 1;
    for (int c = 0; c < p.rank; ++c) {
      const double* pivot_row = row_of(c);
      double element = own[c];
      for (int l = 0; l < c; ++l) element = __fma_rn(-own[l], pivot_row[l], element);
      const double pivot = fmax(__shfl_sync(kAllLanes, element, c, order), 1.0), inverse = 1 / sqrt(pivot);
      const double y = __shfl_sync(kAllLanes, b, c, order) * inverse;
      element *= inverse;
      __syncwarp();
      if (of.k == c) own_pivot = pivot, b = y, own[c] = inverse;
      if (of.k > c) b = __fma_rn(-element, y, b), own[c] = element;
      __syncwarp();
    }
    return 0.5 * sum_of_group<order>(__fma_rn(b, b, -log_of_positive(own_pivot)));
  }

  // C^-T b
  __device__ __forceinline__ double expected(double b) const {
    for (int c = p.rank - 1; c >= 0; --c) {
      const double x = __shfl_sync(kAllLanes, b, c, order) * row_of(c)[c];
      if (of.k == c) b = x;
      if (of.k < c) b = __fma_rn(-row_of(c)[of.k], x, b);
    }
    return b;
  }
};

template <int order>
__global__ void __launch_bounds__(kFactorWarps* kWarp, order == 32 ? 2 : 4)
    gaps_kernel(const RowScoreArguments a, const FactorParameters p, const FactorPiece piece) {
  using Moment = MomentOfRow<order>;
  SIMT_SHARED(double2, shared, [kFactorWarps * Moment::kDoubles / 2]);
  const LaneOfMember<order> of(a.members);
  if (of.first >= a.members) return;
  const Moment moment{a, p, of, reinterpret_cast<double*>(shared) + of.warp * Moment::kDoubles};
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const double* z = a.z + row * a.latents;
    const bool of_all = 2 * __ldg(a.pattern + row) > a.latents;
    double m[order];
    moment.load(of_all, m);
    for (int first = 0; first < a.latents; first += kWarp) moment.add_terms(z, first, of_all, m);
    const int64_t pair = row * a.members + of.member;
    double* place = piece.x + pair * p.width + of.k;
    double b = of.k < p.width ? *place : 0.0;
    const double explained = moment.factorise(m, b);
    const double x = moment.expected(b);
    if (!of.has_member) continue;
    if (of.k < p.width) *place = x;
    if (of.k == 0) a.joint[row * a.stride + of.member] += explained;
    double* root = piece.root + pair * row_of_root(order);
    for (int c = 0; c < p.rank; ++c)
      if (of.k <= c) root[row_of_root(c) + of.k] = moment.row_of(c)[of.k];
  }
}

// ---- cells without their latents

constexpr int kCellThreads = 128, kCellRows = 4;
constexpr double kTooImprobable = 60;  // nats

// log sum exp, term by term.
struct LogSum {
  double most = -1e300, sum = 0;

  __device__ __forceinline__ void add(double log) {
    const double below = log > most ? most - log : log - most;
    const double term = below < -kTooImprobable ? 0.0 : exp_below_zero(below);
    sum = log > most ? __fma_rn(sum, term, 1.0) : sum + term;
    most = log > most ? log : most;
  }
  __device__ __forceinline__ double log() const { return most + log_of_positive(sum); }
};

// What is known of a cell's variable without the cell, in place of what is known.
struct StatesLeft {
  const double *left = nullptr, *with = nullptr;

  __device__ __forceinline__ void find(const RowScoreArguments& a, int64_t cell, int32_t variable, int64_t row) {
    const int32_t others = __ldg(a.without + cell * a.rows + row);
    if (others < 0) return;
    left = a.states[others];
    with = a.states[__ldg(a.known_states + row * a.variables + variable)];
  }
  __device__ __forceinline__ double of(int64_t member) const {
    return left == nullptr ? 0.0 : __ldg(left + member) - __ldg(with + member);
  }
};

__global__ void __launch_bounds__(kCellThreads, 4)
    without_whole_kernel(const RowScoreArguments a, const FactorParameters p, const double* x_of_rows) {
  const int64_t cell = static_cast<int64_t>(blockIdx.x) * kCellThreads + threadIdx.x;
  const ScoredCell of_cell = a.cell[cell < a.cells ? cell : 0];
  if (cell >= a.cells || of_cell.latent < 0) return;
  for (int64_t first = static_cast<int64_t>(blockIdx.y) * kCellRows; first < a.rows;
       first += static_cast<int64_t>(gridDim.y) * kCellRows) {
    const int count = static_cast<int>(a.rows - first < kCellRows ? a.rows - first : kCellRows);
    double z[kCellRows];
    StatesLeft states[kCellRows];
    LogSum found[kCellRows];
#pragma unroll
    for (int r = 0; r < kCellRows; ++r) {
      const int64_t row = first + (r < count ? r : 0);
      z[r] = __ldg(a.z + row * a.latents + of_cell.latent);
      states[r].find(a, cell, of_cell.variable, row);
    }
    for (int64_t m = 0; m < a.members; ++m) {
      const double* loading = p.loading_of + m * p.width * a.latents + of_cell.latent;
      double sum[kCellRows] = {};
      for (int k = 0; k < p.width; k += 2, loading += 2 * a.latents) {
        const double u = __ldg(loading), v = __ldg(loading + a.latents);
#pragma unroll
        for (int r = 0; r < kCellRows; ++r) {
          const double2 x = load_pair(x_of_rows + ((first + (r < count ? r : 0)) * a.members + m) * p.width + k);
          sum[r] = __fma_rn(v, x.y, __fma_rn(u, x.x, sum[r]));
        }
      }
      const int64_t at = m * a.latents + of_cell.latent;
      const double mean = __ldg(p.mean_of + at), scale = __ldg(p.scale_of + at);
      const double precision = __ldg(p.precision_of + at), gain = __ldg(p.gain_of + at);
#pragma unroll
      for (int r = 0; r < kCellRows; ++r) {
        const double joint = __ldg(a.joint + (first + (r < count ? r : 0)) * a.stride + m);
        const double e = __fma_rn(z[r] - mean, scale, -sum[r]);
        found[r].add(joint + states[r].of(m) + __fma_rn(0.5 * e * e, precision, gain));
      }
    }
#pragma unroll
    for (int r = 0; r < kCellRows; ++r)
      if (r < count) a.found_without[cell * a.rows + first + r] = found[r].log();
  }
}

// The first member of the row's greatest logarithm; all lanes of a warp call it.
__device__ __forceinline__ int64_t likeliest_of(const RowScoreArguments& a, int64_t row) {
  const double greatest = __ldg(a.greatest + row);
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  for (int64_t first = 0; first < a.members; first += kWarp) {
    const int64_t member = first + lane < a.members ? first + lane : a.members - 1;
    const bool is_greatest = __ldg(a.joint + row * a.stride + member) == greatest;
    const unsigned lanes = __ballot_sync(kAllLanes, is_greatest);
    if (lanes != 0) return first + __ffs(static_cast<int>(lanes)) - 1;
  }
  return 0;
}

// u becomes C^-1 u. Returns its square.
template <int order>
__device__ __forceinline__ double square_by_root(const double* root, int rank, double (&u)[order]) {
  double square = 0;
#pragma unroll
  for (int k = 0; k < order; ++k) {
    if (k >= rank) break;
    const double* row = root + row_of_root(k);
    double y = u[k];
#pragma unroll
    for (int l = 0; l <= k; l += 2) {
      const double2 two = load_pair(row + l);
      if (l == k) y *= two.x;
      if (l < k) y = __fma_rn(-two.x, u[l], y);
      if (l + 1 == k) y *= two.y;
      if (l + 1 < k) y = __fma_rn(-two.y, u[l + 1], y);
    }
    u[k] = y;
    square = __fma_rn(y, y, square);
  }
  return square;
}

template <int order>
__global__ void __launch_bounds__(kCellThreads, order == 32 ? 3 : 4)
    without_gaps_kernel(const RowScoreArguments a, const FactorParameters p, const FactorPiece piece) {
  const int64_t cell = static_cast<int64_t>(blockIdx.x) * kCellThreads + threadIdx.x;
  const ScoredCell of_cell = a.cell[cell < a.cells ? cell : 0];
  const bool has_latent = cell < a.cells && of_cell.latent >= 0;
  for (int64_t row = blockIdx.y; row < a.rows; row += gridDim.y) {
    const int64_t likeliest = likeliest_of(a, row);
    const double z = has_latent ? __ldg(a.z + row * a.latents + of_cell.latent) : 0.0;
    if (!has_latent || !is_known(z)) continue;
    StatesLeft states;
    states.find(a, cell, of_cell.variable, row);
    LogSum found;
    for (int64_t next = -1; next < a.members; ++next) {
      if (next == likeliest) continue;
      const int64_t m = next < 0 ? likeliest : next;
      const double* loading = p.loading_of + m * p.width * a.latents + of_cell.latent;
      const double* x = piece.x + (row * a.members + m) * p.width;
      double u[order], sum = 0;
#pragma unroll
      for (int k = 0; k < order; k += 2) {
        u[k] = u[k + 1] = 0;
        if (k >= p.width) continue;
        u[k] = __ldg(loading + k * a.latents), u[k + 1] = __ldg(loading + (k + 1) * a.latents);
        const double2 two = load_pair(x + k);
        sum = __fma_rn(u[k + 1], two.y, __fma_rn(u[k], two.x, sum));
      }
      const int64_t at = m * a.latents + of_cell.latent;
      const double e = __fma_rn(z - __ldg(p.mean_of + at), __ldg(p.scale_of + at), -sum), half = 0.5 * e * e;
      const double others = __ldg(a.joint + row * a.stride + m) + states.of(m);
      const double most = others + __fma_rn(half, __ldg(p.spread_of + at), __ldg(p.most_of + at));
      if (most < found.most - kTooImprobable) continue;
      const double* root = piece.root + (row * a.members + m) * row_of_root(order);
      const double left = fmax(1 - square_by_root<order>(root, p.rank, u), 1e-15);
      found.add(others + (half / left + 0.5 * (__ldg(p.constant_of + at) - log_of_positive(left))));
    }
    a.found_without[cell * a.rows + row] = found.log();
  }
}

template <int order>
void find_explained(const RowScoreArguments& a, const FactorParameters& p, const FactorPiece& piece,
                    cudaStream_t stream) {
  const unsigned of_members = blocks_of(a.members, kFactorWarps * LaneOfMember<order>::kMembers);
  const dim3 block(kFactorWarps * kWarp);
  if (piece.root == nullptr) {
    const dim3 grid(of_members, at_most((a.rows + kWholeRows - 1) / kWholeRows));
    CUDA_LAUNCH(whole_kernel<order>, grid, block, 0, stream, a, p, piece.x);
  } else {
    CUDA_LAUNCH(gaps_kernel<order>, dim3(of_members, at_most(a.rows)), block, 0, stream, a, p, piece);
  }
}

}  // namespace

void find_factor_joint(const RowScoreArguments& a, const FactorParameters& p, const FactorPiece& piece,
                       cudaStream_t stream) {
  const dim3 of_members(blocks_of(a.members, kSquareThreads),
                        at_most((a.rows + kFactorTileRows - 1) / kFactorTileRows));
  CUDA_LAUNCH(squares_kernel, of_members, dim3(kSquareThreads), 0, stream, a, p);
  if (p.rank == 0) return;  // of latents that are independent the squares are all
  constexpr int kBlockRows = kProductWarps * kFactorTileRows;
  const dim3 of_parts(blocks_of(a.members * (p.width / kFactorsOfThread), kWarp),
                      at_most((a.rows + kBlockRows - 1) / kBlockRows));
  CUDA_LAUNCH(products_kernel, of_parts, dim3(kWarp, kProductWarps), 0, stream, a, p, piece.x);
  if (p.order == 8) return find_explained<8>(a, p, piece, stream);
  if (p.order == 16) return find_explained<16>(a, p, piece, stream);
  find_explained<32>(a, p, piece, stream);
}

void find_without_factors(const RowScoreArguments& a, const FactorParameters& p, const FactorPiece& piece,
                          cudaStream_t stream) {
  if (a.cells == 0) return;
  const unsigned of_cells = blocks_of(a.cells, kCellThreads);
  if (piece.root == nullptr) {
    const dim3 grid(of_cells, at_most((a.rows + kCellRows - 1) / kCellRows));
    CUDA_LAUNCH(without_whole_kernel, grid, dim3(kCellThreads), 0, stream, a, p, piece.x);
    return;
  }
  const dim3 grid(of_cells, at_most(a.rows)), block(kCellThreads);
  if (p.order == 8) CUDA_LAUNCH(without_gaps_kernel<8>, grid, block, 0, stream, a, p, piece);
  if (p.order == 16) CUDA_LAUNCH(without_gaps_kernel<16>, grid, block, 0, stream, a, p, piece);
  if (p.order == 32) CUDA_LAUNCH(without_gaps_kernel<32>, grid, block, 0, stream, a, p, piece);
}

}  // namespace doppel::cuda
