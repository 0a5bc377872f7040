// The CPU's statistics (kernels/statistics.h), on OpenBLAS and LAPACK with one thread (see backend.cpp).
#pragma once

#include "kernels/statistics.h"

namespace doppel {

// Adds a block's sums to moments. Throws Error where the sizes do not agree.
void accumulate_co_moments_on_cpu(const MaskedMatrix& values, CoMoments& moments);

}  // namespace doppel
