// A picture of the first images that a generator makes.
#pragma once

#include <cstdint>
#include <string>

#include "engine/generator.h"

namespace doppel {

// Writes a PNG file, atomically: of labelled images a line a label of its first ten, labels in order, at most 100
// lines; of others ten lines of ten. Only rows 0 .. rows - 1 are looked at, and of those the first 2^14: a label with
// none has no line. Throws UsageError where rows are no images.
void write_contact_sheet(const Generator& generator, int64_t rows, const std::string& path);

}  // namespace doppel
