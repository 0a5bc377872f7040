// What training of networks of codes (kernels/trainer.h) needs beside what other networks do: embeddings of a row's
// codes and their gradient, and the cross-entropies of its fields (trainer.h).
//
// in    codes [rows, fields], negative where unknown; embeddings [codes of all fields, columns]; logits likewise [rows,
//       codes of all fields]
// out   sums of embeddings [rows, columns], gradients, sums of losses
// limit fewer than 2^31 values an array
//
//   embed_codes     a thread has 16 bytes of a row's columns; 4 bytes read a field and column, from L2 for the most part
//   sum_embeddings  a block has a code and 128 columns, and looks at the field's codes of all rows: each number is summed in
//                   one order, without atomics. 4 bytes read a row and field for each column, and 4 a row, code and 128
//                   columns, which L1 and L2 hold
//   find_code_loss  a warp has a row's field, whose logits it goes through three times; 4 bytes read, 4 written a logit,
//                   about 30 operations
// 256 rows of 15 fields of 700 codes, 256 columns: 1 MB of embeddings, 0.7 MB of logits, some microseconds each.
#include "kernels/cuda/training_sums.cuh"

namespace doppel::cuda {
namespace {

template <class V>
__global__ void __launch_bounds__(kThreads) embed_kernel(const EmbedArguments a) {
  const uint32_t first = thread_number() * V::kValues, columns = static_cast<uint32_t>(a.columns);
  if (first >= static_cast<uint32_t>(a.rows) * columns) return;
  const uint32_t row = first / columns, column = first % columns;
  const int32_t* codes = a.codes + static_cast<size_t>(row) * static_cast<size_t>(a.fields);
  float sum[V::kValues];
  V::load(a.bias + column, sum);
#pragma unroll 4
  for (int f = 0; f < a.fields; ++f) {
    const int32_t code = __ldg(codes + f);
    if (code < 0) continue;
    float values[V::kValues];
    V::load(a.weight + static_cast<size_t>(__ldg(a.first + f) + code) * columns + column, values);
#pragma unroll
    for (int i = 0; i < V::kValues; ++i) sum[i] += values[i];
  }
#pragma unroll
  for (int i = 0; i < V::kValues; ++i) sum[i] = at_least_zero(sum[i], a.rectify);
  V::store(sum, a.y + first);
}

template <class V>
__global__ void __launch_bounds__(kThreads) embedding_sums_kernel(const EmbeddingSumArguments a) {
  const int number = static_cast<int>(blockIdx.x), field = __ldg(a.field + number);
  sum_rows_of_code<V>(a.codes + field, a.fields, number - __ldg(a.first + field), a.numbers->rows, a.gradient,
                      a.columns, static_cast<int>(blockIdx.y),
                      a.sums + static_cast<size_t>(number) * static_cast<size_t>(a.columns));
}

template <bool kGradient>
__global__ void __launch_bounds__(kThreads) code_loss_kernel(const CodeLossArguments a) {
  const int lane = static_cast<int>(threadIdx.x) % kWarp, pairs = a.rows * a.fields;
  const int outputs = __ldg(a.first + a.fields);
  double loss[1] = {0};
  for (int pair = static_cast<int>(thread_number()) / kWarp; pair < pairs;
       pair += static_cast<int>(gridDim.x) * kWarps) {
    const int row = pair / a.fields, field = pair % a.fields;
    const int first = __ldg(a.first + field), count = __ldg(a.first + field + 1) - first;
    float* logits = a.logits + static_cast<size_t>(row) * static_cast<size_t>(outputs) + first;
    const int code = row < a.numbers->rows ? __ldg(a.codes + pair) : -1;
    float most = -INFINITY;
    for (int c = lane; c < count; c += kWarp) most = fmaxf(most, logits[c]);
    most = greatest_to_all_lanes(most);
    float sum = 0, of_code = 0;
    for (int c = lane; c < count; c += kWarp) {
      sum += expf(logits[c] - most);
      if (c == code) of_code = logits[c];
    }
    sum = sum_to_all_lanes(sum);
    of_code = sum_to_all_lanes(of_code);
    if (lane == 0 && code >= 0) loss[0] += static_cast<double>(logf(sum) - (of_code - most));
    if constexpr (kGradient) {
      const float weight = code >= 0 ? a.numbers->loss_weight : 0.0f;
      for (int c = lane; c < count; c += kWarp)
        logits[c] = weight * (expf(logits[c] - most) / sum - (c == code ? 1.0f : 0.0f));
    }
  }
  add_to_totals(loss, a.loss);
}

}  // namespace

void embed_codes(const EmbedArguments& arguments, cudaStream_t stream) {
  with_floats(arguments.columns, [&](auto policy) {
    using V = decltype(policy);
    CUDA_LAUNCH(embed_kernel<V>, blocks_of(int64_t{arguments.rows} * arguments.columns / V::kValues), dim3(kThreads), 0,
                stream, arguments);
  });
}

void sum_embeddings(const EmbeddingSumArguments& arguments, cudaStream_t stream) {
  with_floats(arguments.columns, [&](auto policy) {
    using V = decltype(policy);
    constexpr int64_t kColumns = kMostLanes * V::kValues;
    const dim3 grid(static_cast<unsigned>(arguments.count),
                    static_cast<unsigned>((arguments.columns + kColumns - 1) / kColumns));
    CUDA_LAUNCH(embedding_sums_kernel<V>, grid, dim3(kThreads), 0, stream, arguments);
  });
}

void find_code_loss(const CodeLossArguments& arguments, bool with_gradient, cudaStream_t stream) {
  const dim3 grid = loss_blocks(int64_t{arguments.rows} * arguments.fields * kWarp);
  if (with_gradient) {
    CUDA_LAUNCH(code_loss_kernel<true>, grid, dim3(kThreads), 0, stream, arguments);
  } else {
    CUDA_LAUNCH(code_loss_kernel<false>, grid, dim3(kThreads), 0, stream, arguments);
  }
}

}  // namespace doppel::cuda
