// Table sampling (table.h): Philox -> normals -> scores -> values, fused; a row's numbers never leave the
// multiprocessor.
//
// in    factor [groups, components, 8] (of a mixture: sample_mixture.cuh), noise and column descriptions, segment
//       tables: constants, read through L1
// out   columns one after the other, [rows rounded up to a tile] values each, 16-byte aligned; then validity bitmaps
// limit any number of rows, columns and components; 2^31 - 1 blocks of 256 rows a launch (grid-stride, so more are
// fine)
//
// Blocks of 64 threads take tiles of 256 rows, a thread four of them: their scores, a group of eight latents at a time
// (sample_scores.cuh), then the columns that are made of those (sample_columns.cuh). Every branch but a missing value's
// is the same for all threads of a launch.
//
// A row of C 4-byte columns, K components and L latents: writes 4 C bytes; (K + L) normals of about 50 operations, K L
// fma, and a dozen operations and three dependent loads a column. 20, 20, 20: 80 bytes, 2.0 k + 0.8 k flop.
// Alternatives that lost: one row a thread (4-byte stores, weights loaded four times as often); scores of all latents
// kept (shared memory for fewer warps).
#include "kernels/cuda/sample_columns.cuh"
#include "kernels/cuda/sample_scores.cuh"
#include "kernels/cuda/sample_table.h"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

template <bool kInShared, bool kMixture>
__global__ void __launch_bounds__(kSampleThreads, kMixture ? kResidentMixtureBlocks : kResidentBlocks)
    sample_rows(const SampleArguments a) {
  score_rows<kInShared, kMixture>(a.scores,
                                  [&a](int g, const float4* scores, const int4* states, int stride, int64_t row) {
                                    const SampleGroup& group = a.scores.group[g];
                                    for (int c = group.first_column; c < group.first_column + group.columns; ++c)
                                      write_cells<kMixture>(a.columns, c, scores, states, stride, row);
                                  });
}

}  // namespace

void sample_table(const SampleArguments& arguments, int blocks, cudaStream_t stream) {
  const ScoreArguments& scores = arguments.scores;
  if (scores.tiles == 0 || scores.groups == 0) return;
  const auto grid = dim3(static_cast<unsigned>(scores.tiles < blocks ? scores.tiles : blocks));
  const size_t shared = shared_bytes(scores);
  if (scores.is_mixture && scores.scratch == nullptr) {
    CUDA_LAUNCH((sample_rows<true, true>), grid, dim3(kSampleThreads), shared, stream, arguments);
  } else if (scores.is_mixture) {
    CUDA_LAUNCH((sample_rows<false, true>), grid, dim3(kSampleThreads), shared, stream, arguments);
  } else if (scores.scratch == nullptr) {
    CUDA_LAUNCH((sample_rows<true, false>), grid, dim3(kSampleThreads), shared, stream, arguments);
  } else {
    CUDA_LAUNCH((sample_rows<false, false>), grid, dim3(kSampleThreads), shared, stream, arguments);
  }
}

}  // namespace doppel::cuda
