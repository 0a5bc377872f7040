// Sorting numbers by the widest instructions that the CPU has (Highway's vqsort).
#pragma once

#include <cstdint>
#include <span>

namespace doppel {

// Ascending. No number is NaN; -0 becomes 0, so that equal numbers are the same bits in whatever order they come out.
void sort_ascending(std::span<int64_t> values);
void sort_ascending(std::span<double> values);

}  // namespace doppel
