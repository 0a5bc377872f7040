#include "engine/evaluation/training_history.h"

#include <algorithm>
#include <nlohmann/json.hpp>

namespace doppel {
namespace {

using Json = nlohmann::json;

// Empty unless every epoch has the number, and one a number other than 0.
std::vector<double> series_of(const Json& history, const char* key) {
  std::vector<double> series;
  for (const Json& epoch : history) {
    if (!epoch.is_object() || !epoch.contains(key) || !epoch[key].is_number()) return {};
    series.push_back(epoch[key].get<double>());
  }
  const bool says_nothing = std::all_of(series.begin(), series.end(), [](double value) { return value == 0; });
  return says_nothing ? std::vector<double>{} : series;
}

// Empty where a series is.
std::vector<double> difference(const std::vector<double>& all, const std::vector<double>& part) {
  if (all.size() != part.size()) return {};
  std::vector<double> rest;
  for (size_t epoch = 0; epoch < all.size(); ++epoch) rest.push_back(all[epoch] - part[epoch]);
  return rest;
}

}  // namespace

TrainingHistory read_training_history(const Json& description) {
  TrainingHistory found;
  if (!description.contains("history") || !description["history"].is_array()) return found;
  const Json& history = description["history"];
  found.training = series_of(history, "training_nats_per_image");
  if (found.training.empty()) return found;
  found.held_out = series_of(history, "held_out_nats_per_image");
  found.held_out_accuracy = series_of(history, "held_out_accuracy");
  found.held_out_divergence = series_of(history, "held_out_divergence_nats_per_image");
  found.training_divergence = series_of(history, "training_divergence_nats_per_image");
  found.training_reconstruction = difference(found.training, found.training_divergence);
  found.held_out_reconstruction = difference(found.held_out, found.held_out_divergence);
  return found;
}

nlohmann::ordered_json to_json(const TrainingHistory& history) {
  nlohmann::ordered_json json = nlohmann::ordered_json::object();
  const auto add = [&](const char* key, const std::vector<double>& series) {
    if (!series.empty()) json[key] = series;
  };
  add("training_nats_per_image", history.training);
  add("training_reconstruction_nats_per_image", history.training_reconstruction);
  add("training_divergence_nats_per_image", history.training_divergence);
  add("held_out_nats_per_image", history.held_out);
  add("held_out_reconstruction_nats_per_image", history.held_out_reconstruction);
  add("held_out_divergence_nats_per_image", history.held_out_divergence);
  add("held_out_accuracy", history.held_out_accuracy);
  return json;
}

}  // namespace doppel
