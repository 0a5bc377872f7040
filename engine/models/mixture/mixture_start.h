// Where expectation maximisation starts: k-means in the space of leading principal components.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "engine/models/mixture/mixture_space.h"

namespace doppel {

inline constexpr int64_t kStartAxes = 20;
inline constexpr int kStartRounds = 8;

struct MixtureStart {
  std::vector<int32_t> member;  // [rows in the order of their patterns]
  std::vector<int32_t> group;   // [members] members whose centres are near
};

// Rows are placed by their latents (0 where unobserved) and by indicators of states of variance 1 (so that rare states
// weigh, as in a correspondence analysis), on the kStartAxes leading principal components.
class MixtureStarter {
 public:
  MixtureStarter(const MixtureSpace& space, const RowsByPattern& rows);
  // Centres start by k-means++ (Arthur and Vassilvitskii, 2007) on some of the rows and move kStartRounds times; groups
  // are clusters of the centres.
  MixtureStart start(int64_t members, int64_t groups, uint64_t seed) const;
  // Where a row lies, [components].
  std::span<const float> place(int64_t row) const {
    return {places_.data() + row * width_, static_cast<size_t>(width_)};
  }

 private:
  int64_t rows_ = 0, width_ = 0;
  std::vector<float> places_;  // [rows, width]
};

}  // namespace doppel
