// Making alias tables (kernels/table.h).
#pragma once

#include <cstdint>
#include <span>

#include "kernels/table.h"

namespace doppel {

struct Outcome {
  int32_t value;
  double weight;  // > 0, not necessarily a probability
};

// Appends an entry an outcome to the table: Vose, "A linear algorithm for generating random numbers with a given
// distribution" (1991). Probabilities are kept to 2^-32 over the number of outcomes, of which there is at least one.
void append_alias(std::span<const Outcome> outcomes, AliasTable& table);

}  // namespace doppel
