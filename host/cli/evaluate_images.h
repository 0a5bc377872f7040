// doppel evaluate of images.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "host/cli/commands.h"

namespace doppel {

struct EvaluateImages {
  std::string real, synthetic, holdout, model, generator, report;  // holdout, generator, report: "" for none
  uint64_t seed = 0;
  bool train_on_synthetic = true;
  std::optional<double> minimum_accuracy, maximum_nearer_share;
};

// Reads the images and the classifier, evaluates, prints and writes what is asked for; `status` is set where a gate is
// not met. Throws UsageError for a model that is no classifier, for a generator that has no codes of these
// images, and what read_images and evaluate_images throw.
void evaluate_images(const EvaluateImages& command, const CommonOptions& common, int& status);

}  // namespace doppel
