// The two ends of making images (kernels/image_sampler.h); the decoder between them is network.cu and cuBLAS.
//
// Latents. in: mixtures of Gaussians; out: latents [rows, latent], labels [rows]; limit: 1,024 latents, 2^31 - 1 blocks
// of 8 rows. A warp takes a row: its lanes draw a block of four normals each, into shared memory, then have a latent
// each: normals are broadcast, columns of the member's factor and the latents are read and written in whole lines.
// 24 latents: 2.3 kB of factors a row, from L2 (ten classes of ten members are 230 kB), and 24 x 24 multiply-adds.
// Arithmetic is the CPU's, operation by operation: the latents are the same bits.
//
// Levels. in: outputs [count] or, of the logistic likelihood, [count, 2]; out: bytes [count]; count a multiple of 16. A
// thread makes 16 bytes, one store, of 4 16-byte loads, or of 16 4-byte ones through L1, as nvcc drops what is not used
// of pairs: 5 or 9 bytes a level, about 30 operations of exponential and division each, bound by memory: 784 levels are
// 3.9 kB, 0.8 ns at an H200's 4.8 TB/s.
#include "kernels/cuda/grid.cuh"
#include "kernels/cuda/image_rows.cuh"
#include "kernels/cuda/image_sampler.h"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

using Lanes = PlainLanes;

constexpr int kWarp = 32, kLatentThreads = kLatentRows * kWarp, kLevelThreads = 256;
constexpr int kLevels = 16;  // of a thread

// ---- latents

// The number of ends, the last left out, that are at most where the word points to; ends ascend.
__device__ __forceinline__ int draw(const double* ends, int count, uint32_t word) {
  const double place = static_cast<double>(word) * 0x1p-32 * __ldg(ends + count - 1);
  int first = 0, last = count - 1;
  while (first < last) {
    const int middle = (first + last) / 2;
    if (__ldg(ends + middle) <= place) {
      first = middle + 1;
    } else {
      last = middle;
    }
  }
  return first;
}

__global__ void __launch_bounds__(kLatentThreads) latents_of_images_kernel(const LatentArguments a, int stride) {
  SIMT_DYNAMIC_SHARED(float, shared);  // [kLatentRows, stride]
  const int warp = static_cast<int>(threadIdx.x) / kWarp, lane = static_cast<int>(threadIdx.x) % kWarp;
  const int64_t row = static_cast<int64_t>(blockIdx.x) * kLatentRows + warp;
  if (row >= a.rows) return;  // the whole warp
  const RowOfWords words = row_of_words(a.seed, a.first_row + static_cast<uint64_t>(row));

  uint32_t choice[4];
  words.block(0, choice);
  const int label = draw(a.labels_up_to, a.label_count, choice[0]);
  const int first = __ldg(a.first_member + label), last = __ldg(a.first_member + label + 1);
  const int member = first + draw(a.members_up_to + first, last - first, choice[1]);
  if (lane == 0) a.labels[row] = label;

  float* normals = shared + warp * stride;
  for (int block = lane; 4 * block < a.latent; block += kWarp) {
    const float4 four = words.normals(1 + static_cast<uint32_t>(block));
    *reinterpret_cast<float4*>(normals + 4 * block) = four;
  }
  __syncwarp();

  const float* columns = a.factor_columns + static_cast<int64_t>(member) * a.latent * a.latent;
  for (int i = lane; i < a.latent; i += kWarp) {
    float z = __ldg(a.mean + static_cast<int64_t>(member) * a.latent + i);
    for (int k = 0; k <= i; ++k)  // beyond it the factor is 0
      z += Lanes::multiply(__ldg(columns + k * a.latent + i), Lanes::multiply(a.temperature, normals[k]));
    a.latents[row * a.latent + i] = z;
  }
}

// ---- levels

__device__ __forceinline__ uint32_t level_of_logit(float logit) {
  return static_cast<uint32_t>(mean_of_logit(logit) + 0.5f);
}
__device__ __forceinline__ uint32_t level_of_mean(float mean) {
  return static_cast<uint32_t>(mean_of_share(mean) + 0.5f);
}

template <bool kLogistic>
__device__ __forceinline__ uint32_t four_levels(const float4* outputs) {
  if constexpr (kLogistic) {
    const float4 low = __ldg(outputs), high = __ldg(outputs + 1);
    return level_of_mean(low.x) | level_of_mean(low.z) << 8 | level_of_mean(high.x) << 16 | level_of_mean(high.z) << 24;
  } else {
    const float4 four = __ldg(outputs);
    return level_of_logit(four.x) | level_of_logit(four.y) << 8 | level_of_logit(four.z) << 16 |
           level_of_logit(four.w) << 24;
  }
}

template <bool kLogistic>
__global__ void __launch_bounds__(kLevelThreads) levels_kernel(const float4* outputs, int64_t vectors, uint4* levels) {
  const int64_t number = static_cast<int64_t>(blockIdx.x) * kLevelThreads + threadIdx.x;
  if (number >= vectors) return;
  constexpr int kStep = kLogistic ? 2 : 1;
  outputs += number * 4 * kStep;
  levels[number] = make_uint4(four_levels<kLogistic>(outputs), four_levels<kLogistic>(outputs + kStep),
                              four_levels<kLogistic>(outputs + 2 * kStep), four_levels<kLogistic>(outputs + 3 * kStep));
}

}  // namespace

void draw_image_latents(const LatentArguments& arguments, cudaStream_t stream) {
  const int stride = (arguments.latent + 3) / 4 * 4;
  CUDA_LAUNCH(latents_of_images_kernel, dim3(blocks_of(arguments.rows, kLatentRows)), dim3(kLatentThreads),
              static_cast<size_t>(kLatentRows * stride) * sizeof(float), stream, arguments, stride);
}

void write_levels(const float* outputs, int64_t count, PixelLikelihood likelihood, uint8_t* levels,
                  cudaStream_t stream) {
  const int64_t vectors = count / kLevels;
  const dim3 grid(blocks_of(vectors, kLevelThreads));
  const auto* from = reinterpret_cast<const float4*>(outputs);
  auto* to = reinterpret_cast<uint4*>(levels);
  if (likelihood == PixelLikelihood::kLogistic) {
    CUDA_LAUNCH(levels_kernel<true>, grid, dim3(kLevelThreads), 0, stream, from, vectors, to);
  } else {
    CUDA_LAUNCH(levels_kernel<false>, grid, dim3(kLevelThreads), 0, stream, from, vectors, to);
  }
}

}  // namespace doppel::cuda
