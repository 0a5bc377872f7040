// Constraints that a table's rows hold, though they need not: what `fit` suggests.
#pragma once

#include <cstdint>
#include <vector>

#include "engine/table/constraints.h"
#include "engine/table/profile.h"
#include "engine/table/source.h"

namespace doppel {

struct ConstraintHint {
  Constraint constraint;  // combinations are not filled in
  int64_t rows = 0;       // that it is about: kInequality, those where both columns have a value
  double surprise = 0;    // share of rows that would break it, were the columns independent
};

inline constexpr int64_t kFewestHintRows = 100;
inline constexpr double kLeastSurprise = 0.05;
inline constexpr size_t kMostHints = 10;
inline constexpr size_t kMostSearchedColumns = 128;  // of numbers, and of levels: the first ones

// Reads the source from its start, for as long as there is something to find. Inequalities A<=B (A<B where no row has
// equals) that hold in every row with both values, and fixed {A, B} where A decides B; at least kFewestHintRows rows
// and a surprise of kLeastSurprise each. What follows from two others is left out. The most surprising first.
std::vector<ConstraintHint> suggest_constraints(TableSource& source, const TableProfile& profile);

}  // namespace doppel
