#include "engine/models/vae/vae_epochs.h"

#include <algorithm>
#include <cmath>

#include "engine/models/networks/training_file.h"
#include "engine/nn/training.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

using Json = nlohmann::json;

}  // namespace

double VaeEpochs::loss_of(const VaeEpoch& epoch) const {
  return epoch.held_out.reconstruction + limits_.divergence * epoch.held_out.divergence;
}

bool VaeEpochs::is_over() const {
  const auto patience =
      std::max<int64_t>(3, static_cast<int64_t>(limits_.patience * static_cast<double>(limits_.epochs)));
  return count() >= limits_.epochs || (count() > 0 && count() - 1 - std::max<int64_t>(best_epoch_, 0) >= patience);
}

void VaeEpochs::run(const std::function<VaeEpoch(int64_t)>& run_epoch,
                    const std::function<void(double, const VaeEpoch&)>& progress) {
  const auto most = static_cast<double>(limits_.epochs);
  const auto warm_epochs = static_cast<int64_t>(std::ceil(limits_.warm_up * most));
  while (!is_over()) {
    const int64_t epoch = count();
    const VaeEpoch result = run_epoch(epoch);
    const double least =
        best_epoch_ < 0 ? std::numeric_limits<double>::infinity() : loss_of(epochs_[static_cast<size_t>(best_epoch_)]);
    epochs_.push_back(result);
    if (loss_of(result) < least || epoch < warm_epochs) {
      best_epoch_ = epoch;
      best_ = values_of(parameters_);
    }
    if (progress) progress(static_cast<double>(epoch + 1) / most, result);
  }
}

std::vector<VaeEpoch> VaeEpochs::finish() {
  set_values(best_, parameters_);
  return epochs_;
}

void VaeEpochs::save(ModelFile& file) const {
  Json& epochs = file.metadata["training"]["epochs"] = Json::array();
  for (const VaeEpoch& epoch : epochs_)
    epochs.push_back({{"reconstruction", epoch.training.reconstruction},
                      {"divergence", epoch.training.divergence},
                      {"held_out_reconstruction", epoch.held_out.reconstruction},
                      {"held_out_divergence", epoch.held_out.divergence}});
  file.metadata["training"]["best_epoch"] = best_epoch_ + 1;
  save_values(best_, "best", file);
}

void VaeEpochs::load(const ModelFile& file) {
  const Json training = file.metadata.value("training", Json::object());
  const Json epochs = training.value("epochs", Json());
  if (!epochs.is_array() || static_cast<int64_t>(epochs.size()) > limits_.epochs)
    throw InputError("its epochs are none of this training");
  epochs_.clear();
  for (const Json& epoch : epochs)
    epochs_.push_back({{load_number(epoch, "reconstruction"), load_number(epoch, "divergence")},
                       {load_number(epoch, "held_out_reconstruction"), load_number(epoch, "held_out_divergence")}});
  best_epoch_ = load_count(file, "best_epoch", count()) - 1;
  if (best_epoch_ < 0) return;
  best_ = values_of(parameters_);
  load_values(file, "best", best_);
}

}  // namespace doppel
