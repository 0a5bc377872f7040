// What trainings of networks share.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/nn/layers.h"

namespace doppel {

// Shuffles by words that are a function of (seed, use).
void shuffle(std::vector<int64_t>& order, uint64_t seed, uint32_t use);

// The share of the highest step size after the share `done` of all steps: rises in a line over the share `warm_up`,
// falls by a cosine to nothing all along.
double cosine_rate(double done, double warm_up);

// Exponential means of parameters over steps: what they are moved about in training averages out (Polyak and Juditsky,
// 1992). A mean reaches over so many steps, over fewer where there were not yet as many.
class AveragedParameters {
 public:
  AveragedParameters(std::vector<Parameter<float>*> parameters, double reach);
  // Of the next step: what the means move of the way to the parameters.
  double next_share();
  void add(double share);
  void exchange();  // parameters and their means; the second call brings them back

  // What it keeps from step to step, for a file.
  std::vector<std::vector<float>>& means() { return means_; }
  int64_t& steps() { return steps_; }

 private:
  std::vector<Parameter<float>*> parameters_;
  std::vector<std::vector<float>> means_;
  double reach_;
  int64_t steps_ = 0;
};

// Values of parameters to come back to.
std::vector<std::vector<float>> values_of(const std::vector<Parameter<float>*>& parameters);
void set_values(const std::vector<std::vector<float>>& values, const std::vector<Parameter<float>*>& parameters);

}  // namespace doppel
