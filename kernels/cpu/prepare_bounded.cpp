#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/common/error.h"
#include "kernels/cpu/bounded_sampler.h"

namespace doppel {
namespace {

void check(bool is_right, const char* what) {
  if (!is_right) throw Error(std::string("bounded sampler: ") + what);
}

void check_cell(const BoundedCell& cell, const TableSampler& table) {
  const size_t bounds = cell.bounds.size();
  check(cell.member >= 0 && cell.member < table.members, "a cell of a member that is not there");
  check(bounds <= static_cast<size_t>(table.components), "a cell with more bounds than components");
  check(cell.weight.size() == bounds * bounds, "a cell's weights and bounds do not agree");
  check(!std::isnan(cell.log_bound), "a cell's bound is not a number");
  for (const BoundedLatent& bound : cell.bounds) {
    check(bound.latent >= 0 && bound.latent < table.latents, "a bound of a latent that is not there");
    check(bound.span_low < bound.span_high && bound.low < bound.high, "a bound the wrong way round");
    check(std::isfinite(bound.tilt), "a tilt that is not finite");
  }
  for (size_t i = 0; i < bounds; ++i)
    for (size_t j = 0; j < i; ++j) check(std::isfinite(cell.weight[i * bounds + j]), "a weight that is not finite");
}

// Their place among a row's blocks.
void number_blocks(const TableSampler& table, BoundedRecords& records) {
  BoundedTables& numbers = records.numbers;
  const auto variables = static_cast<uint32_t>(table.emissions.size());
  int32_t draws = table.components;
  for (const int32_t draw : residual_draws(table)) draws = std::max(draws, draw + 1);
  numbers.words = static_cast<uint32_t>((draws + 3) / 4);
  numbers.further = numbers.words + (variables + 3) / 4;
  numbers.tries = numbers.further + variables;
  numbers.blocks_per_try = static_cast<uint32_t>((2 + 2 * records.most_bounds + 3) / 4);
}

}  // namespace

void check_bounded_sampler(const BoundedSampler& sampler) {
  check_table_sampler(sampler.table);
  check(sampler.table.is_mixture(), "its table is no mixture");
  const AliasTable& outcomes = sampler.cell;
  check(!outcomes.threshold.empty() && outcomes.below.size() == outcomes.threshold.size() &&
            outcomes.above.size() == outcomes.threshold.size(),
        "the cells' outcomes do not agree");
  for (const std::vector<int32_t>* side : {&outcomes.below, &outcomes.above})
    for (const int32_t outcome : *side)
      check(outcome >= 0 && static_cast<size_t>(outcome) < sampler.cells.size(), "an outcome that is no cell");
  for (const BoundedCell& cell : sampler.cells) check_cell(cell, sampler.table);
}

BoundedRecords make_bounded_records(const BoundedSampler& sampler) {
  check_bounded_sampler(sampler);
  BoundedRecords records;
  for (const BoundedCell& cell : sampler.cells) {
    const BoundedLatent any{0, 0, 0, -kUnbounded, kUnbounded, 0};
    const BoundedLatent& first = cell.bounds.empty() ? any : cell.bounds.front();
    const auto bounds = static_cast<int32_t>(cell.bounds.size());
    records.most_bounds = std::max(records.most_bounds, bounds);
    records.cells.push_back({cell.member, bounds, static_cast<uint32_t>(records.bounds.size()),
                             static_cast<uint32_t>(records.weight.size()), cell.log_bound,
                             TruncatedNormal(first.low - first.tilt, first.high - first.tilt)});
    for (const BoundedLatent& bound : cell.bounds)
      records.bounds.push_back({bound.low, bound.high, bound.tilt, bound.latent, bound.span_low,
                                std::nextafter(bound.span_high, -std::numeric_limits<float>::infinity()), 0});
    records.weight.insert(records.weight.end(), cell.weight.begin(), cell.weight.end());
  }
  for (size_t i = 0; i < sampler.cell.threshold.size(); ++i)
    records.outcomes.push_back({sampler.cell.threshold[i], sampler.cell.below[i], sampler.cell.above[i]});
  records.numbers.outcomes = static_cast<uint32_t>(records.outcomes.size());
  number_blocks(sampler.table, records);
  return records;
}

}  // namespace doppel
