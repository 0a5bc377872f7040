// A trained network as it is used: forward only. Weights are brought once into the layouts that oneDNN's kernels want,
// sums go through their ReLU where they are made, and rows go through all layers in blocks whose values stay in a
// core's cache. bfloat16 is two to four times as fast where the processor has AMX.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/nn/convolution.h"
#include "engine/nn/layers.h"
#include "kernels/precision.h"

namespace doppel {

// Whether this processor has instructions for products of numbers in bfloat16.
bool has_fast_bfloat16();

struct InferenceLayer;
struct InferenceSteps;

// For one thread at a time. Layers are added in order, before the first run; their weights are copied.
class InferenceNetwork {
 public:
  explicit InferenceNetwork(Precision precision);  // throws UsageError for kBfloat16 where it is not fast
  void add(const Dense<float>& layer, Rectified rectified);
  void add(const Conv2d<float>& layer, Rectified rectified);
  void add(const ConvTranspose2d<float>& layer, Rectified rectified);
  void add(const MaxPool<float>& layer);

  // x [rows, inputs of the first layer] to y [rows, outputs of the last].
  void run(const float* x, int64_t rows, float* y);

 private:
  int64_t block_rows() const;
  void run_block(const float* x, int64_t rows, float* y);

  Precision precision_;
  std::vector<std::shared_ptr<const InferenceLayer>> layers_;
  StepsByRows<InferenceSteps> steps_;
};

}  // namespace doppel
