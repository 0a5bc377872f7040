// Nearest neighbours (kernels/nearest.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "kernels/cuda/statistics.h"
#include "kernels/nearest.h"

namespace doppel::cuda {

inline constexpr int kNearestTileRows = 64, kNearestTileColumns = 16;

// distances[i] of query i < queries, as kernels/nearest.h defines them; queries [queries, columns], references
// [references, columns], row-major, of the device, none of them empty. Asynchronous.
void search_nearest(const float* queries, int64_t query_rows, const float* references, int64_t reference_rows,
                    int64_t columns, float* distances, cudaStream_t stream);

// nearest_distances.cpp: from and to host memory. Returns when the result is there.
std::vector<float> nearest_distances(Libraries& libraries, const Points& queries, const Points& references);

}  // namespace doppel::cuda
