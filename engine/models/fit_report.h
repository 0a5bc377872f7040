// What every model of a table keeps about its fit, as metadata of its file.
#pragma once

#include <nlohmann/json.hpp>

#include "engine/model.h"
#include "engine/table/profile.h"

namespace doppel {

// "rows", "duplicate_rows", "target", "cleaning" and "provenance" (seed and versions) of Model::describe.
nlohmann::json describe_fit(const TableProfile& profile, const FitOptions& options);

// The metadata of a model file but for what the recipe and the kind of model write themselves. Throws InputError where
// the version is another than `version`.
nlohmann::json about_of(const ModelFile& file, int version);

}  // namespace doppel
