// Scores of a mixture's rows that a backend finds are those of the engine's own loops, to the bit, and where
// covariances are of low rank but for rounding. The backend is the operation's definition
// (tests/kernels/score_cases.h).
#include <gtest/gtest.h>

#include <cmath>
#include <memory>

#include "engine/models/mixture/mixture_density.h"
#include "kernels/backend.h"
#include "tests/engine/mixture_cases.h"
#include "tests/engine/model_cases.h"
#include "tests/kernels/score_cases.h"

namespace doppel {
namespace {

constexpr double kNothing = std::numeric_limits<double>::quiet_NaN();

// The CPU's, but for scores.
class ScoringBackend : public Backend {
 public:
  std::string description() const override { return cpu_->description(); }
  std::unique_ptr<PreparedTableSampler> prepare_table_sampler(const TableSampler& sampler) const override {
    return cpu_->prepare_table_sampler(sampler);
  }
  std::unique_ptr<PreparedTableSampler> prepare_table_decoder(const TableDecoder& decoder) const override {
    return cpu_->prepare_table_decoder(decoder);
  }
  std::unique_ptr<PreparedTableSampler> prepare_bounded_sampler(const BoundedSampler& sampler) const override {
    return cpu_->prepare_bounded_sampler(sampler);
  }
  std::unique_ptr<PreparedImageSampler> prepare_image_sampler(const ImageSampler& sampler) const override {
    return cpu_->prepare_image_sampler(sampler);
  }
  std::unique_ptr<PreparedNetwork> prepare_network(const TrainedNetwork& network, Precision precision,
                                                   int64_t block_rows) const override {
    return cpu_->prepare_network(network, precision, block_rows);
  }
  std::unique_ptr<PreparedTrainer> prepare_trainer(const TrainableNetwork& network, int64_t batch_rows) const override {
    return cpu_->prepare_trainer(network, batch_rows);
  }
  void accumulate_co_moments(const MaskedMatrix& values, CoMoments& moments) const override {
    cpu_->accumulate_co_moments(values, moments);
  }
  SymmetricEigen symmetric_eigen(std::span<const double> matrix, int64_t order) const override {
    return cpu_->symmetric_eigen(matrix, order);
  }
  std::unique_ptr<PreparedPositions<int64_t>> prepare_positions(std::span<const int64_t> sorted) const override {
    return cpu_->prepare_positions(sorted);
  }
  std::unique_ptr<PreparedPositions<double>> prepare_positions(std::span<const double> sorted) const override {
    return cpu_->prepare_positions(sorted);
  }
  std::unique_ptr<PreparedMixtureRows> prepare_mixture_rows(const MixtureRows& rows, int32_t variables,
                                                            int32_t latents) const override {
    return cpu_->prepare_mixture_rows(rows, variables, latents);
  }
  std::unique_ptr<PreparedFactorRows> prepare_factor_rows(const MixtureRows& rows, int32_t variables,
                                                          int32_t latents) const override {
    return cpu_->prepare_factor_rows(rows, variables, latents);
  }
  std::unique_ptr<PreparedScores> prepare_scores(const MixtureScores& mixture) const override {
    ++prepared;
    return std::make_unique<PlainScores>(mixture);
  }
  void sort_ascending(std::span<int64_t> values) const override { cpu_->sort_ascending(values); }
  std::unique_ptr<PreparedPairCounts> prepare_pair_counts(const CodedColumns& columns) const override {
    return cpu_->prepare_pair_counts(columns);
  }
  std::unique_ptr<PreparedProducts> prepare_products(const ProductMatrices& matrices) const override {
    return cpu_->prepare_products(matrices);
  }
  std::vector<float> nearest_distances(const Points& queries, const Points& references) const override {
    return cpu_->nearest_distances(queries, references);
  }
  mutable int prepared = 0;

 private:
  std::unique_ptr<Backend> cpu_ = make_backend("cpu");
};

struct Scored {
  std::vector<double> score, contribution, usual;
};
Scored scores_of(DensityWorker& worker, const Table& table, int64_t first, int64_t rows,
                 const std::vector<Knowledge>& knowledge) {
  const size_t cells = static_cast<size_t>(rows) * knowledge.size();
  Scored scored{std::vector<double>(static_cast<size_t>(rows)), std::vector<double>(cells), std::vector<double>(cells)};
  worker.score(table, first, rows, knowledge, scored.score, scored.contribution, scored.usual);
  return scored;
}

// Rows of the recipe's own with gaps, levels and numbers that it never makes.
Table strange_table(const TableRecipe& recipe, size_t rows) {
  const auto sampled =
      sample(*make_table_generator(std::make_shared<TableRecipe>(recipe), 4, cpu()), static_cast<int64_t>(rows));
  std::vector<std::vector<double>> values(rows);
  for (size_t row = 0; row < rows; ++row)
    for (size_t c = 0; c < sampled.columns.size(); ++c) {
      const bool is_discrete_column = is_discrete(recipe.schema.columns[c].kind);
      const size_t kind = (row * 7 + c * 5) % 11;
      values[row].push_back(kind == 0   ? kNothing
                            : kind == 1 ? (is_discrete_column ? kUnseenCode : 1e6)
                            : kind == 2 ? (is_discrete_column ? 0 : -7.5)
                                        : sampled.columns[c][row]);
    }
  return table_of(recipe.schema, values);
}

TEST(ScoredByBackend, ToTheBitsOfTheEngine) {
  const ScoringBackend backend;
  for (const int32_t members : {1, 3, 6}) {
    const TableRecipe recipe = mixture_recipe(members);
    const auto density = make_mixture_density(std::make_shared<TableRecipe>(recipe), 999);
    const Table table = strange_table(recipe, 200);
    const size_t columns = recipe.schema.columns.size();
    std::vector<std::vector<Knowledge>> known{std::vector(columns, Knowledge::kGiven)};
    for (size_t c = 0; c < columns; ++c)
      for (const Knowledge of_column : {Knowledge::kNone, Knowledge::kPresent}) {
        known.push_back(known.front());
        known.back()[c] = of_column;
      }
    for (const int64_t most_bytes : {kWorkerBytes, int64_t{4000}, int64_t{0}}) {  // forgets now and then, or always
      const auto own = density->make_worker(), by_backend = density->make_worker(most_bytes, &backend);
      for (const std::vector<Knowledge>& knowledge : known)
        for (const auto& [first, rows] : {std::pair(0, 200), std::pair(30, 7), std::pair(200, 0)}) {
          const Scored wanted = scores_of(*own, table, first, rows, knowledge);
          const Scored found = scores_of(*by_backend, table, first, rows, knowledge);
          EXPECT_EQ(found.score, wanted.score) << members << " members, " << most_bytes << " bytes";
          EXPECT_EQ(found.contribution, wanted.contribution);
          EXPECT_EQ(found.usual, wanted.usual);
        }
    }
  }
  EXPECT_EQ(backend.prepared, 9);
}

TEST(ScoredByBackend, CompletionBetweenScoresChangesNothing) {
  const ScoringBackend backend;
  const TableRecipe recipe = mixture_recipe(4);
  const auto density = make_mixture_density(std::make_shared<TableRecipe>(recipe), 999);
  const Table table = strange_table(recipe, 60);
  const std::vector<Knowledge> knowledge(recipe.schema.columns.size(), Knowledge::kGiven);
  const auto own = density->make_worker(), by_backend = density->make_worker(3000, &backend);
  std::vector<SampledValue> values(knowledge.size());
  std::vector<Knowledge> less = knowledge;
  less[0] = Knowledge::kNone;
  for (int64_t first = 0; first < 60; first += 20) {
    EXPECT_EQ(scores_of(*by_backend, table, first, 20, knowledge).contribution,
              scores_of(*own, table, first, 20, knowledge).contribution);
    for (int64_t row = first; row < first + 20; ++row)
      by_backend->complete(table, row, less, Completion::kDraw, 1, static_cast<uint64_t>(row), values);
  }
}

void expect_near(const std::vector<double>& found, const std::vector<double>& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < found.size(); ++i)
    EXPECT_NEAR(found[i], wanted[i], 1e-9 * (1 + std::abs(wanted[i]))) << "score " << i;
}

TEST(ScoredByBackend, FactorAnalysersButForRounding) {
  const ScoringBackend backend;
  for (const int32_t members : {1, 3, 6}) {
    const TableRecipe recipe = low_rank_recipe(members);
    const auto density = make_mixture_density(std::make_shared<TableRecipe>(recipe), 999);
    const Table table = strange_table(recipe, 100);
    const size_t columns = recipe.schema.columns.size();
    std::vector<std::vector<Knowledge>> known{std::vector(columns, Knowledge::kGiven)};
    for (size_t c = 0; c < columns; ++c) {
      known.push_back(known.front());
      known.back()[c] = Knowledge::kNone;
    }
    for (const int64_t most_bytes : {kWorkerBytes, int64_t{4000}}) {
      const auto own = density->make_worker(), by_backend = density->make_worker(most_bytes, &backend);
      for (const std::vector<Knowledge>& knowledge : known) {
        const Scored wanted = scores_of(*own, table, 0, 100, knowledge);
        const Scored found = scores_of(*by_backend, table, 0, 100, knowledge);
        expect_near(found.score, wanted.score);
        expect_near(found.contribution, wanted.contribution);
        expect_near(found.usual, wanted.usual);
      }
    }
  }
  EXPECT_EQ(backend.prepared, 6);
}

// A backend's rows leave the engine's own arithmetic undone, which completion needs.
TEST(ScoredByBackend, CompletionByFactorAnalysersBetweenScores) {
  const ScoringBackend backend;
  const TableRecipe recipe = low_rank_recipe(4);
  const auto density = make_mixture_density(std::make_shared<TableRecipe>(recipe), 999);
  const Table table = strange_table(recipe, 40);
  const std::vector<Knowledge> knowledge(recipe.schema.columns.size(), Knowledge::kGiven);
  std::vector<Knowledge> less = knowledge;
  less[3] = Knowledge::kNone;
  const auto by_backend = density->make_worker(kWorkerBytes, &backend);
  std::vector<SampledValue> wanted(knowledge.size()), found(knowledge.size());
  for (int64_t row = 0; row < 40; ++row) {
    const auto own = density->make_worker();  // which has seen no other row
    scores_of(*by_backend, table, row, 1, knowledge);
    by_backend->complete(table, row, less, Completion::kDraw, 1, static_cast<uint64_t>(row), found);
    own->complete(table, row, less, Completion::kDraw, 1, static_cast<uint64_t>(row), wanted);
    EXPECT_EQ(found[3].integer, wanted[3].integer) << "row " << row;
  }
}

}  // namespace
}  // namespace doppel
