#include "engine/models/image/import.h"

#include <algorithm>
#include <set>
#include <utility>
#include <vector>

#include "engine/models/image/image_classifier.h"
#include "engine/models/image/image_classifier_model.h"
#include "engine/models/image/image_metadata.h"
#include "engine/models/image/image_vae.h"
#include "engine/models/image/image_vae_model.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr const char* kClassifier = "classifier";
constexpr const char* kDecoder = "decoder";
constexpr const char* kLabelWeight = "label.weight";

// The layers of a type, in their order.
std::vector<Json> layers_of(const Json& description, const char* type) {
  std::vector<Json> found;
  for (const Json& layer : description["layers"])
    if (layer.is_object() && layer.value("type", Json()) == type) found.push_back(layer);
  return found;
}

int64_t extent(const Json& layer, const char* name) {
  return load_extent(layer, name, kMostLayerWidth);
}

// What a model file of the kind says of its network beside the layers: sizes that follow from them.
void add_classifier(const Json& description, ModelFile& file) {
  const std::vector<Json> convolutions = layers_of(description, "conv2d"), dense = layers_of(description, "dense");
  if (dense.size() != 2) throw InputError("'layers' of a classifier end with two dense ones");
  file.metadata["kind"] = kClassifierKind;
  file.metadata["channels"] = convolutions.empty() ? 1 : extent(convolutions.front(), "outputs");
  file.metadata["features"] = extent(dense.front(), "outputs");
  file.metadata["layers"] = description["layers"];
}

void add_decoder(const Json& description, ModelFile& file) {
  const std::vector<Json> convolutions = layers_of(description, "conv_transpose2d"),
                          dense = layers_of(description, "dense");
  if (dense.size() != 3) throw InputError("'layers' of a decoder begin with three dense ones");
  file.metadata["kind"] = kImageVaeKind;
  file.metadata["network"] = {{"convolutional", !convolutions.empty()},
                              {"latent", extent(dense.front(), "inputs")},
                              {"hidden", extent(dense.front(), "outputs")},
                              {"channels", convolutions.empty() ? 1 : extent(convolutions.back(), "inputs")},
                              {"likelihood", description.value("likelihood", Json("bernoulli"))}};
  file.metadata["prior"] = "normal";
  const auto labels = static_cast<double>(std::max<size_t>(description["label_names"].size(), 1));
  file.metadata["label_shares"] = std::vector<double>(description["label_names"].size(), 1 / labels);
  file.metadata["decoder"] = description["layers"];
}

// Weights under the names that model files have. All must be taken.
void add_weights(const Json& description, const std::map<std::string, Tensor>& weights, const std::string& prefix,
                 ModelFile& file) {
  std::set<std::string> known;
  for (size_t i = 0; i < description["layers"].size(); ++i)
    for (const char* part : {".weight", ".bias"}) known.insert(std::to_string(i) + part);
  for (const auto& [name, tensor] : weights) {
    if (prefix == kDecoder && name == kLabelWeight)
      file.tensors["decoder.label"] = tensor;
    else if (known.contains(name))
      file.tensors[prefix + "." + name] = tensor;
    else
      throw InputError("no layer takes the tensor '" + name + "': those of layer I are I.weight and I.bias");
  }
}

}  // namespace

std::unique_ptr<Model> import_network(const Json& description, const std::map<std::string, Tensor>& weights) {
  if (!description.is_object()) throw InputError("the description is not a JSON object");
  for (const auto& [field, value] : description.items())
    if (field != "kind" && field != "image" && field != "label_names" && field != "layers" && field != "likelihood")
      throw InputError("the description has the field '" + field + "', which is not known");
  const Json kind = description.value("kind", Json());
  if (kind != kClassifier && kind != kDecoder) throw InputError("'kind' is neither 'classifier' nor 'decoder'");
  for (const char* field : {"label_names", "layers"})
    if (!description.value(field, Json()).is_array()) throw InputError("'" + std::string(field) + "' is not a list");
  ModelFile file;
  file.metadata = {{"version", 1},
                   {"image", description.value("image", Json())},
                   {"label_names", description["label_names"]},
                   {"provenance", {{"imported", true}, {"doppel", DOPPEL_VERSION}}}};
  if (kind == kClassifier) {
    add_classifier(description, file);
    add_weights(description, weights, "layers", file);
    return load_image_classifier(file);
  }
  add_decoder(description, file);
  add_weights(description, weights, kDecoder, file);
  return load_image_vae(file);
}

}  // namespace doppel
