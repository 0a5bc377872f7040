// What trained networks need beside matrix products (network.h): one pass over memory each.
//
// in    sums of products, floats; values of layers, floats or bfloat16; images channels last
// out   values of the next layer
// limit fewer than 2^31 values an array; rows a multiple of 16, so that arrays are whole vectors of 16 bytes
//
// A thread makes 16 bytes of values: 4 floats or 8 bfloat16, neighbouring channels of one pixel where the channels are
// a multiple of that, one value elsewhere (images of one channel: neighbouring threads have neighbouring pixels). Loads
// and stores of a warp are whole lines. Indices are of 32 bits: a division of 64 is five times as long.
//
//   finish_sums     4 bytes read and 2 or 4 written a value; biases and labels' weights from L1
//   gather_patches  a patch's 2 or 4 bytes a value written, reads mostly from L1 and L2: kernel^2 / stride^2 of a value
//   sum_taps        4 bytes a tap read, each once; 2 or 4 written a value; kernel^2 / stride^2 additions
//   pool_images     each value read once, a window's share written
// All bound by memory: a piece's arrays are of the size of L2 (kPatchBytes). Products of 4 x 4 taps, 64 channels to
// 32, are 100 kB a row of 7 x 7 pixels: 21 ns at 4.8 TB/s, against 1.6 million multiply-adds, 6.6 ns of an H200's 495
// TFLOP/s of TF32: so pieces are kept small. What would beat it: the taps summed in the product's own epilogue.
#include "kernels/cuda/network.h"
#include "kernels/cuda/vectors.cuh"

namespace doppel::cuda {
namespace {

template <class V>
__global__ void __launch_bounds__(kThreads) finish_kernel(const SumArguments a) {
  const uint32_t first = thread_number() * V::kValues, columns = static_cast<uint32_t>(a.columns);
  if (first >= static_cast<uint32_t>(a.rows) * columns) return;
  float x[V::kValues];
  V::load_floats(a.sums + first, x);
  uint32_t row = first / columns, column = first % columns;
#pragma unroll
  for (int i = 0; i < V::kValues; ++i) {
    x[i] += __ldg(a.bias + column);
    if (a.label_weight != nullptr)
      x[i] += __ldg(a.label_weight + static_cast<uint32_t>(__ldg(a.labels + row)) * columns + column);
    x[i] = at_least_zero(x[i], a.rectify);
    if (++column == columns) column = 0, ++row;
  }
  V::store(x, static_cast<typename V::Value*>(a.y) + first);
}

// Unit: what a thread moves; `channels` in units. No number is looked at.
template <class Unit>
__global__ void __launch_bounds__(kThreads) patches_kernel(const PatchArguments a, uint32_t channels, Unit zero) {
  const ImageMap& m = a.map;
  const auto kernel = static_cast<uint32_t>(m.kernel), width = static_cast<uint32_t>(m.output_width),
             height = static_cast<uint32_t>(m.output_height);
  const uint32_t number = thread_number();
  uint32_t rest = number;
  const uint32_t channel = rest % channels;
  rest /= channels;
  const uint32_t kx = rest % kernel;
  rest /= kernel;
  const uint32_t ky = rest % kernel;
  rest /= kernel;
  const uint32_t ox = rest % width;
  rest /= width;
  const uint32_t oy = rest % height, row = rest / height;
  if (row >= static_cast<uint32_t>(a.rows)) return;
  const int y = static_cast<int>(oy) * m.stride + static_cast<int>(ky) - m.padding;
  const int x = static_cast<int>(ox) * m.stride + static_cast<int>(kx) - m.padding;
  Unit value = zero;
  if (y >= 0 && y < m.height && x >= 0 && x < m.width) {
    const int pixel = (static_cast<int>(row) * m.height + y) * m.width + x;
    value = static_cast<const Unit*>(a.x)[static_cast<uint32_t>(pixel) * channels + channel];
  }
  static_cast<Unit*>(a.patches)[number] = value;
}

template <class V>
__global__ void __launch_bounds__(kThreads) taps_kernel(const TapArguments a) {
  const ImageMap& m = a.map;
  const uint32_t number = thread_number();
  const Place at = place_of(number, static_cast<uint32_t>(m.inputs) / V::kValues, m.width, m.height, V::kValues);
  if (at.row >= static_cast<uint32_t>(a.rows)) return;
  float sum[V::kValues];
#pragma unroll
  for (int i = 0; i < V::kValues; ++i) sum[i] = a.bias != nullptr ? __ldg(a.bias + at.channel + i) : 0.0f;
  const int y = static_cast<int>(at.y) + m.padding, x = static_cast<int>(at.x) + m.padding;
  for (int ky = y % m.stride; ky < m.kernel && ky <= y; ky += m.stride) {
    const int oy = (y - ky) / m.stride;
    if (oy >= m.output_height) continue;
    for (int kx = x % m.stride; kx < m.kernel && kx <= x; kx += m.stride) {
      const int ox = (x - kx) / m.stride;
      if (ox >= m.output_width) continue;
      const int pixel = (static_cast<int>(at.row) * m.output_height + oy) * m.output_width + ox;
      const int tap = (pixel * m.kernel + ky) * m.kernel + kx;
      float values[V::kValues];
      V::load_floats(a.patches + static_cast<uint32_t>(tap) * static_cast<uint32_t>(m.inputs) + at.channel, values);
#pragma unroll
      for (int i = 0; i < V::kValues; ++i) sum[i] += values[i];
    }
  }
#pragma unroll
  for (int i = 0; i < V::kValues; ++i) sum[i] = at_least_zero(sum[i], a.rectify);
  V::store(sum, static_cast<typename V::Value*>(a.y) + static_cast<size_t>(number) * V::kValues);
}

template <class V>
__global__ void __launch_bounds__(kThreads) pool_kernel(const PoolArguments a) {
  const ImageMap& m = a.map;
  const uint32_t number = thread_number();
  const Place at =
      place_of(number, static_cast<uint32_t>(m.inputs) / V::kValues, m.output_width, m.output_height, V::kValues);
  if (at.row >= static_cast<uint32_t>(a.rows)) return;
  float most[V::kValues];
  uint32_t largest[V::kValues];
#pragma unroll
  for (int i = 0; i < V::kValues; ++i) most[i] = -INFINITY, largest[i] = 0;
  for (int ky = 0; ky < m.kernel; ++ky) {
    for (int kx = 0; kx < m.kernel; ++kx) {
      const int y = static_cast<int>(at.y) * m.kernel + ky, x = static_cast<int>(at.x) * m.kernel + kx;
      const int pixel = (static_cast<int>(at.row) * m.height + y) * m.width + x;
      float values[V::kValues];
      V::load(static_cast<const typename V::Value*>(a.x) +
                  static_cast<uint32_t>(pixel) * static_cast<uint32_t>(m.inputs) + at.channel,
              values);
#pragma unroll
      for (int i = 0; i < V::kValues; ++i) {
        if (values[i] > most[i]) largest[i] = static_cast<uint32_t>(ky * m.kernel + kx);
        most[i] = fmaxf(most[i], values[i]);
      }
    }
  }
  if (a.largest != nullptr) V::store_bytes(largest, a.largest + static_cast<size_t>(number) * V::kValues);
#pragma unroll
  for (int i = 0; i < V::kValues; ++i) most[i] = at_least_zero(most[i], a.rectify);
  V::store(most, static_cast<typename V::Value*>(a.y) + static_cast<size_t>(number) * V::kValues);
}

__global__ void __launch_bounds__(kThreads) round_kernel(const float* x, uint32_t vectors, Bfloat16* y) {
  using V = Wide<Bfloat16>;
  const uint32_t number = thread_number();
  if (number >= vectors) return;
  float values[V::kValues];
  V::load_floats(x + static_cast<size_t>(number) * V::kValues, values);
  V::store(values, y + static_cast<size_t>(number) * V::kValues);
}

}  // namespace

void finish_sums(const SumArguments& arguments, Precision precision, cudaStream_t stream) {
  with_values(precision, kNetworkRows, [&](auto policy) {
    using V = decltype(policy);
    CUDA_LAUNCH(finish_kernel<V>, blocks_of(int64_t{arguments.rows} * arguments.columns / V::kValues), dim3(kThreads),
                0, stream, arguments);
  });
}

void gather_patches(const PatchArguments& arguments, Precision precision, cudaStream_t stream) {
  const ImageMap& m = arguments.map;
  const int64_t bytes = precision == Precision::kSingle ? 4 : 2, taps = int64_t{m.kernel} * m.kernel;
  const int64_t patches = int64_t{arguments.rows} * m.output_height * m.output_width * taps;
  const int64_t vectors = m.inputs * bytes / 16;
  const auto launch = [&](auto zero, int64_t channels) {
    using Unit = decltype(zero);
    CUDA_LAUNCH(patches_kernel<Unit>, blocks_of(patches * channels), dim3(kThreads), 0, stream, arguments,
                static_cast<uint32_t>(channels), zero);
  };
  if (vectors * 16 == m.inputs * bytes) {
    launch(make_uint4(0, 0, 0, 0), vectors);
  } else if (bytes == 4) {
    launch(uint32_t{0}, m.inputs);
  } else {
    launch(uint16_t{0}, m.inputs);
  }
}

void sum_taps(const TapArguments& arguments, Precision precision, cudaStream_t stream) {
  const ImageMap& m = arguments.map;
  const int64_t values = int64_t{arguments.rows} * m.height * m.width * m.inputs;
  with_values(precision, m.inputs, [&](auto policy) {
    using V = decltype(policy);
    CUDA_LAUNCH(taps_kernel<V>, blocks_of(values / V::kValues), dim3(kThreads), 0, stream, arguments);
  });
}

void pool_images(const PoolArguments& arguments, Precision precision, cudaStream_t stream) {
  const ImageMap& m = arguments.map;
  const int64_t values = int64_t{arguments.rows} * m.output_height * m.output_width * m.inputs;
  with_values(precision, m.inputs, [&](auto policy) {
    using V = decltype(policy);
    CUDA_LAUNCH(pool_kernel<V>, blocks_of(values / V::kValues), dim3(kThreads), 0, stream, arguments);
  });
}

void round_values(const float* x, int64_t count, void* y, cudaStream_t stream) {
  const auto vectors = static_cast<uint32_t>(count / Wide<Bfloat16>::kValues);
  CUDA_LAUNCH(round_kernel, blocks_of(vectors), dim3(kThreads), 0, stream, x, vectors, static_cast<Bfloat16*>(y));
}

}  // namespace doppel::cuda
