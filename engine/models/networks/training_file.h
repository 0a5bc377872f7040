// The parts of a training's state (engine/training_state.h) in a file. Everything is read back to the bit; what does
// not fit the training at hand is an InputError.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "engine/model_file.h"
#include "engine/nn/adam.h"
#include "engine/nn/layers.h"
#include "engine/nn/training.h"

namespace doppel {

// Tensors NAME.0, NAME.1, ... of the sizes that `values` have already.
void save_values(const std::vector<std::vector<float>>& values, const std::string& name, ModelFile& file);
void load_values(const ModelFile& file, const std::string& name, std::vector<std::vector<float>>& values);

void save_parameters(const std::vector<Parameter<float>*>& parameters, ModelFile& file);
void load_parameters(const ModelFile& file, const std::vector<Parameter<float>*>& parameters);
void save_adam(Adam<float>& adam, ModelFile& file);
void load_adam(const ModelFile& file, Adam<float>& adam);
void save_averages(AveragedParameters& averages, ModelFile& file);
void load_averages(const ModelFile& file, AveragedParameters& averages);

// Numbers of the metadata's "training".
int64_t load_count(const ModelFile& file, const char* name, int64_t most);  // from 0 on
double load_number(const nlohmann::json& json, const char* name);

// Where an epoch is: rows that it has seen, and steps of all epochs so far.
struct EpochPlace {
  int64_t row = 0, step = 0;
};
void save_place(const EpochPlace& place, ModelFile& file);
EpochPlace load_place(const ModelFile& file, int64_t rows, int64_t steps);

}  // namespace doppel
