// 16 bytes a thread: what kernels over the values of layers share (network.cu, trainer.cu). "Values" are floats or
// bfloat16, neighbouring channels of one pixel where the channels are whole vectors, one value a thread elsewhere.
#pragma once

#include "kernels/common/bfloat16.h"
#include "kernels/cuda/simt.h"
#include "kernels/precision.h"

namespace doppel::cuda {
namespace {

constexpr int kThreads = 256;

__device__ __forceinline__ void unpack(const float4& four, float* x) {
  x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
}
__device__ __forceinline__ float low_half(uint32_t word) {
  return float_of_bfloat16({static_cast<uint16_t>(word)});
}
__device__ __forceinline__ float high_half(uint32_t word) {
  return float_of_bfloat16({static_cast<uint16_t>(word >> 16)});
}
__device__ __forceinline__ uint32_t halves(float low, float high) {
  return bfloat16_of_float(low).bits | static_cast<uint32_t>(bfloat16_of_float(high).bits) << 16;
}

// One value a thread.
template <class T>
struct One {
  static constexpr int kValues = 1;
  using Value = T;
  static __device__ __forceinline__ float of(float x) { return x; }
  static __device__ __forceinline__ float of(Bfloat16 x) { return float_of_bfloat16(x); }
  static __device__ __forceinline__ void put(float x, float* to) { *to = x; }
  static __device__ __forceinline__ void put(float x, Bfloat16* to) { *to = bfloat16_of_float(x); }

  static __device__ __forceinline__ void load(const T* from, float* x) { x[0] = of(*from); }
  static __device__ __forceinline__ void load_floats(const float* from, float* x) { x[0] = *from; }
  static __device__ __forceinline__ void store(const float* x, T* to) { put(x[0], to); }
  static __device__ __forceinline__ void load_bytes(const uint8_t* from, uint32_t* x) { x[0] = *from; }
  static __device__ __forceinline__ void store_bytes(const uint32_t* x, uint8_t* to) {
    *to = static_cast<uint8_t>(x[0]);
  }
};

// 16 bytes of them.
template <class T>
struct Wide;
template <>
struct Wide<float> {
  static constexpr int kValues = 4;
  using Value = float;
  static __device__ __forceinline__ void load(const float* from, float* x) {
    unpack(*reinterpret_cast<const float4*>(from), x);
  }
  static __device__ __forceinline__ void load_floats(const float* from, float* x) { load(from, x); }
  static __device__ __forceinline__ void store(const float* x, float* to) {
    *reinterpret_cast<float4*>(to) = make_float4(x[0], x[1], x[2], x[3]);
  }
  static __device__ __forceinline__ void load_bytes(const uint8_t* from, uint32_t* x) {
    const uint32_t word = *reinterpret_cast<const uint32_t*>(from);
    x[0] = word & 255, x[1] = word >> 8 & 255, x[2] = word >> 16 & 255, x[3] = word >> 24;
  }
  static __device__ __forceinline__ void store_bytes(const uint32_t* x, uint8_t* to) {
    *reinterpret_cast<uint32_t*>(to) = x[0] | x[1] << 8 | x[2] << 16 | x[3] << 24;
  }
};
template <>
struct Wide<Bfloat16> {
  static constexpr int kValues = 8;
  using Value = Bfloat16;
  static __device__ __forceinline__ void load(const Bfloat16* from, float* x) {
    const uint4 words = *reinterpret_cast<const uint4*>(from);
    x[0] = low_half(words.x), x[1] = high_half(words.x), x[2] = low_half(words.y), x[3] = high_half(words.y);
    x[4] = low_half(words.z), x[5] = high_half(words.z), x[6] = low_half(words.w), x[7] = high_half(words.w);
  }
  static __device__ __forceinline__ void load_floats(const float* from, float* x) {
    unpack(*reinterpret_cast<const float4*>(from), x);
    unpack(*reinterpret_cast<const float4*>(from + 4), x + 4);
  }
  static __device__ __forceinline__ void store(const float* x, Bfloat16* to) {
    *reinterpret_cast<uint4*>(to) =
        make_uint4(halves(x[0], x[1]), halves(x[2], x[3]), halves(x[4], x[5]), halves(x[6], x[7]));
  }
  static __device__ __forceinline__ void store_bytes(const uint32_t* x, uint8_t* to) {
    *reinterpret_cast<uint2*>(to) =
        make_uint2(x[0] | x[1] << 8 | x[2] << 16 | x[3] << 24, x[4] | x[5] << 8 | x[6] << 16 | x[7] << 24);
  }
};

__device__ __forceinline__ uint32_t thread_number() {
  return blockIdx.x * kThreads + threadIdx.x;
}
__device__ __forceinline__ float at_least_zero(float x, bool rectify) {
  return rectify && x < 0 ? 0.0f : x;
}

// A thread's channels of a pixel: of rows of images [height, width, channels / kValues].
struct Place {
  uint32_t channel, x, y, row;
};
__device__ __forceinline__ Place place_of(uint32_t number, uint32_t vectors, int width, int height, int values) {
  Place place;
  place.channel = number % vectors * static_cast<uint32_t>(values);
  number /= vectors;
  place.x = number % static_cast<uint32_t>(width);
  number /= static_cast<uint32_t>(width);
  place.y = number % static_cast<uint32_t>(height);
  place.row = number / static_cast<uint32_t>(height);
  return place;
}

dim3 blocks_of(int64_t threads) {
  return dim3(static_cast<unsigned>((threads + kThreads - 1) / kThreads));
}

// Calls function(policy) with Wide<T> where `channels` are whole vectors, else with One<T>.
template <class T, class Function>
void with_values_of(int64_t channels, Function function) {
  if (channels % Wide<T>::kValues == 0) return function(Wide<T>());
  function(One<T>());
}
template <class Function>
void with_floats(int64_t channels, Function function) {
  with_values_of<float>(channels, function);
}
template <class Function>
void with_values(Precision precision, int64_t channels, Function function) {
  if (precision == Precision::kSingle) return with_floats(channels, function);
  with_values_of<Bfloat16>(channels, function);
}

}  // namespace
}  // namespace doppel::cuda
