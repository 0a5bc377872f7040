// The CPU's nearest neighbours (kernels/nearest.h), on one thread.
#pragma once

#include <vector>

#include "kernels/nearest.h"

namespace doppel {

std::vector<float> nearest_distances_on_cpu(const Points& queries, const Points& references);

}  // namespace doppel
