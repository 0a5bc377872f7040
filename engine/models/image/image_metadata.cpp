#include "engine/models/image/image_metadata.h"

#include <algorithm>

#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr int64_t kMostSide = 4096, kMostChannels = 4;

std::string text_of(const ImageShape& shape) {
  return std::to_string(shape.width) + " x " + std::to_string(shape.height) + " pixels of " +
         std::to_string(shape.channels) + (shape.channels == 1 ? " channel" : " channels");
}

}  // namespace

std::vector<std::string> label_names_of(const Images& images) {
  if (images.labels.empty()) return {};
  if (static_cast<int64_t>(images.labels.size()) != images.count())
    throw InputError("images: " + std::to_string(images.labels.size()) + " labels of " +
                     std::to_string(images.count()) + " images");
  std::vector<std::string> names = images.label_names;
  const auto [least, most] = std::minmax_element(images.labels.begin(), images.labels.end());
  if (names.empty())
    for (int32_t label = 0; label <= *most; ++label) names.push_back(std::to_string(label));
  if (*least < 0 || *most >= static_cast<int32_t>(names.size()))
    throw InputError("images: label " + std::to_string(*least < 0 ? *least : *most) + " has no name");
  return names;
}

void check_image_shape(const Images& images, const ImageShape& shape) {
  if (!(images.shape == shape))
    throw InputError("images of " + text_of(images.shape) + " do not go with a model of " + text_of(shape));
}

void save_image_metadata(const ImageShape& shape, const std::vector<std::string>& label_names, Json& metadata) {
  metadata["image"] = {{"channels", shape.channels}, {"height", shape.height}, {"width", shape.width}};
  metadata["label_names"] = label_names;
}

void check_image_model_file(const ModelFile& file, const std::string& kind, int version) {
  if (!file.metadata.is_object() || file.metadata.value("kind", Json()) != kind)
    throw InputError("model file: it holds no model of kind '" + kind + "'");
  if (file.metadata.value("version", Json()) != version)
    throw InputError("model file: this program reads version " + std::to_string(version) + " of models of kind '" +
                     kind + "'");
}

ImageShape load_image_shape(const ModelFile& file) {
  const Json image = file.metadata.value("image", Json());
  return {static_cast<int32_t>(load_extent(image, "channels", kMostChannels)),
          static_cast<int32_t>(load_extent(image, "height", kMostSide)),
          static_cast<int32_t>(load_extent(image, "width", kMostSide))};
}

std::vector<std::string> load_label_names(const ModelFile& file) {
  const Json names = file.metadata.value("label_names", Json());
  if (!names.is_array() || names.size() > static_cast<size_t>(kMostLayerWidth) ||
      !std::all_of(names.begin(), names.end(), [](const Json& name) { return name.is_string(); }))
    throw InputError("model file: 'label_names' is not a list of texts");
  return names.get<std::vector<std::string>>();
}

int64_t load_extent(const Json& json, const char* name, int64_t most) {
  const Json value = json.is_object() ? json.value(name, Json()) : Json();
  if (!value.is_number_integer() || value.get<int64_t>() < 1 || value.get<int64_t>() > most)
    throw InputError("model file: '" + std::string(name) + "' is not a whole number of 1 to " + std::to_string(most));
  return value.get<int64_t>();
}

}  // namespace doppel
