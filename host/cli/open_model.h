// A model file on the command line.
#pragma once

#include <memory>
#include <string>

#include "engine/model.h"

namespace doppel {

struct OpenedModel {
  std::unique_ptr<Model> model;
  std::string checksum;  // engine/model_file.h
};

// Throws Error where the file cannot be read, InputError where it is no model.
OpenedModel open_model(const std::string& path);

}  // namespace doppel
