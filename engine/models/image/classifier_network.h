// The network that tells classes of images apart: blocks of a convolution of 3 x 3 pixels, the largest of each window
// of 2 x 2 and a ReLU, until an image is at most 8 pixels high or wide; then two dense layers and a softmax.
//
//   image -> [conv 3x3 -> max pool 2x2 -> ReLU] x blocks -> dense -> ReLU: features -> dense -> softmax
//
// Each block has twice the channels of the one before. While training, part of what goes into the dense layers drops
// out.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/image/images.h"
#include "engine/models/networks/layer_list.h"
#include "engine/nn/convolution.h"
#include "engine/nn/dropout.h"
#include "engine/nn/layers.h"

namespace doppel {

struct ClassifierShape {
  ImageShape image;
  int32_t classes = 0;
  int64_t channels = 32;  // of the first block
  int64_t features = 128;

  std::vector<ConvShape> blocks() const;
  // Values of an image after the blocks: [height, width, channels].
  ImageShape reduced() const;
};

struct TrainableParameters;

template <class Real>
class ClassifierNetwork {
 public:
  ClassifierNetwork(const ClassifierShape& shape, uint64_t seed);
  std::vector<NetworkLayer<Real>> layers();
  const ClassifierShape& shape() const { return shape_; }

  // Images [rows, height, width, channels] of levels in [0, 1]. Probabilities [rows, classes], valid until the next
  // call, as are the features [rows, features] that they are made of.
  const Real* forward(const Real* images, int64_t rows);
  const Real* features() const { return features_.data(); }

  // Sum over the rows of -log probability of their labels, in nats, where a share of values drops out: of blocks as
  // (seed, use) say, of features as (seed, use + 1).
  double forward_training(const Real* images, const int32_t* labels, int64_t rows, uint64_t seed, uint32_t use);
  // Of loss / rows, after forward_training on the same rows: adds to the gradients.
  void backward(const Real* images, const int32_t* labels, int64_t rows);

  // Multiply-adds of a row of one step of training.
  static double operations_per_row(const ClassifierShape& shape);

  static constexpr double kDroppedOfBlocks = 0.25, kDroppedOfFeatures = 0.5;

 private:
  friend class TrainedClassifier;
  friend TrainableParameters trainable(ClassifierNetwork<float>& network);
  friend TrainedNetwork trained_features(const ClassifierNetwork<float>& network);
  void reserve(int64_t rows);
  void forward_blocks(const Real* images, int64_t rows);

  ClassifierShape shape_;
  std::vector<Conv2d<Real>> convolutions_;
  std::vector<MaxPool<Real>> pools_;
  Dense<Real> hidden_, out_;
  Dropout<Real> dropout_of_blocks_, dropout_of_features_;
  SoftmaxGroups<Real> softmax_;
  std::vector<std::vector<Real>> sums_, pooled_, pooled_gradient_;  // of each block; sums become their gradient
  std::vector<Real> features_, features_gradient_, probabilities_;
};

extern template class ClassifierNetwork<float>;
extern template class ClassifierNetwork<double>;

}  // namespace doppel
