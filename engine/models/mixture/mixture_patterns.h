// Few patterns of latents instead of many: a step of expectation maximisation factorises a covariance for each pattern
// and member, so patterns of a handful of rows would cost more than the rows themselves.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/models/mixture/mixture_space.h"

namespace doppel {

// Covariance [axes, axes] over the rows where both latents are present.
std::vector<double> pooled_covariance(const RowsByPattern& rows, size_t axes);

class PatternLimit {
 public:
  // Keeps the most frequent patterns of these rows and the pattern of all latents: few enough that factorisations cost
  // no more than the rows.
  PatternLimit(const RowsByPattern& rows, size_t axes, uint64_t seed);
  // Rows of other patterns move to the smallest kept one that has all their latents; what they lack is drawn from the
  // table's own normal distribution given what they have, by (seed, place of the row, axis).
  RowsByPattern apply(RowsByPattern rows) const;

 private:
  void move(const RowsOfPattern& from, RowsOfPattern& to, uint64_t place) const;

  size_t axes_;
  uint64_t seed_;
  std::vector<double> covariance_;
  std::vector<std::vector<int32_t>> kept_;  // latents present
};

}  // namespace doppel
