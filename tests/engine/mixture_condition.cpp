// Rows of a mixture under conditions: against rejection (rows of the whole mixture of which those that meet the
// conditions are kept), against two Gaussians worked out by hand, and in the far tails.
#include "engine/models/mixture/mixture_condition.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>

#include "engine/models/mixture/conditioned_rows.h"
#include "engine/models/mixture/mixture_view.h"
#include "kernels/common/error.h"
#include "tests/engine/mixture_cases.h"

namespace doppel {
namespace {

const Backend& cpu() {
  static const std::unique_ptr<Backend> backend = make_backend("cpu");
  return *backend;
}

std::shared_ptr<const ConditionedMixture> condition(const TableRecipe& recipe, const std::string& text) {
  return std::make_shared<const ConditionedMixture>(condition_mixture(recipe, parse_conditions(text, recipe.schema)));
}

// [rows][columns]
using Rows = std::vector<std::vector<SampledValue>>;

Rows rows_of(const Generator& generator, uint64_t first_row, int64_t count, int64_t batch_rows) {
  Batch batch(generator.schema(), batch_rows);
  const std::unique_ptr<RowSampler> sampler = generator.make_sampler();
  Rows rows;
  for (int64_t first = 0; first < count; first += batch_rows) {
    sampler->sample(first_row + static_cast<uint64_t>(first), std::min(batch_rows, count - first), batch);
    for (int64_t i = 0; i < batch.rows; ++i) {
      std::vector<SampledValue>& row = rows.emplace_back(batch.columns());
      for (size_t c = 0; c < batch.columns(); ++c) {
        const void* values = batch.buffer(c).values;
        row[c].is_missing = !batch.is_present(c, i);
        if (values == nullptr) continue;
        switch (generator.schema().columns[c].storage) {
          case Storage::kInt32:
            row[c].integer = static_cast<const int32_t*>(values)[i];
            break;
          case Storage::kInt64:
            row[c].integer = static_cast<const int64_t*>(values)[i];
            break;
          case Storage::kFloat32:
            row[c].real = static_cast<double>(static_cast<const float*>(values)[i]);
            break;
          case Storage::kFloat64:
            row[c].real = static_cast<const double*>(values)[i];
        }
      }
    }
  }
  return rows;
}

bool meets(const std::vector<SampledValue>& row, const Conditions& conditions, const TableSchema& schema) {
  return std::all_of(conditions.begin(), conditions.end(), [&](const ColumnCondition& condition) {
    const SampledValue& value = row[condition.column];
    if (value.is_missing) return condition.allows_missing;
    const ColumnKind kind = schema.columns[condition.column].kind;
    return kind == ColumnKind::kReal ? condition.allows(value.real) : condition.allows(value.integer);
  });
}

// A value's number among a few bins.
int bin_of(const SampledValue& value) {
  if (value.is_missing) return 0;
  return 20 + static_cast<int>(value.integer) + static_cast<int>(std::floor(value.real * 2));
}

// That two tables have the same distribution of a function of their rows, by a two-sample chi-squared statistic. Bins
// of few rows are joined. 5 sigma of its normal approximation, with room for its skewness.
template <class Function>
void expect_alike(const Rows& a, const Rows& b, const std::string& what, Function bin) {
  std::map<int, std::array<double, 2>> counts;
  for (const auto& row : a) ++counts[bin(row)][0];
  for (const auto& row : b) ++counts[bin(row)][1];
  std::array<double, 2> rest{};
  const double ratio = std::sqrt(static_cast<double>(b.size()) / static_cast<double>(a.size()));
  double statistic = 0, bins = 0;
  const auto add = [&](const std::array<double, 2>& count) {
    const double difference = count[0] * ratio - count[1] / ratio;
    statistic += difference * difference / (count[0] + count[1]);
    ++bins;
  };
  for (const auto& [of_bin, count] : counts) {
    if (count[0] + count[1] >= 20) {
      add(count);
    } else {
      rest[0] += count[0], rest[1] += count[1];
    }
  }
  if (rest[0] + rest[1] >= 20) add(rest);
  EXPECT_LT(statistic, bins + 5 * std::sqrt(2 * bins) + 15) << what << ": " << bins << " bins";
}

class AgainstRejection : public testing::TestWithParam<const char*> {};

TEST_P(AgainstRejection, EveryColumnAndPairIsDistributedAlike) {
  constexpr int64_t kRows = 300'000;
  const TableRecipe recipe = mixture_recipe(4);
  const Conditions conditions = parse_conditions(GetParam(), recipe.schema);
  static const Rows whole =
      rows_of(*make_table_generator(std::make_shared<const TableRecipe>(recipe), 11, cpu()), 0, kRows, 10'000);
  Rows kept;
  for (const auto& row : whole)
    if (meets(row, conditions, recipe.schema)) kept.push_back(row);
  ASSERT_GT(kept.size(), 300u);

  const auto mixture = condition(recipe, GetParam());
  const Rows rows = rows_of(*make_conditioned_generator(mixture, 12, cpu()), 0, 60'000, 7'000);
  for (const auto& row : rows) ASSERT_TRUE(meets(row, conditions, recipe.schema));
  for (size_t c = 0; c < recipe.schema.columns.size(); ++c)
    for (size_t d = 0; d <= c; ++d)
      expect_alike(kept, rows, recipe.schema.columns[c].name + " and " + recipe.schema.columns[d].name,
                   [&](const auto& row) { return 1000 * bin_of(row[c]) + bin_of(row[d]); });

  const double share = static_cast<double>(kept.size()) / kRows, acceptance = acceptance_of(*mixture);
  EXPECT_NEAR(mixture->probability * acceptance, share,
              5 * std::sqrt(share / kRows) + 0.01 * share * mixture->is_bound);
  EXPECT_GT(acceptance, 0.3);
}

INSTANTIATE_TEST_SUITE_P(Conditions, AgainstRejection,
                         testing::Values("category=b", "category is missing", "category!=a and truth=no",
                                         "number is missing", "number=-7.5", "number is present and truth=no",
                                         "number<1.7", "number>1.6 and number<1.8", "number>=-7.5", "whole=4",
                                         "whole!=4", "whole in {0, 4, 8}", "whole>=3 and category in {a, c}",
                                         "whole between 2 and 5 and number<1.7", "whole>4 and number>1.6",
                                         "whole in {3, 5} and number>1.5 and number<1.9 and truth=yes",
                                         "whole<4 and number is missing and category=a"));

// x and y of two Gaussians, on axes without transforms worth speaking of.
struct Gaussian {
  double weight, mean[2], factor[2][2], residual[2];
};
constexpr Gaussian kPair[2] = {{0.3, {-0.5, 0.25}, {{0.75, 0}, {0.5, 0.25}}, {0, 0.5}},
                               {0.7, {1, -0.125}, {{0.5, 0.5}, {-0.25, 0.125}}, {0.25, 0}}};

TableRecipe two_gaussians() {
  TableRecipe recipe;
  recipe.schema.columns.resize(2);
  recipe.texts.resize(2);
  recipe.sampled = {0, 1};
  TableSampler& sampler = recipe.sampler;
  sampler.members = 2;
  sampler.latents = sampler.components = 2;
  for (int m = 0; m < 2; ++m) {
    for (int l = 0; l < 2; ++l) {
      sampler.mean.push_back(static_cast<float>(kPair[m].mean[l]));
      sampler.residual.push_back(static_cast<float>(kPair[m].residual[l]));
      for (int k = 0; k < 2; ++k) sampler.factor.push_back(static_cast<float>(kPair[m].factor[l][k]));
    }
  }
  add_entry(sampler.member, 0.6, 0, 1);
  add_entry(sampler.member, 0, 1, 1);
  for (int c = 0; c < 2; ++c) {
    recipe.schema.columns[c].name = c == 0 ? "x" : "y";
    recipe.schema.columns[c].kind = ColumnKind::kReal;
    ColumnSampler& column = sampler.columns.emplace_back();
    column.storage = Storage::kFloat64;
    column.latent = c;
    column.lower = {-kScoreLimit};  // value = z + 6
    column.real_base = {0}, column.real_top = {12}, column.real_slope = {1};
  }
  return recipe;
}

double covariance(const Gaussian& g, int i, int j) {
  return g.factor[i][0] * g.factor[j][0] + g.factor[i][1] * g.factor[j][1] + (i == j) * g.residual[i] * g.residual[i];
}

TEST(MixtureCondition, AFixedNumberGivesTheConditionalGaussians) {
  const double x = 0.625;
  const auto mixture = condition(two_gaussians(), "x=6.625");
  EXPECT_TRUE(mixture->is_density);
  EXPECT_TRUE(mixture->cells.empty());
  double density[2], total = 0;
  for (int m = 0; m < 2; ++m) {
    const double variance = covariance(kPair[m], 0, 0), z = x - kPair[m].mean[0];
    density[m] = kPair[m].weight * std::exp(-0.5 * z * z / variance) / std::sqrt(2 * std::acos(-1.0) * variance);
    total += density[m];
  }
  EXPECT_NEAR(mixture->probability, total, 1e-8);
  const MixtureView view(mixture->recipe);
  EXPECT_EQ(mixture->recipe.sampler.components, 2);  // three with x's own noise, of which one is fixed
  for (size_t m = 0; m < 2; ++m) {
    const Gaussian& g = kPair[m];
    const double slope = covariance(g, 0, 1) / covariance(g, 0, 0);
    EXPECT_NEAR(view.weight[m], density[m] / total, 1e-6);
    EXPECT_NEAR(view.mean[2 * m + 1], g.mean[1] + slope * (x - g.mean[0]), 1e-6);
    EXPECT_NEAR(view.covariance[4 * m + 3], covariance(g, 1, 1) - slope * covariance(g, 0, 1), 1e-6);
    EXPECT_EQ(view.covariance[4 * m], 0);
  }
  for (const auto& row : rows_of(*make_conditioned_generator(mixture, 1, cpu()), 0, 1000, 1000))
    ASSERT_EQ(row[0].real, 6.625);
}

// A fixed number beside a bounded one, against the number within a short range.
TEST(MixtureCondition, AFixedNumberIsTheLimitOfShortRanges) {
  const TableRecipe recipe = mixture_recipe(4);
  const auto rows_where = [&](const std::string& text) {
    return rows_of(*make_conditioned_generator(condition(recipe, text), 8, cpu()), 0, 60'000, 60'000);
  };
  const Rows fixed = rows_where("number=1.75 and whole>2"),
             close = rows_where("number between 1.7499 and 1.7501 and whole>2");
  for (const auto& row : fixed) ASSERT_EQ(row[0].real, 1.75);
  expect_alike(fixed, close, "all but the number",
               [](const auto& row) { return 1000 * bin_of(row[1]) + 100 * bin_of(row[2]) + bin_of(row[3]); });
}

TEST(MixtureCondition, AnIntervalWeighsMembersByItsProbability) {
  const auto mixture = condition(two_gaussians(), "x>=6.5 and x<7.25");
  double part[2], total = 0;
  for (int m = 0; m < 2; ++m) {
    const double scale = std::sqrt(2 * covariance(kPair[m], 0, 0));
    part[m] = kPair[m].weight * 0.5 *
              (std::erfc((0.5 - kPair[m].mean[0]) / scale) - std::erfc((1.25 - kPair[m].mean[0]) / scale));
    total += part[m];
  }
  EXPECT_NEAR(mixture->probability, total, 1e-6);
  const MixtureView view(mixture->recipe);
  for (size_t m = 0; m < 2; ++m) {
    EXPECT_NEAR(view.weight[m], part[m] / total, 1e-6);
    // The rotation changes no covariance.
    for (int i = 0; i < 2; ++i)
      for (int j = 0; j < 2; ++j)
        EXPECT_NEAR(view.covariance[4 * m + 2 * static_cast<size_t>(i) + static_cast<size_t>(j)],
                    covariance(kPair[m], i, j), 1e-6);
  }
}

TEST(MixtureCondition, RareEventsAreDrawnAtOnce) {
  for (const char* text : {"x>11.5", "x>10.5 and y<3", "x<2.2 and y>9", "x between 10.3 and 10.31 and y>8.5"}) {
    const TableRecipe recipe = two_gaussians();
    const auto mixture = condition(recipe, text);
    EXPECT_LT(mixture->probability, 1e-9) << text;
    EXPECT_GT(acceptance_of(*mixture), 0.2) << text;
    const Conditions conditions = parse_conditions(text, recipe.schema);
    for (const auto& row : rows_of(*make_conditioned_generator(mixture, 5, cpu()), 0, 5000, 5000))
      ASSERT_TRUE(meets(row, conditions, recipe.schema)) << text;
  }
}

TEST(MixtureCondition, RowsDoNotDependOnBatches) {
  const auto generator = make_conditioned_generator(condition(mixture_recipe(4), "whole>4 and number>1.6"), 3, cpu());
  const uint64_t first = (uint64_t{1} << 32) - 300;
  const Rows all = rows_of(*generator, first, 700, 700);
  for (const int64_t batch : {1, 7, 255, 256, 257}) {
    const Rows again = rows_of(*generator, first, 700, batch);
    for (size_t i = 0; i < all.size(); ++i)
      for (size_t c = 0; c < all[i].size(); ++c) {
        ASSERT_EQ(all[i][c].integer, again[i][c].integer);
        ASSERT_EQ(all[i][c].is_missing, again[i][c].is_missing);
        ASSERT_EQ(std::memcmp(&all[i][c].real, &again[i][c].real, sizeof(double)), 0);
      }
  }
}

TEST(MixtureCondition, ImpossibleConditionsAreRefused) {
  const TableRecipe recipe = mixture_recipe(4);
  for (const char* text : {"whole>100", "number=-7.25", "category=a and truth=yes", "number between 1.1 and 1.4"})
    EXPECT_THROW(condition(recipe, text), UsageError) << text;
  EXPECT_THROW(condition(two_gaussians(), "x in {6.5, 7}"), UsageError);
  EXPECT_NO_THROW(condition(two_gaussians(), "x in {6.5}"));
}

}  // namespace
}  // namespace doppel
