// Rows completed from what a table gives of them, as a generator. Row i comes from row i modulo the table's rows, with
// draws of (seed, i). Cells that are given keep their values, those that the model never saw included: columns are
// written as the table's own profile says.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "engine/density.h"
#include "engine/generator.h"
#include "engine/table/constraints.h"
#include "engine/table/given_rows.h"

namespace doppel {

struct Completed {
  std::shared_ptr<const Generator> generator;
  int64_t rows = 0;               // of the table
  std::vector<int64_t> unfilled;  // [columns of the generator] gaps that remain: of keys, of texts, of empty columns
  std::vector<int64_t> filled;    // likewise, gaps that are filled
};

// Constraints are of the density's schema. Draws that break one are drawn anew, up to kMostDraws times; then sampling
// throws InputError naming the row. Means are what they are.
inline constexpr uint64_t kMostDraws = 1 << 14;

// Both read the source two to four times, and again while rows are made unless it is small, and throw InputError where
// a cell is not of its column's kind or the model does not know a column.

// The table's own columns in their order, gaps filled. A row that breaks a constraint by what it has is filled
// regardless of constraints.
Completed fill_gaps(std::shared_ptr<const Density> density, std::unique_ptr<TableSource> source, Completion how,
                    uint64_t seed, const Constraints& constraints = {}, const GivenLimits& limits = {});

// The model's columns. Those that the table has stay as they are, gaps included; the others are drawn. `unconditional`
// is the model's own generator with this seed: it makes the texts of columns not given. Throws InputError where a row
// given breaks a constraint.
Completed complete_columns(std::shared_ptr<const Density> density, std::unique_ptr<TableSource> source,
                           std::shared_ptr<const Generator> unconditional, const Constraints& constraints = {},
                           const GivenLimits& limits = {});

}  // namespace doppel
