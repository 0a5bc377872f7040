// Training of the image VAE: Adam over shuffled batches, the divergence warming up, the step size falling by a cosine
// to nothing; the parameters kept are those of the least loss on images held out. Work is counted in operations, and
// the result is a function of the seed, the backend and, on the CPU, the number of threads.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "engine/image/images.h"
#include "engine/models/image/image_vae_network.h"
#include "engine/models/networks/trained_networks.h"
#include "engine/models/vae/vae_loss.h"
#include "engine/training_state.h"
#include "kernels/backend.h"

namespace doppel {

struct ImageVaeSchedule {
  int64_t epochs = 30;  // at most
  int64_t batch_rows = 128;
  double rate = 1e-3;      // of Adam, the highest
  double warm_up = 0.1;    // share of the steps in which the divergence comes to its weight of 1
  double patience = 0.25;  // share of the epochs without a better loss after which training ends
};

// Which images are learned from, and which are only looked at.
struct ImageSplit {
  std::vector<int64_t> training, held_out;
};
ImageSplit split_images(int64_t count, double held_out_share, uint64_t seed);

// progress(share done, last epoch) may be empty. Throws InputError where the keeper's state is of another training.
std::vector<VaeEpoch> train(ImageVaeNetwork<float>& network, const Images& images, const ImageSplit& split,
                            const ImageVaeSchedule& schedule, uint64_t seed, const TrainingKeeper& keeper,
                            const std::function<void(double, const VaeEpoch&)>& progress, const Backend& backend);

// Mean loss of images, a draw of latents each as the seed says.
VaeLoss measure_loss(ImageVaeNetwork<float>& network, const Images& images, const std::vector<int64_t>& which,
                     uint64_t seed);

// The encoder's means and log variances [images, 2 latent].
std::vector<float> encode_images(TrainedVae& network, const Images& images, const std::vector<int64_t>& which);
inline constexpr int64_t kEncodedRows = 256;  // at a time

// Draws from encodings, `draws` a row: [draws * rows, latent].
std::vector<float> draw_latents(const std::vector<float>& encodings, int64_t latent, int64_t draws, uint64_t seed);

}  // namespace doppel
