// Training on CUDA from inside: what its kernels get. Backends use prepare_cuda_trainer.
//
// Products are cuBLAS's, on tensor cores unless rows are codes: y = x W' forward, W's gradient = g' x and x's = g W
// backward, where x are values, or patches of images (network.cu). What they lack is trainer.cu, and of codes
// code_trainer.cu. Sums over rows and blocks are made in one order, without atomics on numbers: a training is
// repeatable to the bit.
//
// A step of a small network is some dozens of launches that each take less time than the host needs to ask for them. So
// a pass over a batch is recorded as a CUDA graph and launched as a whole: its kernels' arguments stay as they are, and
// what changes from step to step comes with the batch, as StepNumbers.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <memory>

#include "kernels/cuda/network.h"
#include "kernels/trainer.h"

namespace doppel::cuda {

// Rows of arrays are a multiple of kNetworkRows, so that all are whole vectors of 16 bytes. Those past the batch's end
// are computed, too; their gradients are 0.

inline constexpr int kLossBlocks = 256;  // that a loss is summed by, at most

// What changes from step to step.
struct StepNumbers {
  uint64_t seed;  // of TrainingDraws, as `use`
  uint32_t use;
  int32_t rows;                          // of the batch, that count
  float loss_weight, divergence_weight;  // of their gradients
  float scale, epsilon, mean_share;      // of Adam
};

// Where blocks leave their sums, for the last of them to add all up to what is there.
struct Totals {
  double* partial;     // [kLossBlocks, 2]
  uint32_t* finished;  // blocks; 0 before and after
  double* totals;      // of as many sums as the kernel makes
};

struct DropArguments {
  // [vectors of 16] in place: 0, or times `scale` where the byte of its random bits is at least `dropped`
  float* values;
  int64_t count;
  const StepNumbers* numbers;
  uint32_t use, dropped;  // use: the layer's
  float scale;
};
struct GaussianArguments {
  const float* heads;  // [rows, 2 latent] means, log variances
  float* noise;        // [rows, latent] standard normals
  float* latents;      // [rows, latent]
  int32_t rows, latent;
  const StepNumbers* numbers;
  uint32_t use;       // the layer's
  Totals divergence;  // one sum
};
struct GaussianGradientArguments {
  const float *heads, *noise, *latents_gradient;
  float* gradient;  // [rows, 2 latent] of the heads
  int32_t rows, latent;
  const StepNumbers* numbers;
};
struct PixelLossArguments {
  float* outputs;         // [count] logits or [count, 2]; become the gradient where it is wanted
  const float* targets;   // [count]
  int64_t count, pixels;  // of a row
  const StepNumbers* numbers;
  Totals loss;  // one sum
};
struct ClassLossArguments {
  float* logits;  // [rows, classes]; become the gradient where it is wanted
  const int32_t* labels;
  int32_t rows, classes;
  const StepNumbers* numbers;
  Totals loss;  // two sums: of the loss, of rows told right
};
// Of rows of codes: `first` [fields + 1] says where each field's codes begin among those of all.
struct EmbedArguments {  // y = bias + the embeddings of a row's codes [, at least 0]
  const int32_t *codes, *first;
  const float *weight, *bias;  // [codes of all fields, columns], [columns]
  float* y;                    // [rows, columns]
  int32_t rows, fields, columns;
  bool rectify;
};
struct EmbeddingSumArguments {
  const float* gradient;                 // [rows, columns]
  const int32_t *codes, *first, *field;  // field [codes of all fields]: of each
  float* sums;                           // [codes of all fields, columns]
  const StepNumbers* numbers;
  int32_t fields, columns, count;  // count: codes of all fields
};
struct CodeLossArguments {
  float* logits;  // [rows, codes of all fields]; become the gradient where it is wanted
  const int32_t *codes, *first;
  int32_t rows, fields;
  const StepNumbers* numbers;
  Totals loss;  // one sum
};
struct ColumnSumArguments {
  float* gradient;  // [rows, columns] in place: of what was rectified, and dropped, 0 where it is 0, else times scale
  const float* y;   // [rows, columns]; null: nothing was
  float scale;      // 1 where nothing drops out
  float* partial;   // [chunks, columns]
  uint32_t* finished;  // [tiles of columns] 0 before and after
  float* sums;         // [columns]
  int32_t rows, columns;
};
struct LabelSumArguments {
  const float* gradient;  // [rows, columns]
  const int32_t* labels;  // [rows]
  float* sums;            // [label_count, columns]
  const StepNumbers* numbers;
  int32_t columns, label_count;
};
struct SpreadArguments {
  const float *gradient, *y;  // [rows, output_height, output_width, inputs]
  const uint8_t* largest;
  float* spread;  // [rows, height, width, inputs]: to the largest of each window, 0 elsewhere
  ImageMap map;
  int32_t rows;
  bool rectified;  // and 0 where y is
  float scale;
};
struct AdamArguments {
  float *value, *first, *second, *mean;  // mean: null or as the others
  const float* gradient;
  int64_t count;  // a multiple of 4
  const StepNumbers* numbers;
};

// How columns are summed: blocks of `lanes` vectors of columns and `chunks` of rows.
struct ColumnSumPlan {
  int32_t values, lanes, tiles, chunks;
};
ColumnSumPlan plan_column_sums(int64_t rows, int64_t columns);

// trainer.cu. Asynchronous.
void drop_values(const DropArguments& arguments, cudaStream_t stream);
void draw_latents(const GaussianArguments& arguments, cudaStream_t stream);
void find_gaussian_gradient(const GaussianGradientArguments& arguments, cudaStream_t stream);
void find_pixel_loss(const PixelLossArguments& arguments, TrainingLoss loss, bool with_gradient, cudaStream_t stream);
void find_class_loss(const ClassLossArguments& arguments, bool with_gradient, cudaStream_t stream);
void mask_and_sum_columns(const ColumnSumArguments& arguments, cudaStream_t stream);
void sum_labels(const LabelSumArguments& arguments, cudaStream_t stream);
void spread_to_largest(const SpreadArguments& arguments, cudaStream_t stream);
void move_parameters(const AdamArguments& arguments, cudaStream_t stream);

// code_trainer.cu. Asynchronous.
void embed_codes(const EmbedArguments& arguments, cudaStream_t stream);
void sum_embeddings(const EmbeddingSumArguments& arguments, cudaStream_t stream);
void find_code_loss(const CodeLossArguments& arguments, bool with_gradient, cudaStream_t stream);

// patch_bytes: of images' patches at a time, at most (convolutions.h).
std::unique_ptr<PreparedTrainer> prepare_cuda_trainer(const TrainableNetwork& network, int64_t batch_rows, int device,
                                                      int64_t patch_bytes = kPatchBytes);

}  // namespace doppel::cuda
