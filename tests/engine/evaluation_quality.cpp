#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>
#include <random>

#include "engine/evaluation/evaluation.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"
#include "tests/engine/evaluation_tables.h"

namespace doppel {
namespace {

Evaluation evaluate(const TableMaker& real, const TableMaker& synthetic) {
  return evaluate_quality(real.schema, real.table, synthetic.table, *make_backend("cpu"));
}

TEST(EvaluationQuality, KsComplementOfAHandComputedCase) {
  // After 2: 2 of 4 real values and 1 of 4 synthetic ones; after 3: 3 of 4 and 1 of 4, the largest distance.
  const Evaluation result = evaluate(TableMaker().integers({1, 2, 3, 4}), TableMaker().integers({2, 4, 5, 6}));
  EXPECT_DOUBLE_EQ(result.columns[0].shape_score, 1 - 0.5);
  EXPECT_EQ(result.columns[0].metric, "KSComplement");
}

TEST(EvaluationQuality, KsComplementOrdersNegativeAndFractionalReals) {
  const Evaluation result =
      evaluate(TableMaker().reals({-2.5, -1e-3, 0.0, 1e9}), TableMaker().reals({-2.5, -1e-3, -0.0, 1e9}));
  EXPECT_DOUBLE_EQ(result.columns[0].shape_score, 1);
  const Evaluation apart = evaluate(TableMaker().reals({-3.0, -2.0}), TableMaker().reals({-1.0, 1.0}));
  EXPECT_DOUBLE_EQ(apart.columns[0].shape_score, 0);
}

TEST(EvaluationQuality, TvComplementOfAHandComputedCase) {
  // Shares .5 .5 0 against .25 .25 .5: half the sum of differences is .5.
  const Evaluation result = evaluate(TableMaker().categories({0, 0, 1, 1}, {"a", "b", "c"}),
                                     TableMaker().categories({0, 1, 2, 2}, {"a", "b", "c"}));
  EXPECT_DOUBLE_EQ(result.columns[0].shape_score, 0.5);
  EXPECT_DOUBLE_EQ(result.columns[0].category_coverage, 1);
  EXPECT_DOUBLE_EQ(result.columns[0].category_adherence, 0.5);
}

TEST(EvaluationQuality, UnseenLevelsCountAsShareTheRealTableDoesNotHave) {
  const Evaluation result =
      evaluate(TableMaker().categories({0, 1}, {"a", "b"}), TableMaker().categories({kUnseenCode, 0}, {"a", "b"}));
  EXPECT_DOUBLE_EQ(result.columns[0].shape_score, 0.5);
  EXPECT_DOUBLE_EQ(result.columns[0].category_coverage, 0.5);
  EXPECT_DOUBLE_EQ(result.columns[0].category_adherence, 0.5);
  EXPECT_EQ(result.columns[0].unseen_rows, 1);
  ASSERT_EQ(result.notes.size(), 1u);
  EXPECT_NE(result.notes[0].find("column 0"), std::string::npos);
}

TEST(EvaluationQuality, CorrelationSimilarityOfOppositeSignsIsZero) {
  const Evaluation result = evaluate(TableMaker().integers({1, 2, 3}).integers({1, 2, 3}),
                                     TableMaker().integers({1, 2, 3}).integers({3, 2, 1}));
  ASSERT_EQ(result.pairs.size(), 1u);
  EXPECT_NEAR(result.pairs[0].real_correlation, 1, 1e-15);
  EXPECT_NEAR(result.pairs[0].synthetic_correlation, -1, 1e-15);
  EXPECT_NEAR(result.pairs[0].trend_score, 0, 1e-15);
  EXPECT_TRUE(result.pairs[0].meets_threshold);
}

TEST(EvaluationQuality, ContingencySimilarityAndCramersVOfAHandComputedCase) {
  const std::vector<std::string> levels = {"a", "b"};
  // Real: only (a, a) and (b, b); synthetic: every combination once. Half of the shares differ by 1/4 each way.
  const Evaluation result = evaluate(TableMaker().categories({0, 0, 1, 1}, levels).categories({0, 0, 1, 1}, levels),
                                     TableMaker().categories({0, 0, 1, 1}, levels).categories({0, 1, 0, 1}, levels));
  EXPECT_DOUBLE_EQ(result.pairs[0].trend_score, 0.5);
  EXPECT_DOUBLE_EQ(result.pairs[0].real_association, 1);
  EXPECT_DOUBLE_EQ(result.pairs[0].synthetic_association, 0);
}

TEST(EvaluationQuality, ThresholdsLeaveWeakPairsOutOfTheAverage) {
  const std::vector<std::string> levels = {"a", "b"};
  const Evaluation result = evaluate(
      TableMaker().categories({0, 0, 1, 1}, levels).categories({0, 0, 1, 1}, levels).categories({0, 1, 0, 1}, levels),
      TableMaker().categories({0, 0, 1, 1}, levels).categories({0, 1, 0, 1}, levels).categories({0, 1, 0, 1}, levels));
  // Pairs: (0, 1) strong, scores 0.5; (0, 2) weak, 1; (1, 2) weak, 0.5.
  EXPECT_DOUBLE_EQ(result.with_thresholds.trends, 0.5);
  EXPECT_DOUBLE_EQ(result.classic.trends, 2.0 / 3);
  EXPECT_DOUBLE_EQ(result.classic.overall, (1 + 2.0 / 3) / 2);
}

TEST(EvaluationQuality, MissingShareRangeAndBoundariesOfAHandComputedCase) {
  const Evaluation result = evaluate(TableMaker().integers({0, 10, std::nullopt, 5}),
                                     TableMaker().integers({2, 9, std::nullopt, std::nullopt, 12, 3, 3, 3}));
  const ColumnEvaluation& column = result.columns[0];
  EXPECT_DOUBLE_EQ(column.missing_value_similarity, 1);
  EXPECT_DOUBLE_EQ(column.range_coverage, 0.8);          // 0 to 2 is not covered
  EXPECT_DOUBLE_EQ(column.boundary_adherence, 5.0 / 6);  // 12 is beyond
}

// Pearson's r over the rows in which both are there, in long double.
double correlate(const std::vector<std::optional<double>>& x, const std::vector<std::optional<double>>& y) {
  long double count = 0, mean_x = 0, mean_y = 0, xx = 0, yy = 0, xy = 0;
  for (const bool sums_squares : {false, true}) {
    for (size_t i = 0; i < x.size(); ++i) {
      if (!x[i] || !y[i]) continue;
      const long double dx = *x[i] - mean_x, dy = *y[i] - mean_y;
      if (sums_squares)
        xx += dx * dx, yy += dy * dy, xy += dx * dy;
      else
        count += 1, xy += dx, yy += dy;
    }
    if (!sums_squares) mean_x = xy / count, mean_y = yy / count, xy = yy = 0;
  }
  return static_cast<double>(xy / std::sqrt(xx * yy));
}

TEST(EvaluationQuality, CorrelationsOfManyRowsWithGapsAreThoseOfTheRowsThatAreThere) {
  constexpr size_t kColumns = 16, kRows = 70'000;  // more than are summed at a time
  std::mt19937 random(3);
  std::normal_distribution<double> normal;
  for (const double gaps : {0.0, 0.2}) {
    std::vector<std::vector<std::optional<double>>> columns(kColumns);
    for (size_t row = 0; row < kRows; ++row) {
      const double shared = normal(random);
      for (size_t j = 0; j < kColumns; ++j) {
        const double scale = std::pow(10.0, static_cast<double>(j) - 8);
        const double value = scale * (normal(random) + static_cast<double>(j % 3) * shared + 100);
        const bool is_missing = j % 2 == 1 && std::uniform_real_distribution<>()(random) < gaps;
        columns[j].push_back(is_missing ? std::nullopt : std::optional(value));
      }
    }
    TableMaker table;
    for (const auto& column : columns) table.reals(column);
    for (const PairEvaluation& pair : evaluate(table, table).pairs) {
      EXPECT_NEAR(pair.real_correlation, correlate(columns[pair.first], columns[pair.second]), 1e-12)
          << pair.first << ", " << pair.second;
      EXPECT_EQ(pair.real_correlation, pair.synthetic_correlation);
    }
  }
}

// What is common to two columns may vary much less than either, or not at all.
TEST(EvaluationQuality, CorrelationsOfRowsThatHardlyVary) {
  std::vector<std::optional<double>> x, nearly, constant, other;
  std::mt19937 random(4);
  std::normal_distribution<double> normal;
  for (int row = 0; row < 100; ++row) {
    const bool is_common = row % 2 == 0;
    other.push_back(is_common ? std::optional(normal(random)) : std::nullopt);
    nearly.push_back(is_common ? 3 + 1e-7 * (normal(random) + *other.back()) : 1e3 * row);
    constant.push_back(is_common ? 1.0 / 3 : 1e3 * row);
    x.push_back(1e200 * normal(random));
  }
  const Evaluation result = evaluate(TableMaker().reals(other).reals(nearly).reals(constant).reals(x),
                                     TableMaker().reals(other).reals(nearly).reals(constant).reals(x));
  const auto of = [&](size_t first, size_t second) {
    for (const PairEvaluation& pair : result.pairs)
      if (pair.first == first && pair.second == second) return pair.real_correlation;
    return kUndefined;
  };
  EXPECT_NEAR(of(0, 1), correlate(other, nearly), 1e-9);
  EXPECT_TRUE(std::isnan(of(0, 2)));
  EXPECT_NEAR(of(0, 3), correlate(other, x), 1e-12);  // though no double holds a square of x
}

TEST(EvaluationQuality, ConstantColumnsHaveNoCorrelationAndLeaveTheAverageAlone) {
  const Evaluation result = evaluate(TableMaker().integers({1, 2, 3}).integers({7, 7, 7}),
                                     TableMaker().integers({1, 2, 3}).integers({7, 7, 7}));
  EXPECT_DOUBLE_EQ(result.columns[1].shape_score, 1);
  EXPECT_TRUE(std::isnan(result.pairs[0].trend_score));
  EXPECT_TRUE(std::isnan(result.classic.trends));
  EXPECT_DOUBLE_EQ(result.classic.overall, 1);
}

TEST(EvaluationQuality, EmptyColumnsAndKeysAreSkipped) {
  TableMaker real, synthetic;
  for (TableMaker* maker : {&real, &synthetic})
    maker->integers({1, 2}).add<int>(ColumnKind::kEmpty, {std::nullopt, std::nullopt});
  const Evaluation result = evaluate(real, synthetic);
  EXPECT_EQ(result.columns[1].shape, ColumnShape::kSkipped);
  EXPECT_TRUE(result.pairs.empty());
  EXPECT_DOUBLE_EQ(result.classic.shapes, 1);
}

TEST(EvaluationQuality, HugeAndInfiniteNumbersAreScored) {
  const double infinity = std::numeric_limits<double>::infinity();
  const int64_t huge = 1'000'000'000'000'000'000;
  const TableMaker table =
      TableMaker().reals({-1.7e308, 1.7e308, infinity}).integers({huge, huge, huge}).categories({0, 1, 1}, {"a", "b"});
  const Evaluation result = evaluate(table, table);
  for (const ColumnEvaluation& column : result.columns) EXPECT_DOUBLE_EQ(column.shape_score, 1) << column.name;
  EXPECT_DOUBLE_EQ(result.columns[0].missing_share_real, 1.0 / 3);
}

TEST(EvaluationQuality, ATableWithoutRowsIsRefused) {
  EXPECT_THROW(evaluate(TableMaker().integers({1}), TableMaker().integers({})), InputError);
}

// A table of every shape with gaps.
TableMaker random_table(uint64_t seed, int64_t rows, const std::vector<int64_t>& order) {
  std::mt19937_64 generator(seed);
  std::vector<std::optional<int64_t>> integers(rows);
  std::vector<std::optional<double>> reals(rows);
  std::vector<std::optional<int>> codes(rows);
  for (int64_t row = 0; row < rows; ++row) {
    const auto draw = generator();
    if (draw % 10 != 0) integers[row] = static_cast<int64_t>(draw % 1000) - 500;
    if (draw % 7 != 0) reals[row] = static_cast<double>(draw >> 11) * 0x1p-53 + 1e-3 * static_cast<double>(draw % 1000);
    if (draw % 9 != 0) codes[row] = static_cast<int>(draw % 1000 / 300);
  }
  const auto permuted = [&](const auto& cells) {
    auto result = cells;
    for (int64_t row = 0; row < rows; ++row) result[row] = cells[order[row]];
    return result;
  };
  TableMaker maker;
  maker.integers(permuted(integers)).reals(permuted(reals)).categories(permuted(codes), {"p", "q", "r", "s"});
  return maker;
}

std::vector<int64_t> shuffled(int64_t rows, uint64_t seed) {
  std::vector<int64_t> order(rows);
  for (int64_t row = 0; row < rows; ++row) order[row] = row;
  if (seed != 0) std::shuffle(order.begin(), order.end(), std::mt19937_64(seed));
  return order;
}

TEST(EvaluationQuality, ATableComparedWithItselfScoresOne) {
  const TableMaker table = random_table(1, 1001, shuffled(1001, 0));
  const Evaluation result = evaluate(table, table);
  EXPECT_DOUBLE_EQ(result.classic.overall, 1);
  EXPECT_DOUBLE_EQ(result.with_thresholds.overall, 1);
  for (const ColumnEvaluation& column : result.columns) EXPECT_DOUBLE_EQ(column.shape_score, 1) << column.name;
}

TEST(EvaluationQuality, TheOrderOfRowsDoesNotMatter) {
  const TableMaker real = random_table(1, 777, shuffled(777, 0));
  const Evaluation one = evaluate(real, random_table(2, 777, shuffled(777, 0)));
  const Evaluation two = evaluate(real, random_table(2, 777, shuffled(777, 5)));
  EXPECT_LT(one.classic.overall, 0.999);
  for (size_t k = 0; k < one.pairs.size(); ++k) EXPECT_NEAR(one.pairs[k].trend_score, two.pairs[k].trend_score, 1e-12);
  for (size_t k = 0; k < one.columns.size(); ++k) EXPECT_EQ(one.columns[k].shape_score, two.columns[k].shape_score);
}

TEST(EvaluationQuality, LargeAndSmallContingencyTablesAgree) {
  // 1,500 levels twice make a table too large for an array; the same codes under few levels fit into one.
  std::vector<std::optional<int>> first, second;
  for (int row = 0; row < 5000; ++row) {
    first.push_back(row * 7919 % 13);
    second.push_back(row * 104729 % 11);
  }
  std::vector<std::string> many(1500), few(13);
  const std::vector<std::optional<int>> other(second.rbegin(), second.rend());
  const auto score = [&](const std::vector<std::string>& levels) {
    return evaluate(TableMaker().categories(first, levels).categories(second, levels),
                    TableMaker().categories(first, levels).categories(other, levels))
        .pairs[0];
  };
  const PairEvaluation large = score(many), small = score(few);
  EXPECT_DOUBLE_EQ(large.trend_score, small.trend_score);
  EXPECT_DOUBLE_EQ(large.real_association, small.real_association);
}

TEST(EvaluationQuality, DensitiesAndLevelSharesSumToOne) {
  const Evaluation result = evaluate(random_table(1, 500, shuffled(500, 0)), random_table(2, 500, shuffled(500, 0)));
  for (int j = 0; j < 2; ++j) {
    double real = 0, synthetic = 0;
    for (const double share : result.columns[j].density.real) real += share;
    for (const double share : result.columns[j].density.synthetic) synthetic += share;
    EXPECT_NEAR(real, 1, 1e-12);
    EXPECT_NEAR(synthetic, 1, 1e-12);
    EXPECT_EQ(result.columns[j].density.edges.size(), result.columns[j].density.real.size() + 1);
  }
  const LevelChart& chart = result.columns[2].level_shares;
  double sum = chart.other_real + chart.missing_real;
  for (const double share : chart.real) sum += share;
  EXPECT_NEAR(sum, 1, 1e-12);
}

}  // namespace
}  // namespace doppel
