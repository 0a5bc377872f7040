// Rows that are images, as every model of images makes them.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/batch.h"

namespace doppel {

// An image a row and, where there are label names, the column "label": a category of these levels, which formats with
// types write as the numbers that all names are, if they are.
OutputSchema make_image_schema(const ImageShape& shape, const std::vector<std::string>& label_names);

// {"channels", "height", "width"}, in a model file's metadata. Throws InputError where a side is not within 1 and 2^15
// or there are other channels than 1 or 3.
nlohmann::json to_json(const ImageShape& shape);
ImageShape image_shape_from_json(const nlohmann::json& json);

}  // namespace doppel
