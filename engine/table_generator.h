// Rows of a table from a table sampler and what no kernel samples: keys, texts, empty columns. Any model whose plan is
// a TableSampler makes its generator here and keeps it in a model file by the same functions.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <vector>

#include "engine/generator.h"
#include "engine/model_file.h"
#include "engine/table/patterns.h"
#include "engine/table/profile.h"
#include "engine/table/schema.h"
#include "kernels/backend.h"
#include "kernels/table.h"

namespace doppel {

struct TableRecipe {
  TableSchema schema;
  TableSampler sampler;
  std::vector<int32_t> sampled;   // the table's column that each of sampler.columns makes, ascending
  std::vector<TextRecipe> texts;  // [columns of the table]; of kKey and kText
};

// All but what a model samples: the schema and texts.
TableRecipe start_recipe(const TableProfile& profile);

// Throws Error if a recipe contradicts itself (lengths, columns, codes beyond a column's levels, numbers that are not
// finite).
void check_table_recipe(const TableRecipe& recipe);

// The recipe's tensors, and its "schema" and "texts" in the metadata. load throws InputError for what check refuses.
void save_table_recipe(const TableRecipe& recipe, ModelFile& file);
TableRecipe load_table_recipe(const ModelFile& file);

// The backend must outlive the generator.
std::shared_ptr<const Generator> make_table_generator(std::shared_ptr<const TableRecipe> recipe, uint64_t seed,
                                                      const Backend& backend);
// The same with values from elsewhere: `prepare` makes, for each worker, what fills the recipe's sampled columns.
using PrepareTableSampler = std::function<std::unique_ptr<PreparedTableSampler>()>;
std::shared_ptr<const Generator> make_table_generator(std::shared_ptr<const TableRecipe> recipe, uint64_t seed,
                                                      PrepareTableSampler prepare);

}  // namespace doppel
