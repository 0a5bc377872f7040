// A training that can be interrupted: its state is handed out as a file, and goes on from it to the same bits.
#pragma once

#include <functional>
#include <memory>

#include "engine/model_file.h"

namespace doppel {

struct TrainingKeeper {
  // Called after each step, and when training is over, with what makes the state as it is then. It may throw to end
  // the training. May be empty.
  std::function<void(bool is_over, const std::function<ModelFile()>& state)> after_step;
  // A state that was handed out, of the same data and options; or none.
  std::shared_ptr<const ModelFile> resumed;
};

}  // namespace doppel
