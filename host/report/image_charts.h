// The charts of a report of images.
#pragma once

#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "engine/evaluation/image_evaluation.h"

namespace doppel {

inline constexpr size_t kMostConfusionClasses = 80;  // of those that are misread most
inline constexpr size_t kMostAccuracyClasses = 40;   // likewise
inline constexpr size_t kMostCodeClasses = 10;       // the first: as many colours are told apart

// As make_charts: "confidence", and of labelled images "confusion-synthetic", "confusion-real" (shares of the images
// asked for) and "classes". Of a generator's codes "codes-real" and, where they are known, "codes-synthetic" and
// "codes-both". Of trainings those of training_charts.
nlohmann::ordered_json make_image_charts(const ImageEvaluation& evaluation);

// What there is to draw of the training of `model`, which is "generator" or "classifier": the charts' names and
// captions.
struct TrainingChart {
  std::string name, caption;
};
std::vector<TrainingChart> training_charts(const std::string& model, const TrainingHistory& history);

}  // namespace doppel
