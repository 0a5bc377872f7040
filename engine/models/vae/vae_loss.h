// What a VAE's training minimises, in parts.
#pragma once

#include <algorithm>
#include <cstdint>

namespace doppel {

// Sums or means over rows, in nats. Their total is minus the evidence lower bound.
struct VaeLoss {
  double reconstruction = 0, divergence = 0;
  double total() const { return reconstruction + divergence; }
};

inline void add(const VaeLoss& loss, VaeLoss& sum) {
  sum.reconstruction += loss.reconstruction;
  sum.divergence += loss.divergence;
}

inline VaeLoss mean_loss(const VaeLoss& sum, int64_t rows) {
  const auto n = static_cast<double>(std::max<int64_t>(rows, 1));
  return {sum.reconstruction / n, sum.divergence / n};
}

// Of an epoch: means of rows; held_out is that of training where no row is held out.
struct VaeEpoch {
  VaeLoss training, held_out;
};

}  // namespace doppel
