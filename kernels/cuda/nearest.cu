// Nearest neighbours (nearest.h): an exhaustive search, tiled as a matrix product is.
//
// in    queries [query_rows, columns], references [reference_rows, columns], row-major floats
// out   distances [query_rows]
// limit at least one row of each and one column; any number (a block a tile of queries, grid-stride)
//
// A block of 256 threads takes 64 queries and goes through the references in tiles of 64, the columns in chunks of 16:
// both chunks lie in shared memory, column-major, and a thread has the sums of 4 queries and 4 references in registers:
// two 16-byte loads for 16 pairs. Sums become minima after each tile of references; at the end the 16 threads that
// share a query exchange theirs. Rows past the end repeat the last one, columns past the end are 0 in both and add 0:
// neither changes a bit. Columns are added in ascending order, as on the CPU.
//
// 3 operations a pair and column (subtract, minimum of the magnitude, add); loads from memory are columns * 4 bytes
// a row of references for every 64 queries, from L2 after the first block: bound by arithmetic. 32,561 queries and
// references of 15 columns are 4.8e10 operations, 2 to 3 ms of an H100's peak. What the CPU skips is not skipped here:
// a block waits for its slowest query.
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/nearest.h"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

constexpr int kTile = kNearestTileRows, kChunk = kNearestTileColumns;
constexpr int kThreads = 256, kSide = 16, kEach = 4;  // threads [kSide, kSide] with kEach x kEach pairs
constexpr int kStride = kTile / 4 + 1;                // of a chunk's column in shared memory, in float4
static_assert(kSide * kEach == kTile && kSide * kSide == kThreads);

// Columns [first, first + kChunk) of rows [row, row + kTile) of a matrix, to `chunk` [kChunk, kStride], column-major.
__device__ __forceinline__ void load_chunk(const float* matrix, int64_t rows, int64_t columns, int64_t row,
                                           int64_t first, float4* chunk) {
  float* to = reinterpret_cast<float*>(chunk);
#pragma unroll
  for (int i = 0; i < kTile * kChunk / kThreads; ++i) {
    const int place = static_cast<int>(threadIdx.x) + i * kThreads;
    const int column = place % kChunk, in_tile = place / kChunk;
    const int64_t from = row + in_tile < rows ? row + in_tile : rows - 1;
    to[column * (4 * kStride) + in_tile] = first + column < columns ? matrix[from * columns + first + column] : 0.0f;
  }
}

__device__ __forceinline__ float add_difference(float sum, float a, float b) {
  return sum + fminf(fabsf(a - b), 1.0f);
}

__device__ __forceinline__ void add_chunk(const float4* queries, const float4* references, int x, int y,
                                          float sums[kEach][kEach]) {
#pragma unroll
  for (int column = 0; column < kChunk; ++column) {
    const float4 q = queries[column * kStride + y], r = references[column * kStride + x];
    const float query[kEach] = {q.x, q.y, q.z, q.w}, reference[kEach] = {r.x, r.y, r.z, r.w};
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
#pragma unroll
      for (int k = 0; k < kEach; ++k) sums[i][k] = add_difference(sums[i][k], query[i], reference[k]);
    }
  }
}

// nearest[i]: of query y * kEach + i of the tile, over the references of this thread; then over those of its 16.
__device__ __forceinline__ void minimum_of_row(float nearest[kEach]) {
#pragma unroll
  for (int i = 0; i < kEach; ++i) {
#pragma unroll
    for (int distance = kSide / 2; distance > 0; distance /= 2)
      nearest[i] = fminf(nearest[i], __shfl_xor_sync(0xffffffffu, nearest[i], distance));
  }
}

__global__ void __launch_bounds__(kThreads)
    nearest_kernel(const float* queries, int64_t query_rows, const float* references, int64_t reference_rows,
                   int64_t columns, float* distances) {
  SIMT_SHARED(float4, query_chunk, [kChunk * kStride]);
  SIMT_SHARED(float4, reference_chunk, [kChunk * kStride]);
  const int x = static_cast<int>(threadIdx.x) % kSide, y = static_cast<int>(threadIdx.x) / kSide;
  for (int64_t row = static_cast<int64_t>(blockIdx.x) * kTile; row < query_rows;
       row += static_cast<int64_t>(gridDim.x) * kTile) {
    float nearest[kEach] = {INFINITY, INFINITY, INFINITY, INFINITY};
    for (int64_t reference = 0; reference < reference_rows; reference += kTile) {
      float sums[kEach][kEach] = {};
      for (int64_t column = 0; column < columns; column += kChunk) {
        __syncthreads();  // the chunk before this one is no longer read
        load_chunk(queries, query_rows, columns, row, column, query_chunk);
        load_chunk(references, reference_rows, columns, reference, column, reference_chunk);
        __syncthreads();
        add_chunk(query_chunk, reference_chunk, x, y, sums);
      }
#pragma unroll
      for (int i = 0; i < kEach; ++i) {
#pragma unroll
        for (int k = 0; k < kEach; ++k) nearest[i] = fminf(nearest[i], sums[i][k]);
      }
    }
    minimum_of_row(nearest);
#pragma unroll
    for (int i = 0; i < kEach; ++i) {
      const int64_t query = row + y * kEach + i;
      if (x == 0 && query < query_rows) distances[query] = nearest[i];
    }
  }
}

}  // namespace

void search_nearest(const float* queries, int64_t query_rows, const float* references, int64_t reference_rows,
                    int64_t columns, float* distances, cudaStream_t stream) {
  const int64_t tiles = (query_rows + kTile - 1) / kTile;
  const dim3 grid(at_most(tiles));
  CUDA_LAUNCH(nearest_kernel, grid, dim3(kThreads), 0, stream, queries, query_rows, references, reference_rows, columns,
              distances);
}

}  // namespace doppel::cuda
