// A network as a list of layers: what an optimiser moves, and what a model file holds.
//
// A file has the list as an array of objects in its metadata, and of layer I the tensors PREFIX.I.weight and
// PREFIX.I.bias as PyTorch has them, so that a torch.nn.Sequential of the same layers has them under the same names:
//   {"type": "conv2d", "inputs", "outputs", "kernel", "stride", "padding"}   weight [outputs, inputs, kernel, kernel]
//   {"type": "conv_transpose2d", the same, "output_padding": [below, right]} weight [inputs, outputs, kernel, kernel]
//   {"type": "dense", "inputs", "outputs"}                                   weight [outputs, inputs]
//   {"type": "max_pool2d", "size"}, {"type": "relu"}, {"type": "flatten"}, {"type": "unflatten", "channels", "height",
//   "width"}
// Flat images are channels first in files, channels last in memory.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <vector>

#include "engine/image/images.h"
#include "engine/model_file.h"
#include "engine/nn/convolution.h"
#include "engine/nn/layers.h"

namespace doppel {

template <class Real>
struct NetworkLayer {
  nlohmann::json description;
  Parameter<Real>* weight = nullptr;  // of layers that have one, as a bias
  Parameter<Real>* bias = nullptr;
  std::vector<int64_t> shape = {};  // of the weight
  // Of a dense layer whose inputs, or whose outputs, are a flat image.
  std::optional<ImageShape> image_in = {}, image_out = {};
};

template <class Real>
NetworkLayer<Real> list_layer(Conv2d<Real>& layer);
template <class Real>
NetworkLayer<Real> list_layer(ConvTranspose2d<Real>& layer);
template <class Real>
NetworkLayer<Real> list_layer(Dense<Real>& layer);

template <class Real>
std::vector<Parameter<Real>*> parameters_of(const std::vector<NetworkLayer<Real>>& layers);

// Throws InputError where the tensor is missing, of another shape or not finite.
std::vector<float> finite_values(const ModelFile& file, const std::string& name, const std::vector<int64_t>& shape);

void save_layers(const std::vector<NetworkLayer<float>>& layers, const std::string& prefix, ModelFile& file);
// Throws InputError where the file's list is another, and what finite_values does.
void load_layers(const ModelFile& file, const std::string& prefix, const std::vector<NetworkLayer<float>>& layers);

}  // namespace doppel
