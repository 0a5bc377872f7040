// Contingency tables (kernels/pair_counts.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "kernels/cuda/primitives.h"
#include "kernels/pair_counts.h"

namespace doppel::cuda {

// Two columns of codes, and where the cells of their combinations begin among those of all pairs.
struct CodedPair {
  const int32_t *first, *second;  // [rows], 16-byte aligned
  int32_t width;                  // codes of `second`
  int32_t cells, first_cell;
};

// pair_counts.cu. Asynchronous.
// Adds rows to the counts of cells.
void count_cells(const CodedPair* pairs, int64_t count, int64_t rows, int32_t* counts, cudaStream_t stream);
// Both have room for whole vectors of 4.
void number_cells(const int32_t* counts, int64_t cells, Occurrence* numbered, cudaStream_t stream);
// cells [rows] of one pair, of any number of cells; columns and cells 16-byte aligned.
void find_cells(const int32_t* first, const int32_t* second, int64_t width, int64_t rows, int64_t* cells,
                cudaStream_t stream);

// pair_counts.cpp: the codes stay on the device where it has room for them, or else come in pieces each time.
std::unique_ptr<PreparedPairCounts> prepare_cuda_pair_counts(const CodedColumns& columns, int device);

}  // namespace doppel::cuda
