// Contingency tables of coded columns: histograms of the combinations of two columns' codes.
//
// count_cells_kernel
//   in    codes of two columns of each pair, [rows] of 32 bits
//   out   counts of cells, which hold counts already
//   limit 2^30 rows, 2^31 cells of all pairs, 65,535 pairs
//   A block has a pair and every gridDim.x-th of its pieces of kPieceRows rows, a thread 16 bytes of each column at a
//   time: 8 bytes and an addition a row. Up to kSharedCounts cells are counted in shared memory, in as many copies as it
//   has room for, up to one a lane: neighbouring rows are often equal, and equal additions wait for each other. A copy's
//   cells are `copies` apart, so that lanes of different copies are in different banks. More cells are counted in L2.
//   Bound by memory, or by additions where a few cells of many have most rows.
//
// number_cells_kernel: a thread has 4 cells; 4 bytes read and 8 written a cell. Counts and numbers of whole vectors.
// find_cells_kernel: a thread has 4 rows; 8 bytes read and 8 written a row.
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/pair_counts.h"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

constexpr int kThreads = 256, kVector = 4;  // of 32 bits: 16 bytes
constexpr int kSharedCounts = 4096, kLanes = 32;
constexpr int kPieceRows = 16384;  // so many that a block's shared counts cost little beside them
constexpr unsigned kPairBlocks = 1024;

// The greatest power of two of copies that fits, up to one a lane.
__device__ __forceinline__ int copies_of(int cells) {
  int copies = kLanes;
  while (copies * cells > kSharedCounts) copies /= 2;
  return copies;
}

// Of each row of a thread's the cell's place: counts[cell * stride].
__device__ __forceinline__ void count_piece(const CodedPair& pair, int first_row, int end, int stride, int32_t* counts) {
  for (int row = first_row + static_cast<int>(threadIdx.x) * kVector; row < end;
       row += kThreads * kVector) {
    const int4 first = __ldg(reinterpret_cast<const int4*>(pair.first + row));
    const int4 second = __ldg(reinterpret_cast<const int4*>(pair.second + row));
    atomicAdd(counts + (first.x * pair.width + second.x) * stride, 1);
    if (row + 1 < end) atomicAdd(counts + (first.y * pair.width + second.y) * stride, 1);
    if (row + 2 < end) atomicAdd(counts + (first.z * pair.width + second.z) * stride, 1);
    if (row + 3 < end) atomicAdd(counts + (first.w * pair.width + second.w) * stride, 1);
  }
}

__device__ __forceinline__ void count_pieces(const CodedPair& pair, int rows, int stride, int32_t* counts) {
  for (int first = static_cast<int>(blockIdx.x) * kPieceRows; first < rows;
       first += static_cast<int>(gridDim.x) * kPieceRows)
    count_piece(pair, first, first + kPieceRows < rows ? first + kPieceRows : rows, stride, counts);
}

__global__ void __launch_bounds__(kThreads) count_cells_kernel(const CodedPair* pairs, int rows, int32_t* counts) {
  SIMT_SHARED(int32_t, shared, [kSharedCounts]);
  const CodedPair pair = pairs[blockIdx.y];
  int32_t* of_pair = counts + pair.first_cell;
  if (pair.cells > kSharedCounts) return count_pieces(pair, rows, 1, of_pair);
  const int copies = copies_of(pair.cells), thread = static_cast<int>(threadIdx.x);
  for (int i = thread; i < pair.cells * copies; i += kThreads) shared[i] = 0;
  __syncthreads();
  count_pieces(pair, rows, copies, shared + (thread & (copies - 1)));
  __syncthreads();
  for (int cell = thread; cell < pair.cells; cell += kThreads) {
    int32_t sum = 0;
    for (int copy = 0; copy < copies; ++copy) sum += shared[cell * copies + ((copy + thread) & (copies - 1))];
    if (sum > 0) atomicAdd(of_pair + cell, sum);
  }
}

__global__ void __launch_bounds__(kThreads)
    number_cells_kernel(const int32_t* counts, int cells, Occurrence* numbered) {
  const int cell = (static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x)) * kVector;
  if (cell >= cells) return;
  const int4 count = __ldg(reinterpret_cast<const int4*>(counts + cell));
  int4* to = reinterpret_cast<int4*>(numbered + cell);
  to[0] = make_int4(cell, count.x, cell + 1, count.y);
  to[1] = make_int4(cell + 2, count.z, cell + 3, count.w);
}

__global__ void __launch_bounds__(kThreads)
    find_cells_kernel(const int32_t* first, const int32_t* second, int64_t width, int rows, int64_t* cells) {
  const int row = (static_cast<int>(blockIdx.x) * kThreads + static_cast<int>(threadIdx.x)) * kVector;
  if (row + kVector > rows) {
    for (int i = row; i < rows; ++i) cells[i] = __ldg(first + i) * width + __ldg(second + i);
    return;
  }
  const int4 a = __ldg(reinterpret_cast<const int4*>(first + row));
  const int4 b = __ldg(reinterpret_cast<const int4*>(second + row));
  longlong2* to = reinterpret_cast<longlong2*>(cells + row);
  to[0] = make_longlong2(a.x * width + b.x, a.y * width + b.y);
  to[1] = make_longlong2(a.z * width + b.z, a.w * width + b.w);
}

}  // namespace

void count_cells(const CodedPair* pairs, int64_t count, int64_t rows, int32_t* counts, cudaStream_t stream) {
  const unsigned pieces = blocks_of(rows, kPieceRows);
  const dim3 grid(pieces < kPairBlocks ? pieces : kPairBlocks, static_cast<unsigned>(count));
  CUDA_LAUNCH(count_cells_kernel, grid, dim3(kThreads), 0, stream, pairs, static_cast<int>(rows), counts);
}

void number_cells(const int32_t* counts, int64_t cells, Occurrence* numbered, cudaStream_t stream) {
  const dim3 grid(blocks_of(cells, kThreads * kVector));
  CUDA_LAUNCH(number_cells_kernel, grid, dim3(kThreads), 0, stream, counts, static_cast<int>(cells), numbered);
}

void find_cells(const int32_t* first, const int32_t* second, int64_t width, int64_t rows, int64_t* cells,
                cudaStream_t stream) {
  const dim3 grid(blocks_of(rows, kThreads * kVector));
  CUDA_LAUNCH(find_cells_kernel, grid, dim3(kThreads), 0, stream, first, second, width, static_cast<int>(rows), cells);
}

}  // namespace doppel::cuda
