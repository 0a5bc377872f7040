// What training needs beside matrix products and patches (trainer.h): passes over memory, and sums.
//
// in    values and gradients of layers, floats, [rows, width] or [rows, height, width, channels]
// out   values, gradients, sums
// limit fewer than 2^31 values an array; rows a multiple of 16, so that arrays are whole vectors of 16 bytes
//
// A thread has 16 bytes of values where channels, or the whole array, are whole vectors; a value each elsewhere.
//
//   drop_values             4 bytes read, 4 written a value; 16 values a thread, of one Philox block
//   draw_latents            8 read, 8 written a latent; a Philox block a pair; latents are few
//   find_gaussian_gradient  16 read, 8 written a latent
//   find_pixel_loss         8 read (12 of two outputs a pixel), 4 (8) written; about 30 or 60 operations of exponential,
//                           logarithm and division a pixel
//   find_class_loss         a warp a row; 4 read, 4 written a logit
//   mask_and_sum_columns    8 read, 4 written a value (4 and none where nothing is rectified); sums of 1 / chunks
//   sum_labels              4 read a value
//   spread_to_largest       9 read a window's value, 4 written a pixel's
//   move_parameters         20 read, 12 written a parameter (28 and 16 with means)
// All bound by memory but for the small ones, which are bound by the launch (a graph's: trainer.h). vae-dense has 1.6
// million parameters: 52 MB a step, 11 us at an H200's 4.8 TB/s, less from L2; 128 rows of 784 pixels are 1.2 MB. A
// sum's blocks leave what they have in memory, and the last one to finish adds it up in the blocks' order.
#include <algorithm>

#include "kernels/cuda/image_rows.cuh"
#include "kernels/cuda/training_sums.cuh"
#include "kernels/cuda/vectors.cuh"

namespace doppel::cuda {
namespace {

using Lanes = PlainLanes;

// ---- draws

// Words of doppel::philox_words(seed, row, use, Stream::kFit).
__device__ __forceinline__ void draw_words(uint64_t seed, uint64_t row, uint32_t use, uint32_t words[4]) {
  row_of_words(seed, row, doppel::Stream::kFit).block(use, words);
}

__global__ void __launch_bounds__(kThreads) drop_kernel(const DropArguments a) {
  constexpr int kValues = 16;  // of a block's bytes
  const uint32_t number = thread_number();
  if (static_cast<int64_t>(number) * kValues >= a.count) return;
  uint32_t words[4];
  draw_words(a.numbers->seed, number, a.numbers->use + a.use, words);
  float4* values = reinterpret_cast<float4*>(a.values) + static_cast<size_t>(number) * 4;
#pragma unroll
  for (int w = 0; w < 4; ++w) {
    const auto kept = [&](int byte, float x) {  // by a factor, lest what is dropped is not loaded, in parts of a vector
      return Lanes::multiply(x, (words[w] >> 8 * byte & 255) >= a.dropped ? a.scale : 0.0f);
    };
    const float4 x = values[w];
    values[w] = make_float4(kept(0, x.x), kept(1, x.y), kept(2, x.z), kept(3, x.w));
  }
}

// ---- latents

__global__ void __launch_bounds__(kThreads) latents_kernel(const GaussianArguments a) {
  const uint32_t latent = static_cast<uint32_t>(a.latent), count = static_cast<uint32_t>(a.rows) * latent;
  const uint64_t seed = a.numbers->seed;
  const uint32_t use = a.numbers->use + a.use, counted = static_cast<uint32_t>(a.numbers->rows);
  double divergence[1] = {0};
  for (uint32_t pair = thread_number(); 2 * pair < count; pair += gridDim.x * kThreads) {
    uint32_t words[4];
    draw_words(seed, pair, use, words);
    float2 normals, latents;
    portable::box_muller<Lanes>(Lanes::int_of_words(words[0]), Lanes::int_of_words(words[1]), normals.x, normals.y);
    const auto latent_of = [&](uint32_t place, float normal) {
      const uint32_t row = place / latent, k = place % latent;
      const float* heads = a.heads + row * 2 * latent + k;
      const float mean = heads[0], log_variance = heads[latent], deviation = expf(log_variance / 2);
      if (row < counted) {
        const double m = mean, s = deviation;
        divergence[0] += 0.5 * (m * m + s * s - 1 - log_variance);
      }
      return mean + Lanes::multiply(deviation, normal);
    };
    latents.x = latent_of(2 * pair, normals.x);
    latents.y = latent_of(2 * pair + 1, normals.y);
    reinterpret_cast<float2*>(a.noise)[pair] = normals;
    reinterpret_cast<float2*>(a.latents)[pair] = latents;
  }
  add_to_totals(divergence, a.divergence);
}

__global__ void __launch_bounds__(kThreads) gaussian_gradient_kernel(const GaussianGradientArguments a) {
  const uint32_t latent = static_cast<uint32_t>(a.latent), number = thread_number();
  if (number >= static_cast<uint32_t>(a.rows) * latent) return;
  const uint32_t row = number / latent, place = row * 2 * latent + number % latent;
  const float weight = row < static_cast<uint32_t>(a.numbers->rows) ? a.numbers->divergence_weight : 0.0f;
  const float mean = a.heads[place], deviation = expf(a.heads[place + latent] / 2);
  const float of_latent = a.latents_gradient[number];
  a.gradient[place] = of_latent + weight * mean;
  a.gradient[place + latent] = (of_latent * a.noise[number] * deviation + weight * (deviation * deviation - 1)) / 2;
}

// ---- losses of pixels

// exp(-|x|), and of it 1 / (1 + exp(-x)) and the logarithm of that.
__device__ __forceinline__ float small_exp(float x) {
  return expf(-fabsf(x));
}
__device__ __forceinline__ float sigmoid(float x, float small) {
  return (x >= 0 ? 1.0f : small) / (1.0f + small);
}
__device__ __forceinline__ float log_sigmoid(float x, float small) {
  return fminf(x, 0.0f) - log1pf(small);
}

struct Bernoulli {
  static constexpr int kOutputs = 1;
  // The loss; outputs become its gradient.
  static __device__ __forceinline__ float loss(float target, float* outputs) {
    const float logit = outputs[0], small = small_exp(logit);
    outputs[0] = sigmoid(logit, small) - target;
    return fmaxf(logit, 0.0f) - target * logit + log1pf(small);
  }
};

// A level's bin of a logistic distribution (engine/nn/likelihoods.cpp), `width` scales wide:
//   log(sigmoid(above) - sigmoid(below)) = log(1 - exp(-width)) + log sigmoid(above) + log sigmoid(-below)
// Of the first level only the second term is left, of the last only the third.
struct Logistic {
  static constexpr int kOutputs = 2;
  static __device__ __forceinline__ float loss(float target, float* outputs) {
    constexpr float kHalf = 0.5f / 255, kLeastLogScale = -7;
    const bool is_least = outputs[1] < kLeastLogScale, is_first = target <= kHalf, is_last = target >= 1 - kHalf;
    const float per_scale = expf(-fmaxf(outputs[1], kLeastLogScale));
    const float above = (target + kHalf - outputs[0]) * per_scale, below = (target - kHalf - outputs[0]) * per_scale;
    const float width = 2 * kHalf * per_scale, small_above = small_exp(above), small_below = small_exp(below);
    const float beyond_above = is_last ? 0.0f : sigmoid(-above, small_above),
                beyond_below = is_first ? 0.0f : sigmoid(below, small_below);
    float log_probability = 0, of_width = 0;
    if (!is_last) log_probability += log_sigmoid(above, small_above);
    if (!is_first) log_probability += log_sigmoid(-below, small_below);
    if (!is_first && !is_last) {
      log_probability += logf(-expm1f(-width));
      of_width = width / expm1f(width);
    }
    outputs[0] = (beyond_above - beyond_below) * per_scale;
    outputs[1] = is_least ? 0.0f : above * beyond_above - below * beyond_below + of_width;
    return -log_probability;
  }
};

template <class Likelihood, bool kGradient>
__global__ void __launch_bounds__(kThreads) pixel_loss_kernel(const PixelLossArguments a) {
  using V = Wide<float>;
  constexpr int kOutputs = Likelihood::kOutputs;
  const int64_t counted = a.numbers->rows * a.pixels;
  const float weight = a.numbers->loss_weight;
  double loss[1] = {0};
  for (int64_t first = int64_t{thread_number()} * V::kValues; first < a.count;
       first += int64_t{gridDim.x} * kThreads * V::kValues) {
    float targets[V::kValues], outputs[V::kValues * kOutputs];
    V::load(a.targets + first, targets);
#pragma unroll
    for (int o = 0; o < kOutputs; ++o) V::load(a.outputs + first * kOutputs + o * V::kValues, outputs + o * V::kValues);
    float sum = 0;
#pragma unroll
    for (int i = 0; i < V::kValues; ++i) {
      const bool counts = first + i < counted;
      const float of_pixel = Likelihood::loss(targets[i], outputs + i * kOutputs);
      sum += counts ? of_pixel : 0.0f;
#pragma unroll
      for (int o = 0; o < kOutputs; ++o) outputs[i * kOutputs + o] *= counts ? weight : 0.0f;
    }
    loss[0] += sum;
    if constexpr (kGradient) {
#pragma unroll
      for (int o = 0; o < kOutputs; ++o)
        V::store(outputs + o * V::kValues, a.outputs + first * kOutputs + o * V::kValues);
    }
  }
  add_to_totals(loss, a.loss);
}

// ---- losses of classes

// The greater of x, and of equal ones the one of the smaller number.
__device__ __forceinline__ void most_of_warp(float& x, int& number) {
#pragma unroll
  for (int step = kWarp / 2; step > 0; step /= 2) {
    const float other = __shfl_xor_sync(kAllLanes, x, step);
    const int other_number = __shfl_xor_sync(kAllLanes, number, step);
    if (other > x || (other == x && other_number < number)) x = other, number = other_number;
  }
}

template <bool kGradient>
__global__ void __launch_bounds__(kThreads) class_loss_kernel(const ClassLossArguments a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp;
  double sums[2] = {0, 0};
  for (int row = static_cast<int>(thread_number()) / kWarp; row < a.rows; row += static_cast<int>(gridDim.x) * kWarps) {
    float* logits = a.logits + static_cast<size_t>(row) * static_cast<size_t>(a.classes);
    const bool counts = row < a.numbers->rows;
    const int label = counts ? a.labels[row] : 0;
    float most = -INFINITY;
    int first = a.classes;
    for (int c = lane; c < a.classes; c += kWarp)
      if (logits[c] > most) most = logits[c], first = c;
    most_of_warp(most, first);
    float sum = 0, of_label = 0;
    for (int c = lane; c < a.classes; c += kWarp) {
      sum += expf(logits[c] - most);
      if (c == label) of_label = logits[c];
    }
    sum = sum_to_all_lanes(sum);
    of_label = sum_to_all_lanes(of_label);
    if (lane == 0 && counts) {
      sums[0] += static_cast<double>(logf(sum) - (of_label - most));
      sums[1] += first == label;
    }
    if constexpr (kGradient) {
      const float weight = counts ? a.numbers->loss_weight : 0.0f;  // read late: a register fewer to keep
      for (int c = lane; c < a.classes; c += kWarp)
        logits[c] = weight * (expf(logits[c] - most) / sum - (c == label ? 1.0f : 0.0f));
    }
  }
  add_to_totals(sums, a.loss);
}

// ---- gradients of biases

constexpr int kRowsOfThread = 8, kMostChunks = 128;

template <class V>
__global__ void __launch_bounds__(kThreads) column_sums_kernel(const ColumnSumArguments a, int lanes) {
  SIMT_SHARED(float, shared, [kThreads * 4]);
  SIMT_SHARED(bool, last, [1]);
  const int thread = static_cast<int>(threadIdx.x), group = thread / lanes, groups = kThreads / lanes;
  const int chunk = static_cast<int>(blockIdx.y), chunks = static_cast<int>(gridDim.y);
  const int column = (static_cast<int>(blockIdx.x) * lanes + thread % lanes) * V::kValues;
  const bool has_columns = column < a.columns;
  const auto columns = static_cast<size_t>(a.columns);
  const auto row_at = [&](int part) { return static_cast<int>(int64_t{a.rows} * part / chunks); };
  float sum[V::kValues] = {};
  if (has_columns) {
    for (int row = row_at(chunk) + group; row < row_at(chunk + 1); row += groups) {
      const size_t place = static_cast<size_t>(row) * columns + static_cast<size_t>(column);
      float values[V::kValues];
      V::load(a.gradient + place, values);
      if (a.y != nullptr) {
        float y[V::kValues];
        V::load(a.y + place, y);
#pragma unroll
        for (int i = 0; i < V::kValues; ++i) values[i] = y[i] > 0 ? values[i] * a.scale : 0.0f;
        V::store(values, a.gradient + place);
      }
#pragma unroll
      for (int i = 0; i < V::kValues; ++i) sum[i] += values[i];
    }
  }
  sum_groups<V>(sum, shared, lanes);
  if (group == 0 && has_columns)
    V::store(sum, a.partial + static_cast<size_t>(chunk) * columns + static_cast<size_t>(column));
  __syncthreads();
  if (thread == 0) {
    __threadfence();
    last[0] = atomicAdd(a.finished + blockIdx.x, 1u) == gridDim.y - 1;
  }
  __syncthreads();
  if (!last[0]) return;
  __threadfence();
#pragma unroll
  for (int i = 0; i < V::kValues; ++i) sum[i] = 0;
  if (has_columns) {
    for (int part = group; part < chunks; part += groups) {
      float values[V::kValues];
      V::load(a.partial + static_cast<size_t>(part) * columns + static_cast<size_t>(column), values);
#pragma unroll
      for (int i = 0; i < V::kValues; ++i) sum[i] += values[i];
    }
  }
  sum_groups<V>(sum, shared, lanes);
  if (group == 0 && has_columns) V::store(sum, a.sums + column);
  if (thread == 0) a.finished[blockIdx.x] = 0;
}

template <class V>
__global__ void __launch_bounds__(kThreads) label_sums_kernel(const LabelSumArguments a) {
  const int label = static_cast<int>(blockIdx.y);
  sum_rows_of_code<V>(a.labels, 1, label, a.numbers->rows, a.gradient, a.columns, static_cast<int>(blockIdx.x),
                      a.sums + static_cast<size_t>(label) * static_cast<size_t>(a.columns));
}

// ---- pools

template <class V>
__global__ void __launch_bounds__(kThreads) spread_kernel(const SpreadArguments a) {
  const ImageMap& m = a.map;
  const uint32_t number = thread_number();
  const Place at = place_of(number, static_cast<uint32_t>(m.inputs) / V::kValues, m.width, m.height, V::kValues);
  if (at.row >= static_cast<uint32_t>(a.rows)) return;
  float spread[V::kValues] = {};
  const int oy = static_cast<int>(at.y) / m.kernel, ox = static_cast<int>(at.x) / m.kernel;
  if (oy < m.output_height && ox < m.output_width) {  // else it was dropped
    const auto part =
        static_cast<uint32_t>((static_cast<int>(at.y) % m.kernel) * m.kernel + static_cast<int>(at.x) % m.kernel);
    const int pixel = (static_cast<int>(at.row) * m.output_height + oy) * m.output_width + ox;
    const size_t place = static_cast<size_t>(pixel) * static_cast<size_t>(m.inputs) + at.channel;
    float gradient[V::kValues], y[V::kValues];
    uint32_t largest[V::kValues];
    V::load(a.gradient + place, gradient);
    V::load(a.y + place, y);
    V::load_bytes(a.largest + place, largest);
#pragma unroll
    for (int i = 0; i < V::kValues; ++i)
      if (largest[i] == part && (!a.rectified || y[i] > 0)) spread[i] = gradient[i] * a.scale;
  }
  V::store(spread, a.spread + static_cast<size_t>(number) * V::kValues);
}

// ---- Adam

template <bool kMeans>
__global__ void __launch_bounds__(kThreads) adam_kernel(const AdamArguments a) {
  using V = Wide<float>;
  const size_t first = static_cast<size_t>(thread_number()) * V::kValues;
  if (static_cast<int64_t>(first) >= a.count) return;
  constexpr auto kFirst = static_cast<float>(kAdamFirstDecay), kSecond = static_cast<float>(kAdamSecondDecay);
  const float scale = a.numbers->scale, epsilon = a.numbers->epsilon;
  float g[V::kValues], m[V::kValues], v[V::kValues], x[V::kValues];
  V::load(a.gradient + first, g);
  V::load(a.first + first, m);
  V::load(a.second + first, v);
  V::load(a.value + first, x);
#pragma unroll
  for (int i = 0; i < V::kValues; ++i) {
    m[i] = kFirst * m[i] + (1 - kFirst) * g[i];
    v[i] = kSecond * v[i] + (1 - kSecond) * g[i] * g[i];
    x[i] -= scale * m[i] / (sqrtf(v[i]) + epsilon);
  }
  V::store(m, a.first + first);
  V::store(v, a.second + first);
  V::store(x, a.value + first);
  if constexpr (kMeans) {
    const float share = a.numbers->mean_share;
    float mean[V::kValues];
    V::load(a.mean + first, mean);
#pragma unroll
    for (int i = 0; i < V::kValues; ++i) mean[i] += share * (x[i] - mean[i]);
    V::store(mean, a.mean + first);
  }
}

template <class Likelihood>
void start_pixel_loss(const PixelLossArguments& arguments, bool with_gradient, cudaStream_t stream) {
  const dim3 grid = loss_blocks(arguments.count / Wide<float>::kValues);
  if (with_gradient) {
    CUDA_LAUNCH((pixel_loss_kernel<Likelihood, true>), grid, dim3(kThreads), 0, stream, arguments);
  } else {
    CUDA_LAUNCH((pixel_loss_kernel<Likelihood, false>), grid, dim3(kThreads), 0, stream, arguments);
  }
}

}  // namespace

void drop_values(const DropArguments& arguments, cudaStream_t stream) {
  CUDA_LAUNCH(drop_kernel, blocks_of((arguments.count + 15) / 16), dim3(kThreads), 0, stream, arguments);
}

void draw_latents(const GaussianArguments& arguments, cudaStream_t stream) {
  CUDA_LAUNCH(latents_kernel, loss_blocks(int64_t{arguments.rows} * arguments.latent / 2), dim3(kThreads), 0, stream,
              arguments);
}

void find_gaussian_gradient(const GaussianGradientArguments& arguments, cudaStream_t stream) {
  CUDA_LAUNCH(gaussian_gradient_kernel, blocks_of(int64_t{arguments.rows} * arguments.latent), dim3(kThreads), 0,
              stream, arguments);
}

void find_pixel_loss(const PixelLossArguments& arguments, TrainingLoss loss, bool with_gradient, cudaStream_t stream) {
  if (loss == TrainingLoss::kLogistic) {
    start_pixel_loss<Logistic>(arguments, with_gradient, stream);
  } else {
    start_pixel_loss<Bernoulli>(arguments, with_gradient, stream);
  }
}

void find_class_loss(const ClassLossArguments& arguments, bool with_gradient, cudaStream_t stream) {
  const dim3 grid = loss_blocks(int64_t{arguments.rows} * kWarp);
  if (with_gradient) {
    CUDA_LAUNCH(class_loss_kernel<true>, grid, dim3(kThreads), 0, stream, arguments);
  } else {
    CUDA_LAUNCH(class_loss_kernel<false>, grid, dim3(kThreads), 0, stream, arguments);
  }
}

ColumnSumPlan plan_column_sums(int64_t rows, int64_t columns) {
  ColumnSumPlan plan{columns % Wide<float>::kValues == 0 ? Wide<float>::kValues : 1, 1, 0, 0};
  const int64_t vectors = columns / plan.values;
  while (plan.lanes < vectors && plan.lanes < kMostLanes) plan.lanes *= 2;
  plan.tiles = static_cast<int32_t>((vectors + plan.lanes - 1) / plan.lanes);
  const int64_t rows_of_block = int64_t{kThreads} / plan.lanes * kRowsOfThread;
  plan.chunks = static_cast<int32_t>(std::clamp<int64_t>(rows / rows_of_block, 1, kMostChunks));
  return plan;
}

void mask_and_sum_columns(const ColumnSumArguments& arguments, cudaStream_t stream) {
  const ColumnSumPlan plan = plan_column_sums(arguments.rows, arguments.columns);
  const dim3 grid(static_cast<unsigned>(plan.tiles), static_cast<unsigned>(plan.chunks));
  with_floats(arguments.columns, [&](auto policy) {
    CUDA_LAUNCH(column_sums_kernel<decltype(policy)>, grid, dim3(kThreads), 0, stream, arguments, plan.lanes);
  });
}

void sum_labels(const LabelSumArguments& arguments, cudaStream_t stream) {
  with_floats(arguments.columns, [&](auto policy) {
    using V = decltype(policy);
    constexpr int64_t kColumns = kMostLanes * V::kValues;
    const dim3 grid(static_cast<unsigned>((arguments.columns + kColumns - 1) / kColumns),
                    static_cast<unsigned>(arguments.label_count));
    CUDA_LAUNCH(label_sums_kernel<V>, grid, dim3(kThreads), 0, stream, arguments);
  });
}

void spread_to_largest(const SpreadArguments& arguments, cudaStream_t stream) {
  const ImageMap& m = arguments.map;
  const int64_t values = int64_t{arguments.rows} * m.height * m.width * m.inputs;
  with_floats(m.inputs, [&](auto policy) {
    using V = decltype(policy);
    CUDA_LAUNCH(spread_kernel<V>, blocks_of(values / V::kValues), dim3(kThreads), 0, stream, arguments);
  });
}

void move_parameters(const AdamArguments& arguments, cudaStream_t stream) {
  const dim3 grid = blocks_of(arguments.count / Wide<float>::kValues);
  if (arguments.mean != nullptr) {
    CUDA_LAUNCH(adam_kernel<true>, grid, dim3(kThreads), 0, stream, arguments);
  } else {
    CUDA_LAUNCH(adam_kernel<false>, grid, dim3(kThreads), 0, stream, arguments);
  }
}

}  // namespace doppel::cuda
