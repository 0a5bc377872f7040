// Tables of more numbers than full covariances serve: what comes out where the law is known, a normal distribution of
// few factors under transforms of each column.
#include <gtest/gtest.h>

#include "engine/models/mixture/conditioned_rows.h"
#include "engine/models/mixture/mixture.h"
#include "engine/models/mixture/mixture_density.h"
#include "engine/models/mixture/mixture_view.h"
#include "tests/engine/model_cases.h"

namespace doppel {
namespace {

constexpr int kFactors = 5;

struct WideTable {
  std::vector<MemoryColumn> columns;
  std::vector<std::vector<double>> factor;   // [columns, kFactors]; the rest of a variance of 1 is a column's own
  std::vector<std::vector<double>> normals;  // [columns, rows] that the columns are exponentials of
  double correlation(size_t i, size_t j) const {
    double sum = 0;
    for (size_t k = 0; k < kFactors; ++k) sum += factor[i][k] * factor[j][k];
    return i == j ? 1 : sum;
  }
};

// A share of the cells is missing.
WideTable make_table(int columns, int rows, double gaps, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::uniform_real_distribution<double> uniform;
  WideTable table;
  for (int c = 0; c < columns; ++c) {
    std::vector<double>& of_column = table.factor.emplace_back();
    double square = 0;
    for (int k = 0; k < kFactors; ++k) of_column.push_back(normal(random)), square += of_column[k] * of_column[k];
    const double common = 0.4 + 0.5 * uniform(random);
    for (double& weight : of_column) weight *= std::sqrt(common / square);
    table.columns.push_back(real_column("n" + std::to_string(c), {}));
    table.normals.emplace_back();
  }
  for (int row = 0; row < rows; ++row) {
    double x[kFactors];
    for (double& factor : x) factor = normal(random);
    for (size_t c = 0; c < table.columns.size(); ++c) {
      double z = 0, own = 1;
      for (int k = 0; k < kFactors; ++k) z += table.factor[c][k] * x[k], own -= table.factor[c][k] * table.factor[c][k];
      table.normals[c].push_back(z + std::sqrt(own) * normal(random));
      const bool is_there = gaps == 0 || uniform(random) >= gaps;
      table.columns[c].reals.push_back(is_there ? std::exp(table.normals[c].back()) : 0);
      if (gaps > 0) table.columns[c].present.push_back(is_there);
    }
  }
  return table;
}

FitOptions with_members(const std::string& members) {
  FitOptions options = options_of("mixture");
  options.members = members;
  return options;
}

std::shared_ptr<const TableRecipe> recipe_of(const Model& model) {
  return std::make_shared<const TableRecipe>(
      load_table_recipe(parse_model_file(serialise(model.save()), "wide.doppel")));
}

double covariance(const MixtureView& view, size_t member, size_t i, size_t j) {
  const auto n = static_cast<size_t>(view.latents), rank = static_cast<size_t>(view.recipe.sampler.components);
  double sum = i == j ? view.residual[member * n + i] : 0;
  for (size_t k = 0; k < rank; ++k)
    sum += view.factor[(member * n + i) * rank + k] * view.factor[(member * n + j) * rank + k];
  return sum;
}

// Of 300 columns, with one member.
const WideTable& table_of_300() {
  static const WideTable table = make_table(300, 4000, 0, 1);
  return table;
}
const Model& model_of_300() {
  static const std::unique_ptr<Model> model = fit(table_of_300().columns, with_members("1"));
  return *model;
}

TEST(WideMixture, RecoversTheCovariance) {
  const auto recipe = recipe_of(model_of_300());
  const MixtureView view(*recipe);
  ASSERT_TRUE(view.is_low_rank());
  EXPECT_EQ(model_of_300().describe()["ranks"], nlohmann::json({kFactors}));
  double square = 0, pairs = 0;
  for (size_t i = 0; i < 300; ++i)
    for (size_t j = 0; j < i; ++j) {
      const double error = covariance(view, 0, i, j) - table_of_300().correlation(i, j);
      EXPECT_LT(std::abs(error), 6 / std::sqrt(4000)) << i << ' ' << j;
      square += error * error, pairs += 1;
    }
  // A sample's correlations themselves are off by (1 - r^2) / sqrt(rows), with a mean r^2 of 0.08.
  EXPECT_LT(std::sqrt(square / pairs), 1 / std::sqrt(4000));
}

TEST(WideMixture, SamplesHaveTheModelsMoments) {
  constexpr int kRows = 20000;
  const auto recipe = recipe_of(model_of_300());
  const MixtureView view(*recipe);
  Sampled sampled = sample(model_of_300(), kRows);
  for (auto& column : sampled.columns)
    for (double& value : column) value = std::log(value);
  constexpr double kTransform = 0.01;  // what tables for each column bend
  for (size_t i = 0; i < 300; i += 7) {
    const double mean = std::accumulate(sampled.columns[i].begin(), sampled.columns[i].end(), 0.0) / kRows;
    EXPECT_NEAR(mean, 0, 5 / std::sqrt(4000) + 5 / std::sqrt(kRows));  // the table's own mean is off, too
    for (size_t j = 0; j < i; j += 5) {
      const double r = covariance(view, 0, i, j);
      EXPECT_NEAR(correlation(sampled.columns[i], sampled.columns[j]), r,
                  5 * (1 - r * r) / std::sqrt(kRows) + kTransform)
          << i << ' ' << j;
    }
  }
}

TEST(WideMixture, ConditionsAgreeWithRejection) {
  constexpr int kRows = 30000;
  const ConditionedRows where = model_of_300().make_generator_where("n0>1.5 and n7<0.8", 3, cpu());
  const Sampled plain = sample(model_of_300(), kRows);
  const Sampled drawn = sample(*where.generator, 5000);
  const auto fits = [](const Sampled& rows, size_t row) {
    return rows.columns[0][row] > 1.5 && rows.columns[7][row] < 0.8;
  };
  std::vector<size_t> kept;
  for (size_t row = 0; row < kRows; ++row)
    if (fits(plain, row)) kept.push_back(row);
  for (size_t row = 0; row < 5000; ++row) ASSERT_TRUE(fits(drawn, row));
  ASSERT_GT(kept.size(), 1000u);
  const double probability = static_cast<double>(kept.size()) / kRows;
  EXPECT_NEAR(where.probability, probability, 4.5 * std::sqrt(probability / kRows) + 0.002);
  for (size_t c = 0; c < 300; ++c) {
    double mean[2] = {}, square[2] = {}, n[2] = {};
    const auto add = [&](int side, double value) { mean[side] += value, square[side] += value * value, n[side] += 1; };
    for (const size_t row : kept) add(0, std::log(plain.columns[c][row]));
    for (const double value : drawn.columns[c]) add(1, std::log(value));
    double error = 0;
    for (int side = 0; side < 2; ++side) {
      mean[side] /= n[side], square[side] = square[side] / n[side] - mean[side] * mean[side];
      error += square[side] / n[side];
    }
    EXPECT_NEAR(mean[0], mean[1], 4.5 * std::sqrt(error)) << c;
    EXPECT_NEAR(square[0] / square[1], 1, 4.5 * std::sqrt(2 / n[0] + 2 / n[1]) * 1.5) << c;  // not quite normal
  }
}

// The same mixture with components of nothing beside its own has no low rank to a view.
std::shared_ptr<const TableRecipe> as_full_rank(const TableRecipe& recipe) {
  auto full = std::make_shared<TableRecipe>(recipe);
  TableSampler& sampler = full->sampler;
  const auto rank = static_cast<size_t>(sampler.components), latents = static_cast<size_t>(sampler.latents);
  sampler.components = sampler.latents;
  sampler.factor.assign(static_cast<size_t>(sampler.members) * latents * latents, 0);
  for (size_t row = 0; row < static_cast<size_t>(sampler.members) * latents; ++row)
    std::copy_n(recipe.sampler.factor.begin() + static_cast<std::ptrdiff_t>(row * rank), rank,
                sampler.factor.begin() + static_cast<std::ptrdiff_t>(row * latents));
  return full;
}

TEST(WideMixture, ScoresAreThoseOfDenseCovariances) {
  const WideTable table = make_table(140, 600, 0.05, 2);
  const auto model = fit(table.columns, with_members("3"));
  const auto recipe = recipe_of(*model), full = as_full_rank(*recipe);
  ASSERT_TRUE(MixtureView(*recipe).is_low_rank());
  ASSERT_FALSE(MixtureView(*full).is_low_rank());
  constexpr size_t kRows = 6, kColumns = 140;
  std::vector<std::vector<double>> rows;
  for (size_t row = 0; row < kRows; ++row) {
    std::vector<double>& values = rows.emplace_back();
    for (size_t c = 0; c < kColumns; ++c)
      values.push_back(table.columns[c].present[row] != 0 ? table.columns[c].reals[row] : std::nan(""));
  }
  rows[1][4] = 1e9;
  const Table given = table_of(recipe->schema, rows);
  std::vector<double> score[2], contribution[2], usual[2];
  for (int side = 0; side < 2; ++side) {
    score[side].resize(kRows), contribution[side].resize(kRows * kColumns), usual[side].resize(kRows * kColumns);
    const auto density = make_mixture_density(side == 0 ? recipe : full, 600);
    density->make_worker()->score(given, 0, kRows, std::vector(kColumns, Knowledge::kGiven), score[side],
                                  contribution[side], usual[side]);
  }
  for (size_t row = 0; row < kRows; ++row)
    EXPECT_NEAR(score[0][row], score[1][row], 1e-9 * std::abs(score[1][row])) << row;
  for (size_t i = 0; i < kRows * kColumns; ++i) {
    EXPECT_NEAR(contribution[0][i], contribution[1][i], 1e-8 * std::max(1.0, std::abs(contribution[1][i]))) << i;
    EXPECT_NEAR(usual[0][i], usual[1][i], 1e-9) << i;
  }
}

TEST(WideMixture, FillsGapsFromTheRest) {
  // A tenth of the cells is missing, so that hardly two rows lack the same.
  const WideTable table = make_table(150, 2000, 0.1, 4);
  const auto model = fit(table.columns, with_members("1"));
  const auto density = model->density();
  const auto worker = density->make_worker();
  constexpr size_t kColumns = 150, kRows = 100;
  double error = 0, own = 0, cells = 0;
  for (size_t row = 0; row < kRows; ++row) {
    std::vector<std::vector<double>> rows(1);
    std::vector<Knowledge> knowledge;
    for (size_t c = 0; c < kColumns; ++c) {
      const bool is_there = table.columns[c].present[row] != 0;
      rows[0].push_back(is_there ? table.columns[c].reals[row] : std::nan(""));
      knowledge.push_back(is_there ? Knowledge::kGiven : Knowledge::kPresent);
    }
    std::vector<SampledValue> values(kColumns);
    // Draws: what is drawn is off by twice a column's own variance.
    worker->complete(table_of(model->schema(), rows), 0, knowledge, Completion::kDraw, 1, row, values);
    for (size_t c = 0; c < kColumns; ++c) {
      ASSERT_FALSE(values[c].is_missing);
      if (knowledge[c] == Knowledge::kGiven) {
        EXPECT_EQ(values[c].real, rows[0][c]);
        continue;
      }
      const double off = std::log(values[c].real) - table.normals[c][row];
      double shared = 0;
      for (const double weight : table.factor[c]) shared += weight * weight;
      error += off * off, own += 2 * (1 - shared), cells += 1;
    }
  }
  ASSERT_GT(cells, 1000);
  EXPECT_NEAR(error / own, 1, 0.1 + 4.5 * std::sqrt(2 / cells));  // the factors are not known without error
}

TEST(WideMixture, LearnsMoreRowsThanItHolds) {
  constexpr int kRows = 20000;
  const WideTable table = make_table(140, kRows, 0.02, 5);
  FitOptions options = with_members("2");
  options.memory_bytes = 1 << 20;  // 8,192 rows, and then a pass over all
  const auto recipe = recipe_of(*fit(table.columns, options));
  const MixtureView view(*recipe);
  ASSERT_TRUE(view.is_low_rank());
  for (size_t i = 0; i < 140; i += 3)
    for (size_t j = 0; j < i; j += 2) {
      double of_mixture = 0, mean_i = 0, mean_j = 0;
      for (size_t m = 0; m < 2; ++m) {
        const double a = view.mean[m * 140 + i], b = view.mean[m * 140 + j];
        of_mixture += view.weight[m] * (covariance(view, m, i, j) + a * b);
        mean_i += view.weight[m] * a, mean_j += view.weight[m] * b;
      }
      EXPECT_NEAR(of_mixture - mean_i * mean_j, table.correlation(i, j), 0.05) << i << ' ' << j;
    }
}

TEST(WideMixture, ReadsWhatItWroteAndKeepsTheRowLaw) {
  const auto columns = make_table(140, 500, 0.1, 6).columns;
  const auto model = fit(columns, options_of("auto"));
  EXPECT_EQ(model->kind(), "mixture");
  const std::vector<std::byte> bytes = serialise(model->save());
  EXPECT_EQ(serialise(fit(columns, options_of("auto"))->save()), bytes);
  const auto again = load_model(parse_model_file(bytes, "m.doppel"));
  EXPECT_EQ(serialise(again->save()), bytes);
  const Sampled whole = sample(*model, 300);
  EXPECT_EQ(sample(*again, 300).bytes, whole.bytes);
  EXPECT_EQ(sample(*model, 300, 1, [](int64_t) { return 77; }).bytes, whole.bytes);
}

}  // namespace
}  // namespace doppel
