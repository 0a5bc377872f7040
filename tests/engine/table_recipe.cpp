// Recipes of mixtures in model files; those of the PCA model are tested with it (pca_model.cpp).
#include <gtest/gtest.h>

#include "engine/table_generator.h"
#include "kernels/common/error.h"
#include "tests/engine/mixture_cases.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

std::vector<std::byte> saved(const TableRecipe& recipe) {
  ModelFile file;
  save_table_recipe(recipe, file);
  return serialise(file);
}
TableRecipe loaded(const std::vector<std::byte>& bytes) {
  return load_table_recipe(parse_model_file(bytes, "m.doppel"));
}

TEST(TableRecipe, AMixtureSavedAndLoadedMakesTheSameRowsAndIsSavedTheSameAgain) {
  for (int32_t members : {1, 3, 40}) {
    const TableRecipe recipe = mixture_recipe(members);
    const std::vector<std::byte> bytes = saved(recipe);
    const TableRecipe again = loaded(bytes);
    EXPECT_EQ(saved(again), bytes);
    const auto rows = [](const TableRecipe& of) {
      return sample(*make_table_generator(std::make_shared<TableRecipe>(of), 5, cpu()), 500).bytes;
    };
    EXPECT_EQ(rows(again), rows(recipe));
  }
}

TEST(TableRecipe, ColumnsOfAMixtureHoldWhatTheirStatesSay) {
  const auto generator = make_table_generator(std::make_shared<TableRecipe>(mixture_recipe()), 6, cpu());
  const Sampled rows = sample(*generator, 2000);
  int missing = 0, atoms = 0, others = 0;
  for (size_t row = 0; row < 2000; ++row) {
    const double number = rows.columns[0][row], category = rows.columns[1][row], truth = rows.columns[2][row];
    (std::isnan(number) ? missing : number == -7.5 ? atoms : others) += 1;
    EXPECT_TRUE(std::isnan(number) || number == -7.5 || (number >= 0 && number <= 5.5)) << number;
    EXPECT_EQ(truth, std::isnan(category) || category == 1 ? 1 : 0);
  }
  for (int count : {missing, atoms, others}) EXPECT_GT(count, 100);
}

TEST(TableRecipe, ContradictionsOfMixturesAreRefused) {
  EXPECT_NO_THROW(check_table_recipe(mixture_recipe()));
  const auto refuses = [](const std::string& message, auto spoil) {
    TableRecipe recipe = mixture_recipe();
    spoil(recipe);
    try {
      check_table_recipe(recipe);
      ADD_FAILURE() << "accepted: " << message;
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find(message), std::string::npos) << error.what();
    }
  };
  refuses("gaps in a column without any", [](TableRecipe& r) { r.schema.columns[0].has_missing = false; });
  refuses("a level that is not listed", [](TableRecipe& r) { r.schema.columns[1].levels.pop_back(); });
  refuses("a level that is not listed", [](TableRecipe& r) { r.sampler.columns[2].state_integer[3] = -1; });
  refuses("variable 0", [](TableRecipe& r) { r.sampler.emissions[0].table.below[0] = 3; });
}

TEST(TableRecipe, FilesOfMixturesThatLackOrMixUpATensorAreInputErrors) {
  ModelFile good;
  save_table_recipe(mixture_recipe(), good);
  const auto refuses = [&](const std::string& tensor, auto spoil) {
    ModelFile file = good;
    spoil(file.tensors.at(tensor));
    EXPECT_THROW(load_table_recipe(file), InputError) << tensor;
  };
  for (const auto& [name, tensor] : good.tensors) {
    ModelFile file = good;
    file.tensors.erase(name);
    EXPECT_THROW(load_table_recipe(file), InputError) << "without " << name;
    if (tensor.shape.size() != 1) continue;
    refuses(name, [](Tensor& t) { t.shape[0] += 1, t.bytes.resize(t.bytes.size() / (t.shape[0] - 1) * t.shape[0]); });
  }
  const auto fill = [](Tensor& t) { std::fill(t.bytes.begin(), t.bytes.end(), std::byte{0xFE}); };  // negative
  for (const char* name : {"variables.states", "variables.nodes", "variables.node_entries", "variables.node_above",
                           "variables.below", "columns.emission", "states.role", "mixture.above"})
    refuses(name, fill);
}

}  // namespace
}  // namespace doppel
