// Positions among sorted numbers (kernels/positions.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "kernels/positions.h"

namespace doppel::cuda {

// positions.cu. Asynchronous. sorted [size], numbers and positions [count].
void find_positions(const int64_t* sorted, int64_t size, const int64_t* numbers, int64_t count, int32_t* positions,
                    cudaStream_t stream);
void find_positions(const double* sorted, int64_t size, const double* numbers, int64_t count, int32_t* positions,
                    cudaStream_t stream);

// prepare_positions.cpp: the sorted values stay on the device. Numbers are taken in fewer at a time where its memory is
// short.
std::unique_ptr<PreparedPositions<int64_t>> prepare_cuda_positions(std::span<const int64_t> sorted, int device);
std::unique_ptr<PreparedPositions<double>> prepare_cuda_positions(std::span<const double> sorted, int device);

}  // namespace doppel::cuda
