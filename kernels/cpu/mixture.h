// What the kinds of mixtures (kernels/mixture.h) have in common on the CPU: log densities of a tile of rows, [rows,
// padded members], and the responsibilities that follow.
#pragma once

#include "kernels/mixture.h"

namespace doppel {

// Of rows first .. first + count - 1.
void find_log_densities(const MixtureDensity& density, const MixtureRows& rows, int64_t first, int64_t count,
                        float* out);
void append_responsibilities(const float* log_densities, int64_t count, int64_t padded, Responsibilities& out);

}  // namespace doppel
