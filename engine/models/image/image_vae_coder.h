// The image VAE as a code: the mean of an image's latents, and the mean levels of the pixels given latents.
//
// An image's nats are minus the evidence lower bound under N(0, I), which training maximises: the reconstruction's
// nats, a mean over kScoreDraws draws of latents that are a function of the image's number, and the divergence in
// closed form. They are no less than -log p(image | label), in probabilities of levels where the likelihood is
// logistic; of Bernoulli pixels they are a cross-entropy unless all levels are 0 or 255.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/coder.h"
#include "engine/models/image/image_vae.h"

namespace doppel {

inline constexpr int64_t kScoreDraws = 4;

// The backend outlives it.
std::shared_ptr<const Coder> make_image_vae_coder(std::shared_ptr<const ImageVae> vae, const Backend& backend);

}  // namespace doppel
