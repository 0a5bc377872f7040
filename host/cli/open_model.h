// A model file on the command line, and the rows asked of it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>

#include "engine/model.h"
#include "host/cli/commands.h"

namespace doppel {

struct OpenedModel {
  std::unique_ptr<Model> model;
  std::string checksum;  // engine/model_file.h
};

// Throws Error where the file cannot be read, InputError where it is no model.
OpenedModel open_model(const std::string& path);

struct AskedRows {
  uint64_t seed = 0;
  std::optional<std::string> where;  // conditions
  AskedImages images;
  std::string given;  // file whose rows are completed; "": none
};
struct ModelRows {
  ConditionedRows rows;
  int64_t given = 0;  // rows of the file given
};
// The backend must outlive them. Throws UsageError where the model cannot do what is asked, InputError for the file.
ModelRows make_rows(const Model& model, const AskedRows& asked, const Backend& backend, const CommonOptions& common);

}  // namespace doppel
