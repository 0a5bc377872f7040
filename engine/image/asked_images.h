// What `generate` may ask of a model of images. Each field is one that the bytes of the output depend on: host/manifest
// keeps them all.
#pragma once

#include <string>

#include "engine/image/label_choice.h"
#include "kernels/precision.h"

namespace doppel {

struct AskedImages {
  std::string labels = kLabelsAsData;  // label_choice.h says the language
  double temperature = 1;  // a VAE's latents' and levels' deviations from means are multiplied by it, in (0, 2]
  Precision precision = Precision::kSingle;  // of a VAE's decoder

  bool operator==(const AskedImages&) const = default;
};

}  // namespace doppel
