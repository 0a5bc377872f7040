// Words of rows that are spread evenly: coordinates of Sobol' points (Sobol', 1967) with the direction numbers of Joe
// and Kuo, "Constructing Sobol sequences with better two-dimensional projections" (2008), by which a mixture may draw
// members and states (table.h). Any 2^k consecutive points share out the members, and the states within members, as
// their probabilities are, but for a few rows; with independent words the errors are of the order of the root of the
// number of rows. Each word by itself is uniform, so that each row has the mixture's distribution.
//
// Word d of row i, for d < kSobolDimensions:
//   block = floor(i / 2^10), order = philox(seed, row block, block 0, Stream::kOrder)
//   index = (2^10 block + sobol_place(order, i mod 2^10)) mod 2^32
//   word  = shift[d] ^ direction[d][b] ^ ... over the bits b of `index` that are 1
//   shift[d] = word d mod 4 of philox(seed, row floor(i / 2^32), block floor(d / 4), Stream::kShift)
// Within a block of 1,024 rows points come in an order that depends on the seed: in their own order neighbours are as
// far apart as can be, and would look alike every 2^k rows to whoever takes every second row, or compares neighbours.
#pragma once

#include <cstdint>

#include "kernels/common/portable.h"
#include "kernels/random.h"

namespace doppel {

// A permutation of the places in a block, drawn by four words: a multiplication by an odd number and an addition lose
// nothing, nor does a shift; the bits of neighbours differ as often as those of any two places, within 0.001.
DOPPEL_HOST_DEVICE uint32_t sobol_place(const uint32_t order[4], uint32_t place) {
  for (int round = 0; round < 4; ++round) {
    place = (place * (order[round] >> kSobolBlockBits | 1u) + order[round]) & (kSobolBlockRows - 1);
    place ^= place >> kSobolBlockBits / 2;
  }
  return place;
}

}  // namespace doppel
