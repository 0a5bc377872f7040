// Scores of rows under a mixture: log densities of rows, and of rows without each of their cells, and of cells alone.
// To the CPU's bits: in double, unfused, sums over members in four strands.
//
// in    tables of states and latents known, which stay; of rows, which latents they know (sorted by it), those, and
//       numbers of states known: [rows, latents] doubles, [rows, variables + 2 cells + 2] integers
// out   log_density [rows], found_without and found_alone [cells, rows]
// limit any number of members, latents, variables, cells and rows; memory for [rows, 2 + latents, members] doubles
//
// joint_kernel: a thread has two members (16 bytes) of four rows that know the same latents: each array of a pattern is
// loaded once for four rows, by neighbouring threads side by side. What the latents are whitened to is kept where the
// gains will be, and gains take its place from the first on, as each needs only those from its own on; before their
// division, projections are a moment in shared memory, so that one code divides for all rows. With K latents
// known 2 K (K + 1) + 5 K flop a row and member, and 8 (K + 1) bytes written, 4 K (K + 1) of L1 and L2 read.
//
// densities_, without_ and alone_kernel: four lanes have a row, or a cell of a row, and each a strand of its members,
// so that sums have the CPU's order without a wait: they meet in two shuffles. Four lanes read a sector of 32 bytes,
// the members of a row one sector after the other. Cells lie [cells, rows]: a warp has one cell of eight rows, which
// mostly take the same way. Where covariances are of low rank (factor_scores.cu), they have joint from there, and cells
// without their known latents afterwards. A logarithm of a sum takes two passes, for the greatest and for the sum; of
// 22 operations an exponential, about 30 flop and 16 to 40 bytes of L2 a member and cell. On devices with few units of
// double precision arithmetic binds, on an H200 L2: a piece of rows, kScoreBytes, is the size of one.
#include "kernels/common/elementary.h"
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/row_scores.h"
#include "kernels/cuda/sums.cuh"

namespace doppel::cuda {
namespace {

// ---- members

constexpr int kJointThreads = 64, kRows = kScoreTileRows;
constexpr int kJointBlocks = 8;  // resident: up to 128 registers a thread; with fewer ptxas spills

__device__ __forceinline__ double2 load_pair(const double* from) {
  return __ldg(reinterpret_cast<const double2*>(from));
}
__device__ __forceinline__ void store_pair(double2 x, double* to) {
  *reinterpret_cast<double2*>(to) = x;
}
__device__ __forceinline__ void add_to(double2 x, double2& sum) {
  sum.x += x.x, sum.y += x.y;
}
__device__ __forceinline__ double half_square(double x) {
  return 0.5 * x * x;
}

// Two members of a tile of rows. All pointers are at the first of them.
struct JointOfTile {
  const RowScoreArguments& a;
  PatternOnDevice pattern;
  double2* shared;  // [kRows, kJointThreads] at the thread's own
  int64_t first;
  int count, member;
  double2 joint[kRows];

  // Of a row past the tile's last: the last.
  __device__ __forceinline__ int64_t row(int r) const { return first + (r < count ? r : count - 1); }
  __device__ __forceinline__ const double* array(int64_t i) const { return pattern.values + i * a.stride + member; }
  __device__ __forceinline__ double* gain(int r, int64_t j) const {
    return a.gain + (row(r) * a.latents + j) * a.stride + member;
  }

  __device__ __forceinline__ void add_states() {
    const double2 weight = load_pair(a.log_weight + member), constant = load_pair(array(0));
#pragma unroll
    for (int r = 0; r < kRows; ++r) joint[r] = make_double2(weight.x + constant.x, weight.y + constant.y);
    for (int v = 0; v < a.variables; ++v) {
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        const double* states = a.states[__ldg(a.known_states + row(r) * a.variables + v)];
        add_to(load_pair(states + member), joint[r]);
      }
    }
  }

  // Leaves the whitened latents in place of the gains.
  __device__ __forceinline__ void add_squares() {
    const double* w = array(1 + 3 * pattern.known);
    for (int64_t i = 0; i < pattern.known; ++i) {
      const double2 offset = load_pair(array(1 + i));
      double2 y[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) y[r] = make_double2(-offset.x, -offset.y);
      for (int64_t j = 0; j <= i; ++j, w += a.stride) {
        const double2 two = load_pair(w);
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          const double z = __ldg(a.z + row(r) * a.latents + j);
          add_to(make_double2(two.x * z, two.y * z), y[r]);
        }
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) {
        joint[r].x -= half_square(y[r].x), joint[r].y -= half_square(y[r].y);
        if (r < count) store_pair(y[r], gain(r, i));
      }
    }
  }

  __device__ __forceinline__ void find_gains() const {
    const int64_t known = pattern.known;
    for (int64_t j = 0; j < known; ++j) {
      double2 projected[kRows];
#pragma unroll
      for (int r = 0; r < kRows; ++r) projected[r] = make_double2(0, 0);
      for (int64_t i = j; i < known; ++i) {
        const double2 w = load_pair(array(1 + 3 * known + i * (i + 1) / 2 + j));
#pragma unroll
        for (int r = 0; r < kRows; ++r) {
          const double2 y = *reinterpret_cast<const double2*>(gain(r, i));
          add_to(make_double2(w.x * y.x, w.y * y.y), projected[r]);
        }
      }
#pragma unroll
      for (int r = 0; r < kRows; ++r) shared[r * kJointThreads] = projected[r];
      const double2 precision = load_pair(array(1 + known + j)), constant = load_pair(array(1 + 2 * known + j));
#pragma unroll 1
      for (int r = 0; r < count; ++r) {  // one division's code and registers, not eight
        const double2 p = shared[r * kJointThreads];
        store_pair(
            make_double2(half_square(p.x) / precision.x - constant.x, half_square(p.y) / precision.y - constant.y),
            gain(r, j));
      }
    }
  }
};

__global__ void __launch_bounds__(kJointThreads, kJointBlocks) joint_kernel(const RowScoreArguments a) {
  SIMT_SHARED(double2, shared, [kRows * kJointThreads]);
  const int member = 2 * static_cast<int>(blockIdx.x * kJointThreads + threadIdx.x);  // of 64 bits: stores of 8 bytes
  if (member >= a.stride) return;
  for (int64_t tile = blockIdx.y; tile < a.tiles; tile += gridDim.y) {
    const int32_t first = __ldg(a.tile + tile), end = __ldg(a.tile + tile + 1);
    JointOfTile of{a, a.patterns[__ldg(a.pattern + first)], shared + threadIdx.x, first, end - first, member, {}};
    of.add_states();
    of.add_squares();
    of.find_gains();
#pragma unroll
    for (int r = 0; r < kRows; ++r)
      if (r < of.count) store_pair(of.joint[r], a.joint + of.row(r) * a.stride + member);
  }
}

// ---- sums over members

constexpr int kSumThreads = 128, kStrands = 4, kRowsOfBlock = kSumThreads / kStrands;

// Over a row's strands, in all of them; all lanes of the warp call these.
__device__ __forceinline__ double sum_of_strands(double x) {
  x += __shfl_xor_sync(kAllLanes, x, 1);
  x += __shfl_xor_sync(kAllLanes, x, 2);
  return x;
}
__device__ __forceinline__ double greatest_of_strands(double x) {
#pragma unroll
  for (int distance = 1; distance < kStrands; distance *= 2) {
    const double other = __shfl_xor_sync(kAllLanes, x, distance);
    x = other > x ? other : x;
  }
  return x;
}

struct Strand {
  int64_t members;  // 0: of nothing
  int number;

  // All lanes of the warp call these.
  template <class Log>
  __device__ __forceinline__ double greatest(const Log& log) const {
    double most = members > 0 ? log(number < members ? number : 0) : 0.0;
    for (int64_t m = number + kStrands; m < members; m += kStrands) {
      const double value = log(m);
      most = value > most ? value : most;
    }
    return greatest_of_strands(most);
  }
  template <class Term>
  __device__ __forceinline__ double sum(const Term& term) const {
    double sum = 0;
    for (int64_t m = number; m < members; m += kStrands) sum += term(m);
    return sum_of_strands(sum);
  }
};

// Calls take(row, has_row, strand) in all lanes.
template <class Take>
__device__ __forceinline__ void for_rows(const RowScoreArguments& a, const Take& take) {
  const int in_block = static_cast<int>(threadIdx.x) / kStrands, strand = static_cast<int>(threadIdx.x) % kStrands;
  for (int64_t first = static_cast<int64_t>(blockIdx.x) * kRowsOfBlock; first < a.rows;
       first += static_cast<int64_t>(gridDim.x) * kRowsOfBlock)
    take(first + in_block, first + in_block < a.rows, strand);
}

__global__ void __launch_bounds__(kSumThreads) densities_kernel(const RowScoreArguments a) {
  for_rows(a, [&](int64_t row, bool has_row, int number) {
    const Strand strand{has_row ? a.members : 0, number};
    const double* joint = a.joint + row * a.stride;
    double* terms = a.term + row * a.stride;
    const double most = strand.greatest([&](int64_t m) { return __ldg(joint + m); });
    const double sum = strand.sum([&](int64_t m) {
      const double term = exp_below_zero(__ldg(joint + m) - most);
      terms[m] = term;
      return term;
    });
    if (!has_row || number > 0) return;
    const double log_density = most + log_of_positive(sum);
    a.greatest[row] = most;
    a.log_density[row] = log_density;
  });
}

// The place of a cell's latent in the row's z, or -1 where the row does not know it.
template <bool is_low_rank>
__device__ __forceinline__ int32_t place_of(const RowScoreArguments& a, int32_t latent, int64_t row) {
  if (latent < 0) return -1;
  if constexpr (is_low_rank) {
    const double z = __ldg(a.z + row * a.latents + latent);
    return z == z ? latent : -1;
  } else {
    return __ldg(a.patterns[__ldg(a.pattern + row)].place + latent);
  }
}

// Of low rank, without the states alone.
template <bool is_low_rank>
__global__ void __launch_bounds__(kSumThreads) without_kernel(const RowScoreArguments a) {
  const ScoredCell cell = a.cell[blockIdx.y];
  for_rows(a, [&](int64_t row, bool has_row, int number) {
    const int64_t item = static_cast<int64_t>(blockIdx.y) * a.rows + row;
    const int32_t place = has_row && !is_low_rank ? place_of<false>(a, cell.latent, row) : -1;
    const int32_t others = has_row ? __ldg(a.without + item) : kNotScored;
    const double *left = nullptr, *with = nullptr;
    if (others >= 0) {
      left = a.states[others];
      with = a.states[__ldg(a.known_states + row * a.variables + cell.variable)];
    }
    const double *joint = a.joint + row * a.stride, *terms = a.term + row * a.stride;
    const double* gain = a.gain + (row * a.latents + place) * a.stride;
    const auto log = [&](int64_t m) {  // without the latent
      double of_member = __ldg(joint + m);
      if (others >= 0) of_member += __ldg(left + m) - __ldg(with + m);
      return of_member + __ldg(gain + m);
    };
    const Strand strand{place >= 0 ? a.members : 0, number};
    double most = strand.greatest(log);
    double sum = strand.sum([&](int64_t m) { return exp_below_zero(log(m) - most); });
    // Fewer states known are likelier: what is summed needs no exponentials.
    const double of_states = Strand{place < 0 && others >= 0 ? a.members : 0, number}.sum(
        [&](int64_t m) { return __ldg(terms + m) * (__ldg(left + a.stride + m) * __ldg(with + 2 * a.stride + m)); });
    if (!has_row || number > 0) return;
    if (place < 0) most = __ldg(a.greatest + row), sum = of_states;
    const double found = place >= 0 || others >= 0 ? most + log_of_positive(sum) : 0.0;
    a.found_without[item] = found;
  });
}

template <bool is_low_rank>
__global__ void __launch_bounds__(kSumThreads) alone_kernel(const RowScoreArguments a) {
  const ScoredCell cell = a.cell[blockIdx.y];
  const int64_t of_latent = static_cast<int64_t>(cell.latent < 0 ? 0 : cell.latent) * a.stride;
  for_rows(a, [&](int64_t row, bool has_row, int number) {
    const int64_t item = static_cast<int64_t>(blockIdx.y) * a.rows + row;
    const int32_t place = has_row ? place_of<is_low_rank>(a, cell.latent, row) : -1;
    const int32_t state = has_row ? __ldg(a.alone + item) : kNotScored;
    const double* states = state >= 0 ? a.states[state] : nullptr;
    const double z = place >= 0 ? __ldg(a.z + row * a.latents + place) : 0.0;
    const auto log = [&](int64_t m) {
      const double y = __ldg(a.scale + of_latent + m) * z - __ldg(a.centre + of_latent + m);
      const double of_member = __ldg(a.log_weight + m) + (__ldg(a.constant + of_latent + m) - half_square(y));
      return state >= 0 ? of_member + __ldg(states + m) : of_member;
    };
    const Strand strand{place >= 0 ? a.members : 0, number};
    const double most = strand.greatest(log);
    const double sum = strand.sum([&](int64_t m) { return exp_below_zero(log(m) - most); });
    const double found = place >= 0 ? most + log_of_positive(sum) : 0.0;
    if (has_row && number == 0) a.found_alone[item] = found;
  });
}

}  // namespace

void find_joint(const RowScoreArguments& arguments, cudaStream_t stream) {
  const int64_t pairs = arguments.stride / 2;
  const dim3 of_members(static_cast<unsigned>((pairs + kJointThreads - 1) / kJointThreads), at_most(arguments.tiles));
  CUDA_LAUNCH(joint_kernel, of_members, dim3(kJointThreads), 0, stream, arguments);
}

void find_scores(const RowScoreArguments& arguments, cudaStream_t stream) {
  const unsigned blocks = at_most((arguments.rows + kRowsOfBlock - 1) / kRowsOfBlock);
  CUDA_LAUNCH(densities_kernel, dim3(blocks), dim3(kSumThreads), 0, stream, arguments);
  if (arguments.cells == 0) return;
  const dim3 of_cells(blocks, static_cast<unsigned>(arguments.cells));
  const auto without = arguments.is_low_rank ? without_kernel<true> : without_kernel<false>;
  const auto alone = arguments.is_low_rank ? alone_kernel<true> : alone_kernel<false>;
  CUDA_LAUNCH(without, of_cells, dim3(kSumThreads), 0, stream, arguments);
  CUDA_LAUNCH(alone, of_cells, dim3(kSumThreads), 0, stream, arguments);
}

}  // namespace doppel::cuda
