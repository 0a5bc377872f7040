// The CUDA sampler of bounded rows from inside (kernels/bounded_sampler.h). Backends use prepare_cuda_bounded_sampler.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <memory>

#include "kernels/bounded_sampler.h"
#include "kernels/common/bounded_rows.h"
#include "kernels/cuda/sample_table.h"

namespace doppel::cuda {

inline constexpr int kBoundedThreads = 64;
static_assert(kTileRows % kBoundedThreads == 0);

struct BoundedArguments {
  BoundedTables cells;    // on the device
  ScoreArguments scores;  // of all latents in their order, eight a group; its words begin where cells' do
  int32_t latents, most_bounds;
  int64_t padded_rows;  // from scores.first_row on, a multiple of kTileRows
  float* drawn;         // [variables + latents, padded_rows]: states by their bits, then scores
};

// A block's normals, own noise of eight latents, and bounded normals.
constexpr size_t bounded_scratch_bytes(int32_t components, int32_t most_bounds) {
  return static_cast<size_t>(kBoundedThreads) *
         (sizeof(float) * static_cast<size_t>(kept_normals(components) + kGroupScores) +
          sizeof(double) * static_cast<size_t>(most_bounds));
}

// bounded_sampler.cu. Asynchronous; `blocks` of them share the rows, with scratch of their own where it is given.
void draw_bounded_rows(const BoundedArguments& arguments, int blocks, std::byte* scratch, cudaStream_t stream);

std::unique_ptr<PreparedTableSampler> prepare_cuda_bounded_sampler(const BoundedSampler& sampler, int device,
                                                                   size_t buffer_bytes = kSampleBufferBytes);

}  // namespace doppel::cuda
