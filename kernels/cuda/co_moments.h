// What co-moments need besides matrix products. All pointers are of the device; asynchronous.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

namespace doppel::cuda {

// squares[i] = values[i]^2 for i < size.
void square_values(const double* values, int64_t size, double* squares, cudaStream_t stream);
// values [columns, rows], column-major: sums[j], square_sums[j] of column j, added in an order that rows alone decide.
void sum_columns(const double* values, int64_t rows, int64_t columns, double* sums, double* square_sums,
                 cudaStream_t stream);

}  // namespace doppel::cuda
