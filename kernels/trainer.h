// Training of networks: a chain of layers, a loss of what the last one gives, and Adam (Kingma and Ba, 2015). Weights,
// gradients and moments stay with the backend from step to step; batches go there, sums of losses come back when they
// are asked for.
//
// A VAE is a chain, too: the layer whose outputs are means and log variances of latents hands on a draw of them, and the
// loss is of the chain's inputs, plus the divergence of those Gaussians from the standard normal.
//
// Rows are values, or codes: one of each of some fields, as of a table (TrainableNetwork::codes).
//
// What is drawn is the same on every backend (random.h, Stream::kFit). Products of a CUDA device are those of TF32, as
// in network.h, but for networks of codes; all else is single precision, sums of losses double.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/network.h"

namespace doppel {

inline constexpr uint32_t kDropoutShares = 256;  // a byte of random bits a value

struct TrainableLayer {
  TrainedLayer layer;  // with what training starts from; here a pool may be rectified
  // Outputs [rows, 2 latent] are means, then log variances; the next layer takes means + exp(log variances / 2) normals.
  bool is_gaussian = false;
  // Of kDropoutShares, the share of outputs of a rectified layer that become 0 in a step; the others are divided by the
  // share kept.
  uint32_t dropped = 0;
  uint32_t use = 0;  // of what the layer draws: added to TrainingDraws'
};

// In nats, of rows [rows, outputs]. Targets of pixels are the chain's inputs, levels / 255; of classes, the labels; of
// codes, the codes.
enum class TrainingLoss : uint8_t {
  kBernoulli,  // cross-entropies of pixels, outputs their logits
  kLogistic,   // discretised logistic, outputs [pixels, 2]: mean and log of the scale (engine/nn/likelihoods.h)
  kSoftmax,    // cross-entropy of a class, outputs its logits
  kCodes,      // sum of the cross-entropies of the fields' codes, outputs their logits, field by field
};

struct TrainableNetwork {
  std::vector<TrainableLayer> layers;
  TrainingLoss loss = TrainingLoss::kSoftmax;
  // Of a network of codes, how many each field has. The first layer is dense then and takes indicators of the codes, field
  // by field: its outputs are sums of rows of its weight, which is [inputs, outputs], an embedding of each code.
  std::vector<int32_t> codes{};
  int64_t inputs() const { return layers.front().layer.inputs; }
  int64_t outputs() const { return layers.back().layer.outputs; }
};

// Throws Error where a layer contradicts itself or the one before, or the loss the chain.
void check_trainable_network(const TrainableNetwork& network);

inline constexpr double kAdamFirstDecay = 0.9, kAdamSecondDecay = 0.999, kAdamEpsilon = 1e-8;

// m / (1 - b1^t) / (sqrt(v / (1 - b2^t)) + epsilon) with the corrections taken out of the loop over parameters:
// rate * that is scale * m / (sqrt(v) + epsilon).
struct AdamScales {
  double scale, epsilon;
};
inline AdamScales adam_scales(double rate, int64_t step) {
  const auto t = static_cast<double>(step);
  const double root = std::sqrt(1 - std::pow(kAdamSecondDecay, t));
  return {rate * root / (1 - std::pow(kAdamFirstDecay, t)), kAdamEpsilon * root};
}

// Normal i of a layer's latents, value i of what drops out, [rows, width]: a function of these and i.
struct TrainingDraws {
  uint64_t seed = 0;
  uint32_t use = 0;
};

struct TrainingStep {
  TrainingDraws draws;
  double divergence_weight = 1;  // in the loss; the loss is a mean of rows
  double rate = 0;               // Adam's step size
  int64_t number = 1;            // of steps of Adam so far, with this one
  double mean_share = 0;         // means of parameters += mean_share * (parameters - means)
};

// Sums over rows.
struct TrainingLosses {
  double loss = 0;        // the reconstruction's, or the classes' cross-entropy
  double divergence = 0;  // of the Gaussians
  double right = 0;       // rows whose first most probable class is their label
};

// A parameter and what training keeps of it, in the caller's memory; empty where it is not asked for.
struct ParameterState {
  std::span<float> value, first_moment, second_moment, mean;
};

// For one thread at a time; different ones are independent.
class PreparedTrainer {
 public:
  virtual ~PreparedTrainer() = default;

  // Host memory for the next batch: x [batch_rows, inputs], labels [batch_rows] that are looked at where the network
  // has labels or the loss is of classes, and then within them. Taken by the next step or measure. Of a network of codes
  // in place of x codes [batch_rows, fields], within their field; a negative one is unknown: it adds nothing to the sums,
  // and the loss has no part of it.
  struct Batch {
    float* x;
    int32_t* labels;
    int32_t* codes = nullptr;
  };
  virtual Batch batch() = 0;

  // Learns from the batch's first rows. May return before it is done.
  virtual void step(int64_t rows, const TrainingStep& step) = 0;
  // Adds the losses of the batch's first rows, learns nothing; nothing drops out. By the parameters or by their means.
  virtual void measure(int64_t rows, const TrainingDraws& draws, bool by_means) = 0;

  // Sums of the steps and measures since the start or set_losses, all of which are done then.
  virtual TrainingLosses losses() = 0;
  virtual void set_losses(const TrainingLosses& losses) = 0;

  // Layer by layer: weight, bias, label weight, those that it has, each as TrainedLayer has it. Moments start at 0, means
  // are kept from where they are first written.
  virtual void read(std::span<const ParameterState> parameters) = 0;
  virtual void write(std::span<const ParameterState> parameters) = 0;
};

}  // namespace doppel
