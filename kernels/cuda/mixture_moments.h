// Moments of a mixture's members (kernels/mixture.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/statistics.h"
#include "kernels/mixture.h"

namespace doppel::cuda {

inline constexpr int kMomentThreads = 128;                // of a block, at most
inline constexpr size_t kMomentTileBytes = 32 << 10;      // of shared memory
inline constexpr int kMostMomentAxes = 512;               // so that shared memory holds some entries' numbers
inline constexpr size_t kOffsetBytes = size_t{64} << 20;  // of rows' offsets at a time

// A member's moments lie packed: for each axis i its sum and the products with axes 0 .. i.
constexpr int64_t packed_moments(int64_t axes) {
  return axes * (axes + 3) / 2;
}

// A row's part in a member is an entry. Entries are sorted by member, those of a member in the order of rows; `used`
// are the members that have any.
struct MomentArguments {
  int64_t used, packed;  // packed: moments of a member
  int32_t stride;        // of an entry's offsets: 1 + axes, rounded up to an even number
  const int64_t* first;  // [used + 1] entries
  const float* share;    // [entries]
  const double* offset;  // [entries, stride] 1, then those of all axes from the member's centre
  double* moments;       // [used, packed]
};

// How offsets follow from rows.
struct OffsetArguments {
  int64_t entries;
  int32_t present, absent, stride;
  int32_t lanes;               // that share an entry: 1, 2, 4, .. 32
  const int32_t *row, *place;  // [entries]; place: among the members used
  const float* latents;        // [rows, present]
  const int32_t* axis;         // [present + absent] of latents present, then of those absent
  const double* centre;        // [used, present + absent] in that order
  // Where some are absent:
  const double* mean;        // [used, present + absent], likewise
  const double* inverse;     // [used, present, present] column-major: what multiplies latent j lies together
  const double* regression;  // [used, present, absent] likewise
  double* offset;            // [entries, stride]
};

// mixture_moments.cu. Asynchronous.
void find_offsets(const OffsetArguments& arguments, cudaStream_t stream);
void sum_moments(const MomentArguments& arguments, cudaStream_t stream);

// add_moments.cpp: from and to host memory, as many rows at a time as their offsets take so many bytes. Returns when
// the sums are there. Throws Error for more than kMostMomentAxes axes.
void add_moments(Libraries& libraries, const MixtureLatents& latents, const Responsibilities& shares,
                 const MixtureMoments& moments, size_t offset_bytes = kOffsetBytes);

}  // namespace doppel::cuda
