#include "engine/models/networks/layer_list.h"

#include <algorithm>
#include <cmath>

#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

enum class Channels { kFirst, kLast };

// values [outer, pixels of an image, inner], its channels brought first or last.
std::vector<float> reordered(const std::vector<float>& values, size_t outer, const ImageShape& image, size_t inner,
                             Channels to) {
  const auto pixels = static_cast<size_t>(image.pixels()), channels = static_cast<size_t>(image.channels);
  std::vector<float> out(values.size());
  for (size_t o = 0; o < outer; ++o)
    for (size_t p = 0; p < pixels; ++p)
      for (size_t c = 0; c < channels; ++c) {
        const size_t first = ((o * channels + c) * pixels + p) * inner,
                     last = ((o * pixels + p) * channels + c) * inner;
        const size_t source = to == Channels::kFirst ? last : first, target = to == Channels::kFirst ? first : last;
        std::copy_n(values.begin() + static_cast<int64_t>(source), inner, out.begin() + static_cast<int64_t>(target));
      }
  return out;
}

// The weight of a layer from one order to the other.
std::vector<float> reordered_weight(const NetworkLayer<float>& layer, std::vector<float> weight, Channels to) {
  if (layer.image_in) weight = reordered(weight, static_cast<size_t>(layer.shape[0]), *layer.image_in, 1, to);
  if (layer.image_out) weight = reordered(weight, 1, *layer.image_out, static_cast<size_t>(layer.shape[1]), to);
  return weight;
}
std::vector<float> reordered_bias(const NetworkLayer<float>& layer, std::vector<float> bias, Channels to) {
  return layer.image_out ? reordered(bias, 1, *layer.image_out, 1, to) : bias;
}

Json describe(const char* type, const ConvShape& shape, int64_t inputs, int64_t outputs) {
  return {{"type", type},           {"inputs", inputs},       {"outputs", outputs},
          {"kernel", shape.kernel}, {"stride", shape.stride}, {"padding", shape.padding}};
}

}  // namespace

template <class Real>
NetworkLayer<Real> list_layer(Conv2d<Real>& layer) {
  const ConvShape& s = layer.shape();
  return {describe("conv2d", s, s.inputs, s.outputs),
          &layer.weight,
          &layer.bias,
          {s.outputs, s.inputs, s.kernel, s.kernel}};
}

template <class Real>
NetworkLayer<Real> list_layer(ConvTranspose2d<Real>& layer) {
  const ConvShape& s = layer.shape();
  const auto added = [&s](int64_t size, int64_t reduced) {
    return size - ((reduced - 1) * s.stride + s.kernel - 2 * s.padding);
  };
  Json description = describe("conv_transpose2d", s, s.outputs, s.inputs);
  description["output_padding"] = {added(s.height, s.output_height()), added(s.width, s.output_width())};
  return {std::move(description), &layer.weight, &layer.bias, {s.outputs, s.inputs, s.kernel, s.kernel}};
}

template <class Real>
NetworkLayer<Real> list_layer(Dense<Real>& layer) {
  return {{{"type", "dense"}, {"inputs", layer.inputs()}, {"outputs", layer.outputs()}},
          &layer.weight,
          &layer.bias,
          {layer.outputs(), layer.inputs()}};
}

template <class Real>
std::vector<Parameter<Real>*> parameters_of(const std::vector<NetworkLayer<Real>>& layers) {
  std::vector<Parameter<Real>*> all;
  for (const NetworkLayer<Real>& layer : layers)
    for (Parameter<Real>* parameter : {layer.weight, layer.bias})
      if (parameter) all.push_back(parameter);
  return all;
}

std::vector<float> finite_values(const ModelFile& file, const std::string& name, const std::vector<int64_t>& shape) {
  std::vector<float> values = file.tensor(name, shape).to<float>();
  if (!std::all_of(values.begin(), values.end(), [](float value) { return std::isfinite(value); }))
    throw InputError("model file: a value of '" + name + "' is not finite");
  return values;
}

void save_layers(const std::vector<NetworkLayer<float>>& layers, const std::string& prefix, ModelFile& file) {
  Json& list = file.metadata[prefix] = Json::array();
  for (const NetworkLayer<float>& layer : layers) {
    const std::string name = prefix + "." + std::to_string(list.size());
    list.push_back(layer.description);
    if (layer.weight)
      file.tensors[name + ".weight"] =
          Tensor::from(reordered_weight(layer, layer.weight->value, Channels::kFirst), layer.shape);
    if (layer.bias)
      file.tensors[name + ".bias"] = Tensor::from(reordered_bias(layer, layer.bias->value, Channels::kFirst),
                                                  {static_cast<int64_t>(layer.bias->value.size())});
  }
}

void load_layers(const ModelFile& file, const std::string& prefix, const std::vector<NetworkLayer<float>>& layers) {
  Json expected = Json::array();
  for (const NetworkLayer<float>& layer : layers) expected.push_back(layer.description);
  if (file.metadata.value(prefix, Json()) != expected)
    throw InputError("model file: its list of layers '" + prefix + "' is not " + expected.dump());
  for (size_t i = 0; i < layers.size(); ++i) {
    const NetworkLayer<float>& layer = layers[i];
    const std::string name = prefix + "." + std::to_string(i);
    if (layer.weight)
      layer.weight->value =
          reordered_weight(layer, finite_values(file, name + ".weight", layer.shape), Channels::kLast);
    if (layer.bias)
      layer.bias->value =
          reordered_bias(layer, finite_values(file, name + ".bias", {static_cast<int64_t>(layer.bias->value.size())}),
                         Channels::kLast);
  }
}

template NetworkLayer<float> list_layer(Conv2d<float>&);
template NetworkLayer<double> list_layer(Conv2d<double>&);
template NetworkLayer<float> list_layer(ConvTranspose2d<float>&);
template NetworkLayer<double> list_layer(ConvTranspose2d<double>&);
template NetworkLayer<float> list_layer(Dense<float>&);
template NetworkLayer<double> list_layer(Dense<double>&);
template std::vector<Parameter<float>*> parameters_of(const std::vector<NetworkLayer<float>>&);
template std::vector<Parameter<double>*> parameters_of(const std::vector<NetworkLayer<double>>&);

}  // namespace doppel
