// Responsibilities of a mixture's members (kernels/mixture.h) on a CUDA device: log densities of rows, the members near
// the greatest of each row, and the row's parts in them.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <vector>

#include "kernels/cuda/device.h"
#include "kernels/cuda/primitives.h"
#include "kernels/cuda/statistics.h"
#include "kernels/mixture.h"

namespace doppel::cuda {

inline constexpr int kDensityRows = 8;                     // that share their loads of parameters
inline constexpr int kDensityThreads = 128;                // members of a block
inline constexpr size_t kDensityBytes = size_t{64} << 20;  // of rows' log densities at a time

// Rows lie in blocks of kDensityRows, the row fastest; the numbers of a row past the last mean nothing.
struct DensityArguments {
  int64_t rows, padded;  // rows: of whole blocks; padded: members
  int32_t variables, latents;
  const float* base;           // [padded]
  const float* emission;       // of all variables, each [states, padded]
  const int64_t* first;        // [variables] where in `emission` each begins
  const int32_t* state_count;  // [variables]
  const float* whitening;      // [latents (latents + 3) / 2, padded]
  const int32_t* states;       // [rows / kDensityRows, variables, kDensityRows]
  const float* latent;         // [rows / kDensityRows, latents, kDensityRows]
  float* log_density;          // [rows, padded]
};

// Members near the greatest of their row: as kernels/mixture.h defines them.
struct NearArguments {
  int64_t rows, padded;
  const float* log_density;  // [rows, padded]
  int32_t* count;            // [rows + 1] 0 at the end
  const int32_t* first;      // [rows + 1] where a row's begin; null: they are only counted
  int32_t* member;
  float* value;  // their log densities
};

struct ShareArguments {
  int64_t rows, first_row;  // first_row: the number that the first of the rows has in entries
  const int32_t* first;     // [rows + 1]
  const float* value;       // [entries] log densities, of which a row's are together
  Entry* entry;             // [entries]
  float* greatest;          // [rows] of a row's log densities; 0 without any
  double* sum;              // [rows] of its densities by the greatest; 0 without any
};

// responsibilities.cu. Asynchronous.
void compute_log_densities(const DensityArguments& arguments, cudaStream_t stream);
void find_near_members(const NearArguments& arguments, cudaStream_t stream);
void find_entries(const ShareArguments& arguments, cudaStream_t stream);

// responsibilities.cpp

// Parameters of a density on the device.
class DensityParameters {
 public:
  // Until the stream was waited for, the density must stay.
  DensityParameters(const MixtureDensity& density, cudaStream_t stream);
  void set(DensityArguments& arguments) const;

 private:
  std::vector<int64_t> places_;
  DeviceBuffer<float> base_, emission_, whitening_;
  DeviceBuffer<int64_t> first_;
  DeviceBuffer<int32_t> state_count_;
};

// Rows' parts in members, in the order of rows, on the device.
struct DeviceShares {
  int64_t entries = 0;
  DeviceBuffer<int32_t> first, member;  // [rows + 1], [entries]
  DeviceBuffer<Entry> entry;            // [entries]
  DeviceBuffer<float> greatest;         // [rows]
  DeviceBuffer<double> sum;             // [rows]
};
// log_density [rows, padded]. Waits for the stream once.
DeviceShares find_shares(const float* log_density, int64_t rows, int64_t padded, int64_t first_row,
                         cudaStream_t stream);
// To host memory. Waits for the stream. log_density [rows] is replaced; rows are added to `out` unless it is null.
void download(const DeviceShares& shares, std::span<double> log_density, Responsibilities* out, cudaStream_t stream);

// [rows, columns] of rows from `first` on to [blocks of kDensityRows, columns, kDensityRows]; rows past the last as
// `none`.
template <class T>
std::vector<T> in_blocks(const T* from, int64_t first, int64_t rows, int64_t columns, T none) {
  const int64_t blocks = (rows + kDensityRows - 1) / kDensityRows;
  std::vector<T> to(static_cast<size_t>(blocks * columns * kDensityRows), none);
  for (int64_t row = 0; row < rows; ++row)
    for (int64_t c = 0; c < columns; ++c)
      to[static_cast<size_t>((row / kDensityRows * columns + c) * kDensityRows + row % kDensityRows)] =
          from[(first + row) * columns + c];
  return to;
}

}  // namespace doppel::cuda
