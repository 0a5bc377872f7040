// Tables of Sobol' points (kernels/common/sobol.h) for whoever makes words of many rows.
#pragma once

#include <cstdint>
#include <vector>

namespace doppel {

// [dimensions, 32]: what each bit of a point's number adds to its coordinates; at most kSobolDimensions (random.h).
std::vector<uint32_t> sobol_directions(int32_t dimensions);

// The same for four bits at a time: [dimensions, kSobolParts, kSobolPartValues].
std::vector<uint32_t> sobol_parts(int32_t dimensions);

}  // namespace doppel
