// The model file that doppel fit writes.
#pragma once

#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>

#include "engine/model.h"
#include "host/progress.h"

namespace doppel {

// Before long work: throws Error or UsageError where a file cannot be written at the path.
void check_model_output(const std::string& path);

struct WrittenModel {
  int64_t bytes = 0;
  std::string checksum;
};
WrittenModel write_model(const Model& model, const std::string& path);

// Adds "seconds", and "stage_seconds" by the stages' names.
void add_seconds(const StageProgress& progress, nlohmann::ordered_json& json);

}  // namespace doppel
