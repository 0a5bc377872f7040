// What the kernels of images and of training share: a row's random numbers, and the means of levels.
#pragma once

#include "kernels/common/math.h"
#include "kernels/common/philox.h"
#include "kernels/cuda/simt.h"
#include "kernels/random.h"

namespace doppel::cuda {

struct RowOfWords {
  PhiloxKey key;
  PhiloxRow<PlainLanes> row;
  __device__ __forceinline__ void block(uint32_t number, uint32_t words[4]) const {
    portable::philox_block<PlainLanes>(row, number, key, portable::philox_keys<PlainLanes>(key), words);
  }
  __device__ __forceinline__ float4 normals(uint32_t number) const {
    uint32_t drawn[4];
    block(number, drawn);
    float4 four;
    portable::box_muller<PlainLanes>(PlainLanes::int_of_words(drawn[0]), PlainLanes::int_of_words(drawn[1]), four.x,
                                     four.y);
    portable::box_muller<PlainLanes>(PlainLanes::int_of_words(drawn[2]), PlainLanes::int_of_words(drawn[3]), four.z,
                                     four.w);
    return four;
  }
};
__device__ __forceinline__ RowOfWords row_of_words(uint64_t seed, uint64_t row,
                                                   doppel::Stream stream = doppel::Stream::kRows) {
  RowOfWords words{philox_key(seed), {}};
  words.row = portable::philox_row<PlainLanes>(static_cast<uint32_t>(row), static_cast<uint32_t>(row >> 32),
                                               static_cast<uint32_t>(stream), words.key);
  return words;
}

// From 0 to 255.
__device__ __forceinline__ float mean_of_logit(float logit) {
  const float small = portable::exp_below_zero<PlainLanes>(-fabsf(logit));  // so that nothing overflows
  return PlainLanes::multiply(255.0f, (logit < 0 ? small : 1.0f) / (1.0f + small));
}
__device__ __forceinline__ float mean_of_share(float share) {
  return PlainLanes::multiply(255.0f, fminf(fmaxf(share, 0.0f), 1.0f));
}

}  // namespace doppel::cuda
