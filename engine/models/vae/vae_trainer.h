// Training of the tabular VAE: Adam over shuffled batches, the divergence warming up, the step size falling by a cosine
// to nothing; the parameters kept are those of the least loss on rows held out. Work is counted in operations.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "engine/models/vae/vae_codes.h"
#include "engine/models/vae/vae_network.h"
#include "kernels/backend.h"

namespace doppel {

struct VaeSchedule {
  int64_t epochs = 1;  // at most
  int64_t batch_rows = 256;
  double rate = 2e-3;      // of Adam, the highest
  double divergence = 1;   // its weight in the loss, after the warm-up
  double warm_up = 0.1;    // share of the steps
  double patience = 0.25;  // share of the epochs without a better loss after which training ends
};

// progress(share done, last epoch) may be empty.
std::vector<VaeEpoch> train(VaeNetwork<float>& network, const CodedRows& training, const CodedRows& held_out,
                            const VaeSchedule& schedule, uint64_t seed,
                            const std::function<void(double, const VaeEpoch&)>& progress, const Backend& backend);

// Draws from the encodings of rows, `draws` a row: [draws * rows, latent].
std::vector<float> draw_encodings(VaeNetwork<float>& network, const VaeShape& shape, const CodedRows& rows,
                                  int64_t draws, uint64_t seed);

}  // namespace doppel
