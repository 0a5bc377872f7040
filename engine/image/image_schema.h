// Rows that are images, as every model of images makes them.
#pragma once

#include <string>
#include <vector>

#include "engine/batch.h"

namespace doppel {

// An image a row and, where there are label names, the column "label": a category of these levels, which formats with
// types write as the numbers that all names are, if they are.
OutputSchema make_image_schema(const ImageShape& shape, const std::vector<std::string>& label_names);

}  // namespace doppel
