#include "engine/models/networks/training_file.h"

#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

constexpr const char* kTraining = "training";

const Json& training_of(const ModelFile& file) {
  static const Json kNone = Json::object();
  const auto found = file.metadata.find(kTraining);
  return found != file.metadata.end() && found->is_object() ? *found : kNone;
}

}  // namespace

void save_values(const std::vector<std::vector<float>>& values, const std::string& name, ModelFile& file) {
  for (size_t i = 0; i < values.size(); ++i)
    file.tensors[name + "." + std::to_string(i)] = Tensor::from(values[i], {static_cast<int64_t>(values[i].size())});
}

void load_values(const ModelFile& file, const std::string& name, std::vector<std::vector<float>>& values) {
  for (size_t i = 0; i < values.size(); ++i)
    values[i] = file.tensor(name + "." + std::to_string(i), {static_cast<int64_t>(values[i].size())}).to<float>();
}

void save_parameters(const std::vector<Parameter<float>*>& parameters, ModelFile& file) {
  save_values(values_of(parameters), "parameter", file);
}

void load_parameters(const ModelFile& file, const std::vector<Parameter<float>*>& parameters) {
  std::vector<std::vector<float>> values = values_of(parameters);
  load_values(file, "parameter", values);
  set_values(values, parameters);
}

void save_adam(Adam<float>& adam, ModelFile& file) {
  save_values(adam.first_moments(), "first_moment", file);
  save_values(adam.second_moments(), "second_moment", file);
  file.metadata[kTraining]["adam_steps"] = adam.steps();
}

void load_adam(const ModelFile& file, Adam<float>& adam) {
  load_values(file, "first_moment", adam.first_moments());
  load_values(file, "second_moment", adam.second_moments());
  adam.steps() = load_count(file, "adam_steps", INT64_MAX);
}

void save_averages(AveragedParameters& averages, ModelFile& file) {
  save_values(averages.means(), "mean", file);
  file.metadata[kTraining]["averaged_steps"] = averages.steps();
}

void load_averages(const ModelFile& file, AveragedParameters& averages) {
  load_values(file, "mean", averages.means());
  averages.steps() = load_count(file, "averaged_steps", INT64_MAX);
}

int64_t load_count(const ModelFile& file, const char* name, int64_t most) {
  const Json value = training_of(file).value(name, Json());
  if (!value.is_number_integer() || value.get<int64_t>() < 0 || value.get<int64_t>() > most)
    throw InputError("its '" + std::string(name) + "' is no count of this training");
  return value.get<int64_t>();
}

double load_number(const Json& json, const char* name) {
  const Json value = json.is_object() ? json.value(name, Json()) : Json();
  if (!value.is_number()) throw InputError("its '" + std::string(name) + "' is no number");
  return value.get<double>();
}

void save_place(const EpochPlace& place, ModelFile& file) {
  file.metadata[kTraining]["row"] = place.row;
  file.metadata[kTraining]["step"] = place.step;
}

EpochPlace load_place(const ModelFile& file, int64_t rows, int64_t steps) {
  return {load_count(file, "row", rows), load_count(file, "step", steps)};
}

}  // namespace doppel
