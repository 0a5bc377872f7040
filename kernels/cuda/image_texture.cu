// Levels with texture (kernels/image_sampler.h): outputs of the decoder become means, a label's directions times a
// row's normals and noise deviate from them, and bytes are written.
//
// in    outputs [rows, levels] or [rows, levels, 2], labels [rows], spread [labels, 256], factor [labels, directions,
//       levels], noise [labels, levels]
// out   images [rows, levels] of bytes
// limit fewer than 2^31 outputs, 2^25 labels; any number of levels and directions
//
// A block of 128 threads takes 64 rows and up to 128 vectors of 4 neighbouring levels (single levels where they are no
// multiple of 4). It puts its rows in the order of their labels, so that up to 8 rows of a label are made at once: a
// vector of the factor, from L1 or L2, is 16 bytes for 32 multiply-adds. Normals are drawn into shared memory, 64
// directions of 8 rows at a time, and read as broadcasts of 16 bytes. Which rows are made at once changes no bit: a
// level's sum is over ascending directions. A vector's noise is a block of four normals that its thread draws.
//
// 784 levels, 64 directions, 10 labels: 50 k multiply-adds a row and some 25 k operations of 210 blocks of normals, 2.2
// ns of an H200's 67 TFLOP/s; 3.1 kB of outputs and
// 0.8 kB of bytes a row from and to memory, 0.8 ns at 4.8 TB/s; 31 kB of factors a row from L2 (2 MB hold all), 6 ns at
// an estimated 5.5 TB/s where 64 rows are 10 labels of 6: bound by L2, estimated, not measured.
#include "kernels/cuda/image_rows.cuh"
#include "kernels/cuda/image_sampler.h"
#include "kernels/cuda/simt.h"

namespace doppel::cuda {
namespace {

constexpr int kThreads = 128, kBlockRows = 64, kRun = 8, kChunk = 64, kFour = 4;
constexpr int kRowBits = 6;
static_assert(kBlockRows == 1 << kRowBits && kBlockRows <= kThreads);

// keys [kBlockRows] in shared memory, ascending afterwards (bitonic); the first kBlockRows / 2 threads have a pair each.
__device__ __forceinline__ void sort_keys(uint32_t* keys) {
  const int thread = static_cast<int>(threadIdx.x);
  for (int size = 2; size <= kBlockRows; size *= 2)
    for (int distance = size / 2; distance > 0; distance /= 2) {
      __syncthreads();
      if (thread >= kBlockRows / 2) continue;
      const int low = thread / distance * 2 * distance + thread % distance, high = low + distance;
      const uint32_t a = keys[low], b = keys[high];
      if ((a > b) != ((low & size) != 0)) {
        keys[low] = b;
        keys[high] = a;
      }
    }
  __syncthreads();
}

// normals [kChunk, kRun]: of `count` rows, from `direction` on; zeros beyond rows and directions.
__device__ __forceinline__ void draw_normals(const TextureArguments& a, const uint32_t* keys, int count,
                                             int64_t block_row, int direction, float* normals) {
  constexpr int kDraws = kChunk / kFour;
  for (int i = static_cast<int>(threadIdx.x); i < kRun * kDraws; i += kThreads) {
    const int row = i % kRun, draw = i / kRun;
    float4 four = make_float4(0, 0, 0, 0);
    if (row < count && direction + kFour * draw < a.directions) {
      const int64_t number = block_row + static_cast<int64_t>(keys[row] % kBlockRows);
      four = row_of_words(a.seed, a.first_row + static_cast<uint64_t>(number))
                 .normals(a.first_block + static_cast<uint32_t>(direction / kFour + draw));
    }
    float* to = normals + kFour * draw * kRun + row;
    to[0] = a.temperature * four.x;
    to[kRun] = a.temperature * four.y;
    to[2 * kRun] = a.temperature * four.z;
    to[3 * kRun] = a.temperature * four.w;
  }
}

template <int kLevels>
__device__ __forceinline__ void load(const float* from, float* x) {
  if constexpr (kLevels == kFour) {
    const float4 four = __ldg(reinterpret_cast<const float4*>(from));
    x[0] = four.x, x[1] = four.y, x[2] = four.z, x[3] = four.w;
  } else {
    x[0] = __ldg(from);
  }
}

template <bool kLogistic, int kLevels>
__device__ __forceinline__ void load_means(const float* outputs, int64_t level, float* mean) {
  if constexpr (kLogistic) {
    float pairs[2 * kLevels];
    load<kLevels>(outputs + 2 * level, pairs);
    load<kLevels>(outputs + 2 * level + kLevels, pairs + kLevels);
#pragma unroll
    for (int i = 0; i < kLevels; ++i) mean[i] = mean_of_share(pairs[2 * i]);
  } else {
    load<kLevels>(outputs + level, mean);
#pragma unroll
    for (int i = 0; i < kLevels; ++i) mean[i] = mean_of_logit(mean[i]);
  }
}

// Of levels [level, level + kLevels) of a row.
template <int kLevels>
__device__ __forceinline__ void draw_noise(const TextureArguments& a, uint64_t row, int64_t level, float* normals) {
  const float4 four =
      row_of_words(a.seed, a.first_row + row).normals(a.noise_block + static_cast<uint32_t>(level / kFour));
  if constexpr (kLevels == kFour) {
    normals[0] = four.x, normals[1] = four.y, normals[2] = four.z, normals[3] = four.w;
  } else {
    const int which = static_cast<int>(level % kFour);
    normals[0] = which == 0 ? four.x : which == 1 ? four.y : which == 2 ? four.z : four.w;
  }
#pragma unroll
  for (int i = 0; i < kLevels; ++i) normals[i] *= a.temperature;
}

template <int kLevels>
__device__ __forceinline__ void store_levels(const float* mean, const float* deviation, const float* spread,
                                             uint8_t* levels) {
  uint32_t packed = 0;
#pragma unroll
  for (int i = 0; i < kLevels; ++i) {
    const float level = mean[i] + __ldg(spread + static_cast<uint32_t>(mean[i] + 0.5f)) * deviation[i];
    packed |= static_cast<uint32_t>(fminf(fmaxf(level, 0.0f), 255.0f) + 0.5f) << 8 * i;
  }
  if constexpr (kLevels == kFour) {
    *reinterpret_cast<uint32_t*>(levels) = packed;
  } else {
    *levels = static_cast<uint8_t>(packed);
  }
}

template <bool kLogistic, int kLevels>
__global__ void __launch_bounds__(kThreads) textured_levels_kernel(const TextureArguments a, int vectors_of_block) {
  SIMT_SHARED(uint32_t, keys, [kBlockRows]);  // label, row within the block
  SIMT_SHARED(float4, shared, [kChunk * kRun / kFour]);
  float* normals = reinterpret_cast<float*>(shared);
  const int thread = static_cast<int>(threadIdx.x);
  const int64_t block_row = static_cast<int64_t>(blockIdx.x) * kBlockRows;
  const int rows = static_cast<int>(a.rows - block_row < kBlockRows ? a.rows - block_row : kBlockRows);
  if (thread < kBlockRows)
    keys[thread] = thread < rows ? static_cast<uint32_t>(a.labels[block_row + thread]) << kRowBits |
                                       static_cast<uint32_t>(thread)
                                 : ~0u;
  sort_keys(keys);

  const int vector = static_cast<int>(blockIdx.y) * vectors_of_block + thread;
  const bool has_levels = thread < vectors_of_block && vector < a.levels / kLevels;
  const int64_t level = static_cast<int64_t>(vector) * kLevels;
  int count = 0;
  for (int first = 0; first < rows; first += count) {
    const int64_t label = keys[first] >> kRowBits;
    for (count = 1; count < kRun && first + count < rows && keys[first + count] >> kRowBits == label;) ++count;
    const float* factor = a.factor + label * a.directions * a.levels + level;
    float sums[kRun][kLevels] = {};
    for (int direction = 0; direction < a.directions; direction += kChunk) {
      __syncthreads();
      draw_normals(a, keys + first, count, block_row, direction, normals);
      __syncthreads();
      const int some = a.directions - direction < kChunk ? a.directions - direction : kChunk;
      for (int k = 0; has_levels && k < some; ++k) {
        float weight[kLevels];
        load<kLevels>(factor + static_cast<int64_t>(direction + k) * a.levels, weight);
        const float4 low = shared[2 * k], high = shared[2 * k + 1];
        const float normal[kRun] = {low.x, low.y, low.z, low.w, high.x, high.y, high.z, high.w};
#pragma unroll
        for (int row = 0; row < kRun; ++row)
#pragma unroll
          for (int i = 0; i < kLevels; ++i) sums[row][i] += normal[row] * weight[i];
      }
    }
    if (!has_levels) continue;
    float noise[kLevels];
    load<kLevels>(a.noise + label * a.levels + level, noise);
#pragma unroll
    for (int row = 0; row < kRun; ++row) {
      if (row >= count) continue;
      const int64_t number = block_row + static_cast<int64_t>(keys[first + row] % kBlockRows);
      const int64_t place = number * a.levels + level;
      float normals_of_noise[kLevels], mean[kLevels];
      draw_noise<kLevels>(a, static_cast<uint64_t>(number), level, normals_of_noise);
#pragma unroll
      for (int i = 0; i < kLevels; ++i) sums[row][i] += noise[i] * normals_of_noise[i];
      load_means<kLogistic, kLevels>(a.outputs, place, mean);
      store_levels<kLevels>(mean, sums[row], a.spread + label * ImageTexture::kMeans, a.images + place);
    }
  }
}

template <bool kLogistic, int kLevels>
void launch(const TextureArguments& a, cudaStream_t stream) {
  const int vectors = a.levels / kLevels;
  const int tiles = (vectors + kThreads - 1) / kThreads;
  const dim3 grid(static_cast<unsigned>((a.rows + kBlockRows - 1) / kBlockRows), static_cast<unsigned>(tiles));
  CUDA_LAUNCH((textured_levels_kernel<kLogistic, kLevels>), grid, dim3(kThreads), 0, stream, a,
              (vectors + tiles - 1) / tiles);
}

}  // namespace

void write_textured_levels(const TextureArguments& arguments, PixelLikelihood likelihood, cudaStream_t stream) {
  const bool is_wide = arguments.levels % kFour == 0;
  if (likelihood == PixelLikelihood::kLogistic) {
    return is_wide ? launch<true, kFour>(arguments, stream) : launch<true, 1>(arguments, stream);
  }
  return is_wide ? launch<false, kFour>(arguments, stream) : launch<false, 1>(arguments, stream);
}

}  // namespace doppel::cuda
