// Rows of a mixture in chunks whose responsibilities the caches hold.
#pragma once

#include <algorithm>
#include <cstdint>
#include <span>

#include "kernels/common/mixture.h"

namespace doppel {

inline constexpr int64_t kChunkRows = 4096;

// Replaces log_density [rows] and, unless it is null, `shares`; calls add(rows of a chunk, their responsibilities).
template <class Density, class Add>
void expect_in_chunks(const MixtureRows& rows, int32_t variables, int32_t latents, const Density& density,
                      std::span<double> log_density, Responsibilities* shares, const Add& add) {
  Responsibilities found;
  if (shares != nullptr) shares->clear();
  for (int64_t first = 0; first < rows.rows; first += kChunkRows) {
    const int64_t count = std::min(kChunkRows, rows.rows - first);
    const MixtureRows chunk{count, rows.states + first * variables, rows.latents + first * latents};
    find_responsibilities_on_cpu(density, chunk, found);
    std::copy(found.log_density.begin(), found.log_density.end(), log_density.begin() + first);
    add(chunk, found);
    if (shares != nullptr) append(found, *shares);
  }
}

}  // namespace doppel
