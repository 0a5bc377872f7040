// Trainings of networks of images that are interrupted go on to the same bits.
#include <gtest/gtest.h>

#include "engine/model.h"
#include "kernels/common/error.h"
#include "tests/engine/image_cases.h"

namespace doppel {
namespace {

struct Interrupted {};

FitOptions options_of(const std::string& model) {
  FitOptions options;
  options.model = model;
  options.epochs = "3";
  options.seed = 5;
  return options;
}

// 300 images, 285 of them in 3 steps an epoch.
Images some_images() {
  return make_bars(300, {1, 12, 10}, 3, 3);
}

// The state after so many steps, to bytes and back.
std::shared_ptr<const ModelFile> state_after(int steps, FitOptions options) {
  std::shared_ptr<const ModelFile> kept;
  options.keeper.after_step = [&](bool, const auto& state) {
    if (--steps > 0) return;
    kept = std::make_shared<ModelFile>(parse_model_file(serialise(state()), "state"));
    throw Interrupted();
  };
  EXPECT_THROW(fit_image_model(some_images(), options, *make_backend("cpu")), Interrupted);
  return kept;
}

TEST(ImageTraining, GoesOnToTheSameModel) {
  // Within the first epoch, at an epoch's end, within the last, and after training.
  const std::vector<std::pair<const char*, std::vector<int>>> cases = {
      {"vae-dense", {1, 3, 8, 10}}, {"vae", {5}}, {"cnn", {3, 4, 10}}};
  for (const auto& [name, stops] : cases) {
    FitOptions options = options_of(name);
    const auto whole = serialise(fit_image_model(some_images(), options, *make_backend("cpu"))->save());
    for (const int steps : stops) {
      options.keeper.resumed = state_after(steps, options_of(name));
      EXPECT_EQ(serialise(fit_image_model(some_images(), options, *make_backend("cpu"))->save()), whole)
          << name << " after " << steps;
    }
  }
}

TEST(ImageTraining, MayBeInterruptedAgain) {
  FitOptions options = options_of("vae-dense");
  const auto whole = serialise(fit_image_model(some_images(), options, *make_backend("cpu"))->save());
  options.keeper.resumed = state_after(2, options_of("vae-dense"));
  options.keeper.resumed = state_after(4, options);
  EXPECT_EQ(serialise(fit_image_model(some_images(), options, *make_backend("cpu"))->save()), whole);
}

TEST(ImageTraining, RefusesStatesOfOtherTrainings) {
  for (const char* name : {"vae-dense", "cnn"}) {
    const auto state = state_after(4, options_of(name));
    const auto resume = [&](const std::function<void(ModelFile&)>& change, FitOptions options) {
      auto changed = std::make_shared<ModelFile>(*state);
      change(*changed);
      options.keeper.resumed = changed;
      fit_image_model(some_images(), options, *make_backend("cpu"));
    };
    EXPECT_THROW(resume([](ModelFile& file) { file.tensors.erase("parameter.0"); }, options_of(name)), InputError);
    EXPECT_THROW(resume([](ModelFile& file) { file.tensors["first_moment.1"].shape = {1}; }, options_of(name)),
                 InputError);
    EXPECT_THROW(resume([](ModelFile& file) { file.metadata["training"]["row"] = 286; }, options_of(name)), InputError);
    EXPECT_THROW(resume([](ModelFile& file) { file.metadata["training"]["step"] = -1; }, options_of(name)), InputError);
    EXPECT_THROW(resume([](ModelFile& file) { file.metadata["training"].erase("epochs"); }, options_of(name)),
                 InputError);
    EXPECT_THROW(resume([](ModelFile& file) { file.metadata.erase("training"); }, options_of(name)), InputError);
    EXPECT_THROW(resume([](ModelFile& file) { file.tensors.erase("second_moment.0"); }, options_of(name)), InputError);
  }
}

}  // namespace
}  // namespace doppel
