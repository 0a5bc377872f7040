// What model files say of the images that a model is of: metadata "image": {"channels", "height", "width"} and
// "label_names".
#pragma once

#include <cstdint>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "engine/image/images.h"
#include "engine/model_file.h"

namespace doppel {

// Names of the labels, numbers where images have none; empty where images have no labels. Throws InputError where not
// every image has a label or a label has no name.
std::vector<std::string> label_names_of(const Images& images);

// Throws InputError unless images are of this shape, which is that of a model.
void check_image_shape(const Images& images, const ImageShape& shape);

void save_image_metadata(const ImageShape& shape, const std::vector<std::string>& label_names,
                         nlohmann::json& metadata);

// Throw InputError where the file has another kind, version or nonsense.
void check_image_model_file(const ModelFile& file, const std::string& kind, int version);
ImageShape load_image_shape(const ModelFile& file);
std::vector<std::string> load_label_names(const ModelFile& file);
// A whole number of the metadata from 1 to `most`.
int64_t load_extent(const nlohmann::json& json, const char* name, int64_t most);

inline constexpr int64_t kMostLayerWidth = 1 << 16;  // in files

}  // namespace doppel
