// Moments of a mixture's members (kernels/mixture.h) on a CUDA device.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>

#include "kernels/cuda/responsibilities.h"

namespace doppel::cuda {

inline constexpr int kMomentThreads = 128;            // of a block, at most
inline constexpr size_t kMomentTileBytes = 32 << 10;  // of shared memory

// A member's moments lie packed: for each axis i its sum and the products with axes 0 .. i.
constexpr int64_t packed_moments(int64_t axes) {
  return axes * (axes + 3) / 2;
}

// Entries are sorted by member, those of a member in the order of rows. Of them first_entry .. first_entry + entries -
// 1 are worked on.
struct MomentArguments {
  int64_t members, packed;  // packed: moments of a member
  int32_t stride;           // of an entry's offsets: 1 + axes, rounded up to an even number
  int32_t first_entry, entries;
  const int32_t* first;  // [members + 1] where a member's entries begin
  const Entry* entry;
  const double* offset;  // [entries, stride] 1, then those of all axes from the member's centre
  double* moments;       // [members, packed]
};

// How offsets follow from rows.
struct OffsetArguments {
  int32_t first_entry, entries;
  int32_t present, absent, stride;
  int32_t lanes;  // that share an entry: 1, 2, 4, .. 32
  const Entry* entry;
  const int32_t* member;  // of each entry
  const float* latents;   // [blocks of kDensityRows rows, present, kDensityRows]
  const int32_t* axis;    // [present + absent] of latents present, then of those absent
  const double* centre;   // [members, present + absent] in that order
  // Where some are absent:
  const double* mean;        // [members, present + absent], likewise
  const double* inverse;     // [members, present, present] column-major: what multiplies latent j lies together
  const double* regression;  // [members, present, absent] likewise
  double* offset;            // [entries, stride]
};

// mixture_moments.cu. Asynchronous.
void find_offsets(const OffsetArguments& arguments, cudaStream_t stream);
void sum_moments(const MomentArguments& arguments, cudaStream_t stream);

}  // namespace doppel::cuda
