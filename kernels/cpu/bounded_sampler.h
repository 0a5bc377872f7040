// The CPU's sampler of bounded rows from inside (kernels/bounded_sampler.h): tests choose the instruction set.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "kernels/bounded_sampler.h"
#include "kernels/common/bounded_rows.h"
#include "kernels/cpu/sample_table.h"

namespace doppel {

// Cells one after the other, for any backend.
struct BoundedRecords {
  std::vector<CellRecord> cells;
  std::vector<BoundRecord> bounds;
  std::vector<double> weight;
  std::vector<CellOutcome> outcomes;
  BoundedTables numbers{};  // but for the pointers
  int32_t most_bounds = 0;  // of a cell

  BoundedTables tables() const {  // in this memory
    BoundedTables tables = numbers;
    tables.cell = cells.data();
    tables.bound = bounds.data();
    tables.weight = weight.data();
    tables.outcome = outcomes.data();
    return tables;
  }
};
BoundedRecords make_bounded_records(const BoundedSampler& sampler);  // checks it, too

struct PreparedBounded {
  PreparedTable table;  // whose columns, tiles and nodes count
  BoundedRecords records;
  int32_t latents = 0, latent_vectors = 0, components = 0;
  std::vector<float> weights;  // [members, latent_vectors, mean | components | residual, kVectorLatents]
  std::vector<size_t> noise;   // [latents] which normal is a latent's own noise; the last, a 0, where none is
};

struct BoundedScratch {
  explicit BoundedScratch(const PreparedBounded& sampler);
  TileScratch tile;
  std::vector<float> normals;  // [4 words + 1], the last of them 0
  std::vector<double> bounded;
};

std::unique_ptr<PreparedTableSampler> prepare_bounded_sampler_on_cpu(const BoundedSampler& sampler,
                                                                     const InstructionSet& instructions);

}  // namespace doppel
