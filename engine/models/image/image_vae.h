// The image VAE: a network that explains images by a few latents (image_vae_network.h), and, a class at a time, a
// mixture of Gaussians fitted to the encodings of the images, as these are not distributed like the prior that training
// pulls them to. Images are made from the mixture, or from that prior, N(0, I): what is asked for, or else what
// describes encodings held out better.
//
// Image i is a pure function of (model, seed, i) on one backend: kernels/image_sampler.h.
//
// The file: metadata "kind": "image-vae", "version", "image", "label_names" (image_metadata.h), "label_shares" of the
// images learned from, "network": {"convolutional", "latent", "hidden", "channels", "likelihood"}, "prior": "normal" or
// "mixture", "encoder" and "decoder" (layer_list.h; of an imported decoder there is no "encoder"), "history" and
// "provenance"; tensors encoder.I.weight and so on,
// encoder.label and decoder.label [classes, hidden], which are added to the first dense layer's outputs, and of a
// mixture
//   prior.class [members], prior.weight [members] that sum to 1 a class, prior.mean [members, latent], prior.factor
//   [members, latent, latent] of covariances
// and of a texture those of image_texture.h.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/image/images.h"
#include "engine/model_file.h"
#include "engine/models/image/image_texture.h"
#include "engine/models/image/image_vae_network.h"
#include "engine/models/image/image_vae_trainer.h"
#include "engine/models/networks/trained_networks.h"
#include "kernels/backend.h"

namespace doppel {

inline constexpr const char* kImageVaeKind = "image-vae";
inline constexpr int64_t kImageBlockRows = 128;  // that are encoded and decoded at a time

enum class LatentPrior : uint8_t { kAuto, kNormal, kMixture };

struct ImageVaeOptions {
  bool is_convolutional = true;
  PixelLikelihood likelihood = PixelLikelihood::kBernoulli;
  int64_t latent = 24, hidden = 512, channels = 32;
  ImageVaeSchedule schedule;
  double held_out = 0.05;  // share of the images
  LatentPrior prior = LatentPrior::kAuto;
  int64_t texture = kAutoTexture;  // directions; 0: none
  uint64_t seed = 0;
  std::function<void(const std::string& stage, double fraction)> progress;  // may be empty
  TrainingKeeper keeper;
};

// For one thread at a time: a network keeps what it works with. Samplers are apart.
class ImageVae {
 public:
  // Throws InputError where there are no images or label_names_of does.
  static ImageVae fit(const Images& images, const ImageVaeOptions& options, const Backend& backend);
  // Throws InputError for a file that is no image VAE, of another version, or that contradicts itself.
  static ImageVae load(const ModelFile& file);
  ModelFile save() const;
  nlohmann::json describe() const;  // the images, the fit, the network and the prior, as in the file's metadata

  const ImageVaeShape& shape() const { return network_.shape(); }
  ImageVaeNetwork<float> network() const { return network_; }  // one of the caller's own
  // The network as the backend runs it, so many rows at a time.
  TrainedVae trained(int64_t block_rows, const Backend& backend) const { return {network_, block_rows, backend}; }
  // About what a network holds to encode and decode blocks of kImageBlockRows.
  int64_t working_bytes() const;
  const std::vector<std::string>& label_names() const { return label_names_; }
  const std::vector<double>& label_shares() const { return label_shares_; }
  bool has_mixture() const { return has_mixture_; }
  const ImageTexture* texture() const { return texture_.get(); }   // null: none
  const std::vector<VaeEpoch>& epochs() const { return epochs_; }  // of the fit; none of a file

  void require_encoder() const;  // throws UsageError where there is none, as the next two do
  // Mean loss of images: its total is minus the evidence lower bound under N(0, I), by a draw of latents an image.
  VaeLoss loss(const Images& images, uint64_t seed);
  // Means of latents [count, latent], on the CPU.
  std::vector<float> encode(const Images& images);
  // Mean levels of the pixels given latents [rows, latent] and labels [rows], which are empty where images have none.
  Images decode(const std::vector<float>& latents, const std::vector<int32_t>& labels);

  // What makes images, for Backend::prepare_image_sampler. label_weights [label_names()] are what labels are drawn by;
  // of images without labels they are not looked at. Deviations of latents from their member's mean, and
  // the texture, are multiplied by `temperature`. Throws UsageError where a label of some weight is of no image that
  // was learned from.
  ImageSampler image_sampler(const std::vector<double>& label_weights, double temperature,
                             Precision precision = Precision::kSingle) const;

 private:
  ImageVae(const ImageVaeShape& shape, std::vector<std::string> label_names, uint64_t seed)
      : network_(shape, seed), label_names_(std::move(label_names)) {}

  mutable ImageVaeNetwork<float> network_;  // lists its layers by pointers, for files, too
  std::vector<std::string> label_names_;
  std::vector<double> label_shares_;
  bool has_mixture_ = false, has_encoder_ = true;
  LatentMembers members_;  // of the normal prior one a class
  std::shared_ptr<const ImageTexture> texture_;
  std::vector<VaeEpoch> epochs_;
  nlohmann::json about_;
};

}  // namespace doppel
