// Rows that hold constraints, from a generator whose rows may not: rows that break one are drawn anew until they hold
// all. So they have the generator's distribution given that they do.
//
// What a row is replaced by is a function of its number (the row law): rows 64 g .. 64 g + 63 share candidates, the
// generator's rows candidate_row(0, 8 g) .. candidate_row(0, 8 g + 7), then those of round 1, and so on. The n-th of
// the 64 rows that breaks a constraint is replaced by the n-th candidate that breaks none. So the candidates of a round
// are made for many groups at once. Texts stay those of the row itself.
#pragma once

#include <cstdint>
#include <memory>

#include "engine/generator.h"
#include "engine/model.h"
#include "engine/table/constraints.h"

namespace doppel {

// Numbers apart from those of rows, and from one another, while rows are below 2^49, indices below 2^46 and rounds
// below 2^17.
constexpr uint64_t candidate_row(uint64_t round, uint64_t index) {
  return (uint64_t{1} << 63) + (round << 46) + index;
}

// `redraws` makes the same rows as `rows`, but is asked for fewer at a time: a generator on the CPU, where `rows` is on
// a device. The constraints are of the schema `known`. Sampling throws Error where candidates run out.
std::shared_ptr<const Generator> make_constrained_generator(std::shared_ptr<const Generator> rows,
                                                            std::shared_ptr<const Generator> redraws,
                                                            const Constraints& constraints, const TableSchema& known);

// The share of rows that hold the constraints, counted over 2^14 rows: a standard error of at most 0.004.
double constraint_acceptance(const Generator& rows, const Constraints& constraints, const TableSchema& known);

// A model whose rows hold constraints, conditions or not. Throws UsageError where hardly a row of the model does.
std::unique_ptr<Model> make_constrained_model(std::unique_ptr<Model> model, Constraints constraints,
                                              const Backend& backend);
// As it was saved; the model itself where its file has no constraints.
std::unique_ptr<Model> load_constrained_model(std::unique_ptr<Model> model, const ModelFile& file);

}  // namespace doppel
