// Networks of images that were trained elsewhere, in PyTorch say, as models. They have the layers of our own networks,
// of any size: those of `cnn` (classifier_network.h) or those of the decoder of `vae` or `vae-dense`
// (image_vae_network.h).
//
// A description is a JSON object:
//   "kind"         "classifier" or "decoder"
//   "image"        {"channels": 1 or 3, "height", "width"}
//   "label_names"  a text for each class; of a decoder that is told no label []
//   "layers"       as model files list them (layer_list.h)
//   "likelihood"   of a decoder: "bernoulli" (the default) or "logistic" (nn/likelihoods.h)
// The weights are tensors I.weight and I.bias of layer I as PyTorch has them, in single precision; of a decoder that is
// told labels there is label.weight [classes, outputs of the first layer], too, which is added to what the first layer
// gives. A classifier takes levels / 255 and gives logits; a decoder takes latents of N(0, 1) and gives what the
// likelihood takes.
#pragma once

#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/model.h"

namespace doppel {

// Throws InputError for a description or weights that are no such network, naming the field or tensor.
std::unique_ptr<Model> import_network(const nlohmann::json& description, const std::map<std::string, Tensor>& weights);

}  // namespace doppel
