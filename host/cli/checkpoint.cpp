#include "host/cli/checkpoint.h"

#include <filesystem>
#include <utility>

#include "host/interrupt.h"
#include "host/writer.h"
#include "kernels/common/error.h"

namespace doppel {
namespace {

constexpr const char* kKind = "training";
constexpr int kVersion = 1;

}  // namespace

bool Checkpoint::exists() const {
  return std::filesystem::exists(path_);
}

std::shared_ptr<const ModelFile> Checkpoint::read() const {
  auto file = std::make_shared<ModelFile>(parse_model_file(read_file(path_), path_));
  if (file->metadata.value("kind", nlohmann::json()) != kKind ||
      file->metadata.value("version", nlohmann::json()) != kVersion)
    throw InputError(path_ + ": is no checkpoint of a training that this program knows");
  const nlohmann::json of = file->metadata.value("of", nlohmann::json::object());
  for (const auto& [field, now] : of_.items()) {
    const nlohmann::json then = of.value(field, nlohmann::json());
    if (then != now)
      throw UsageError("'" + path_ + "' is of another training: " + field + " (" + then.dump() + ", now " + now.dump() +
                       "): give what it was given, or delete it to start anew");
  }
  return file;
}

TrainingKeeper Checkpoint::keeper() {
  is_training_ = true;
  TrainingKeeper keeper;
  keeper.after_step = [this](bool is_over, const auto& state) { after_step(is_over, state); };
  return keeper;
}

void Checkpoint::after_step(bool is_over, const std::function<ModelFile()>& state) {
  const bool is_due = std::chrono::steady_clock::now() - written_ >= std::chrono::seconds(kEverySeconds);
  if (is_due || interrupted()) write(state());
  if (interrupted()) throw_interrupted();
  if (is_over) is_training_ = false;
}

void Checkpoint::throw_interrupted() const {
  throw Error("'" + path_ + "' keeps what was learned: the same command with --resume goes on",
              ExitStatus::kInterrupted);
}

void Checkpoint::write(ModelFile state) {
  state.metadata["kind"] = kKind;
  state.metadata["version"] = kVersion;
  state.metadata["of"] = of_;
  write_file_atomically(path_, serialise(state));
  written_ = std::chrono::steady_clock::now();
}

void Checkpoint::remove() const {
  std::filesystem::remove(path_);
}

}  // namespace doppel
