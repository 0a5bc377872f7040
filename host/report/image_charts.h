// The charts of a report of images.
#pragma once

#include <nlohmann/json_fwd.hpp>

#include "engine/evaluation/image_evaluation.h"

namespace doppel {

inline constexpr size_t kMostConfusionClasses = 80;  // of those that are misread most
inline constexpr size_t kMostAccuracyClasses = 40;   // likewise

// As make_charts: "confidence", and of labelled images "confusion-synthetic", "confusion-real" (shares of the images
// asked for) and "classes".
nlohmann::ordered_json make_image_charts(const ImageEvaluation& evaluation);

}  // namespace doppel
