#include "engine/models/fit_report.h"

#include "kernels/common/error.h"

namespace doppel {

using Json = nlohmann::json;

Json describe_fit(const TableProfile& profile, const FitOptions& options) {
  Json json;
  json["rows"] = profile.rows;
  json["duplicate_rows"] = profile.duplicate_rows;
  json["target"] =
      options.target.empty() ? Json(nullptr) : Json(profile.schema.columns[profile.schema.find(options.target)].name);
  Json& cleaning = json["cleaning"] = Json::array();
  for (size_t c = 0; c < profile.columns.size(); ++c) {
    Json& report = cleaning.emplace_back(to_json(profile.columns[c].cleaning));
    report["column"] = profile.schema.columns[c].name;
  }
  json["provenance"] = {{"seed", options.seed}, {"versions", {{"doppel", DOPPEL_VERSION}}}};
  return json;
}

Json about_of(const ModelFile& file, int version) {
  if (file.metadata.value("version", Json()) != Json(version))
    throw InputError("model file: it is of another version than " + std::to_string(version) +
                     ", which this program reads");
  Json about = file.metadata;
  for (const char* key : {"kind", "version", "schema", "texts", "constraints", "constraint_acceptance"})
    about.erase(key);
  return about;
}

}  // namespace doppel
