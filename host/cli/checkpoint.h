// The checkpoint of a fit: MODEL.checkpoint beside the model that is to be, so that an interrupted training goes on.
#pragma once

#include <chrono>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "engine/training_state.h"

namespace doppel {

class Checkpoint {
 public:
  static constexpr int kEverySeconds = 120;

  // `of` says what the training depends on, a field each.
  Checkpoint(const std::string& model_path, nlohmann::json of)
      : path_(model_path + ".checkpoint"), of_(std::move(of)) {}
  const std::string& path() const { return path_; }
  bool exists() const;
  // Throws InputError where the file is damaged, UsageError naming the first field in which it is of another training.
  std::shared_ptr<const ModelFile> read() const;

  // Writes the state every kEverySeconds, and once more when the user interrupts: then throws Error with status
  // kInterrupted that says how to go on.
  TrainingKeeper keeper();
  // While it is, interruptions are the keeper's.
  bool is_training() const { return is_training_; }
  void throw_interrupted() const;  // likewise, after training, where there is a state to go on from
  void remove() const;

 private:
  void after_step(bool is_over, const std::function<ModelFile()>& state);
  void write(ModelFile state);

  std::string path_;
  nlohmann::json of_;
  bool is_training_ = false;
  std::chrono::steady_clock::time_point written_ = std::chrono::steady_clock::now();
};

}  // namespace doppel
