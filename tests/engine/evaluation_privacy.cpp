// Privacy against a naive computation in double, and what it must say of copies, strangers and mixtures of both.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <random>

#include "engine/evaluation/evaluation.h"
#include "engine/table/cells.h"
#include "kernels/backend.h"
#include "kernels/common/error.h"
#include "tests/engine/evaluation_tables.h"

namespace doppel {
namespace {

Privacy privacy_of(const TableMaker& real, const Table& synthetic, const Table* holdout, uint64_t seed = 0) {
  return evaluate_privacy(real.schema, real.table, synthetic, holdout, *make_backend("cpu"), seed);
}

// Every kind of column, with gaps, ties, levels that are not of the schema (below `unseen`) and values out of range.
TableMaker every_kind(int64_t rows, uint64_t seed, double shift = 0) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<std::optional<double>> reals, infinite;
  std::vector<std::optional<int64_t>> integers, decimals, dates, keys;
  std::vector<std::optional<int>> flags, levels, constants;
  for (int64_t row = 0; row < rows; ++row) {
    const auto often = [&](unsigned one_in) { return random() % one_in != 0; };
    const double common = normal(random) + shift;
    reals.push_back(often(6) ? std::optional(common) : std::nullopt);
    infinite.push_back(often(20) ? common * 1e3 : std::numeric_limits<double>::infinity());
    integers.push_back(static_cast<int64_t>(random() % 4));
    decimals.push_back(often(3) ? std::optional(static_cast<int64_t>(100 * std::abs(normal(random)))) : std::nullopt);
    dates.push_back(static_cast<int64_t>(1'600'000'000 + 86'400 * (random() % 3000)));
    flags.push_back(common > 0);
    levels.push_back(often(9) ? std::optional(static_cast<int>(random() % 5) - (shift > 0 ? 1 : 0)) : std::nullopt);
    constants.push_back(often(5) ? std::optional(0) : std::nullopt);
    keys.push_back(row);
  }
  TableMaker maker;
  maker.reals(reals).reals(infinite).integers(integers);
  maker.add(ColumnKind::kDecimal, decimals).add(ColumnKind::kDatetime, dates);
  maker.add(ColumnKind::kBoolean, flags, {"no", "yes"}).categories(levels, {"a", "b", "c", "d", "e"});
  maker.add(ColumnKind::kConstant, constants, {"same"}).add(ColumnKind::kKey, keys).add(ColumnKind::kEmpty, keys);
  maker.schema.columns[3].decimals = 2;
  return maker;
}

// A cell as a number: NaN where missing, infinities too.
double cell(const TableMaker& maker, const Table& table, size_t j, int64_t row) {
  const Column& column = table.columns[j];
  if (column.is_missing(row)) return kUndefined;
  if (!column.reals.empty()) return std::isinf(column.reals[row]) ? kUndefined : column.reals[row];
  if (!column.codes.empty()) return column.codes[row];
  if (column.quanta.empty()) return 0;
  return static_cast<double>(column.quanta[row]) / (maker.schema.columns[j].kind == ColumnKind::kDecimal ? 100 : 1);
}

class NaiveDistance {
 public:
  explicit NaiveDistance(const TableMaker& real) : real_(real) {
    for (size_t j = 0; j < kColumns; ++j) {
      double low = 1e300, high = -1e300;
      for (int64_t row = 0; row < real.table.rows; ++row) {
        const double value = cell(real, real.table, j, row);
        if (!std::isnan(value)) low = std::min(low, value), high = std::max(high, value);
      }
      ranges_.push_back(high - low);
    }
  }
  double operator()(const Table& a, int64_t row_a, const Table& b, int64_t row_b) const {
    double sum = 0;
    for (size_t j = 0; j < kColumns; ++j) {
      const double x = cell(real_, a, j, row_a), y = cell(real_, b, j, row_b);
      if (std::isnan(x) || std::isnan(y))
        sum += std::isnan(x) != std::isnan(y);
      else if (is_numeric(real_.schema.columns[j].kind))
        sum += std::min(std::abs(x - y) / ranges_[j], 1.0);
      else
        sum += x != y;
    }
    return sum / kColumns;
  }
  std::vector<double> nearest(const Table& queries, const Table& references) const {
    std::vector<double> distances(queries.rows, 1e300);
    for (int64_t i = 0; i < queries.rows; ++i)
      for (int64_t k = 0; k < references.rows; ++k)
        distances[i] = std::min(distances[i], (*this)(queries, i, references, k));
    return distances;
  }

 private:
  static constexpr size_t kColumns = 8;  // all but the key and the empty one
  const TableMaker& real_;
  std::vector<double> ranges_;
};

// As numpy.percentile.
double naive_percentile(std::vector<double> values, double share) {
  std::sort(values.begin(), values.end());
  const double place = share * static_cast<double>(values.size() - 1);
  const size_t below = static_cast<size_t>(place), above = std::min(below + 1, values.size() - 1);
  return values[below] * (1 - (place - std::floor(place))) + values[above] * (place - std::floor(place));
}

TEST(EvaluationPrivacy, AgreesWithANaiveComputationOnEveryKindOfColumn) {
  const TableMaker real = every_kind(300, 1), synthetic = every_kind(400, 2, 0.4), holdout = every_kind(300, 3, 0.1);
  const Privacy privacy = privacy_of(real, synthetic.table, &holdout.table);
  const NaiveDistance distance(real);
  const std::vector<double> to_training = distance.nearest(synthetic.table, real.table),
                            to_holdout = distance.nearest(synthetic.table, holdout.table),
                            between = distance.nearest(holdout.table, real.table);
  double nearer = 0, tied = 0;
  for (size_t i = 0; i < to_training.size(); ++i) {
    const bool is_tie = std::abs(to_training[i] - to_holdout[i]) < 1e-7;
    tied += is_tie;
    nearer += is_tie ? 0.5 : to_training[i] < to_holdout[i];
  }
  EXPECT_EQ(privacy.columns, 8);
  EXPECT_EQ(privacy.compared_rows, 300);
  EXPECT_DOUBLE_EQ(privacy.nearer_share, nearer / 400);
  EXPECT_DOUBLE_EQ(privacy.tied_share, tied / 400);
  // Values are rounded to float: 2^-24 of a range and column.
  EXPECT_NEAR(privacy.synthetic_distance.percentile_5, naive_percentile(to_training, 0.05), 2e-7);
  EXPECT_NEAR(privacy.synthetic_distance.median, naive_percentile(to_training, 0.5), 2e-7);
  EXPECT_NEAR(privacy.holdout_distance.percentile_5, naive_percentile(between, 0.05), 2e-7);
  EXPECT_NEAR(privacy.holdout_distance.median, naive_percentile(between, 0.5), 2e-7);
}

TEST(EvaluationPrivacy, ACopyOfTheTrainingTableIsFoundOut) {
  const TableMaker real = every_kind(1000, 1), holdout = every_kind(1000, 2);
  const Privacy privacy = privacy_of(real, real.table, &holdout.table);
  EXPECT_EQ(privacy.identical_synthetic_rows, 1000);
  EXPECT_DOUBLE_EQ(privacy.identical_synthetic_share, 1);
  EXPECT_EQ(privacy.identical_holdout_rows, 0);
  EXPECT_GT(privacy.nearer_share, 0.99);
  EXPECT_DOUBLE_EQ(privacy.copies_share, 1);
  EXPECT_EQ(privacy.synthetic_distance.median, 0);
  EXPECT_GT(privacy.holdout_distance.median, 0);
}

TEST(EvaluationPrivacy, CopiesOfATrainingTableFourTimesTheHoldoutsSize) {
  const TableMaker real = every_kind(2000, 1), holdout = every_kind(500, 2);
  const Privacy privacy = privacy_of(real, real.table, &holdout.table);
  EXPECT_EQ(privacy.compared_rows, 500);
  EXPECT_DOUBLE_EQ(privacy.copies_share, 0.625);
  // 500 are their own nearest rows, of the other 1,500 a half is nearer by chance: 5 deviations.
  EXPECT_NEAR(privacy.nearer_share, 0.625, 5 * std::sqrt(1500 * 0.25) / 2000);
  EXPECT_EQ(privacy.synthetic_distance.median, 0) << "is measured to all training rows";
}

TEST(EvaluationPrivacy, HeldOutRowsInTheSyntheticTablesPlaceAreNearToThemselves) {
  const TableMaker real = every_kind(800, 1), holdout = every_kind(600, 2);
  const Privacy privacy = privacy_of(real, holdout.table, &holdout.table);
  EXPECT_LT(privacy.nearer_share, 0.01);
  EXPECT_EQ(privacy.identical_synthetic_rows, privacy.identical_holdout_rows);
  EXPECT_EQ(privacy.synthetic_distance.median, privacy.holdout_distance.median);
}

TEST(EvaluationPrivacy, IndependentRowsAreAsNearToBothAndAHalfOfCopiesIsSeen) {
  const TableMaker real = every_kind(3000, 1), holdout = every_kind(3000, 2);
  TableMaker synthetic = every_kind(3000, 3);
  const double deviation = std::sqrt(0.25 / 3000);
  EXPECT_NEAR(privacy_of(real, synthetic.table, &holdout.table).nearer_share, 0.5, 5 * deviation);
  for (size_t j = 0; j < synthetic.table.columns.size(); ++j) {
    const Column& from = real.table.columns[j];
    Column& to = synthetic.table.columns[j];
    for (int64_t row = 0; row < 1500; ++row) {
      to.missing[row] = from.missing[row];
      if (!to.quanta.empty()) to.quanta[row] = from.quanta[row];
      if (!to.reals.empty()) to.reals[row] = from.reals[row];
      if (!to.codes.empty()) to.codes[row] = from.codes[row];
    }
  }
  const Privacy privacy = privacy_of(real, synthetic.table, &holdout.table);
  EXPECT_EQ(privacy.identical_synthetic_rows, 1500);
  EXPECT_NEAR(privacy.nearer_share, 0.75, 5 * deviation);
}

TEST(EvaluationPrivacy, TiesCountHalf) {
  const TableMaker real = TableMaker().integers({0, 10}), holdout = TableMaker().integers({2, 10});
  const TableMaker synthetic = TableMaker().integers({1, 10, 0, 2});
  const Privacy privacy = privacy_of(real, synthetic.table, &holdout.table);
  EXPECT_DOUBLE_EQ(privacy.tied_share, 0.5);    // 1 and 10
  EXPECT_DOUBLE_EQ(privacy.nearer_share, 0.5);  // 0, and half of two
  EXPECT_EQ(privacy.identical_synthetic_rows, 2);
  EXPECT_EQ(privacy.identical_holdout_rows, 1);
}

TEST(EvaluationPrivacy, EqualDifferencesTieInSpiteOfRounding) {
  // 33 is 3 from 30 and from 36, thirds and sevenths of the range have no exact float.
  const TableMaker real = TableMaker().integers({0, 30, 70, 7}), holdout = TableMaker().integers({36, 80, 100, 110});
  const TableMaker synthetic = TableMaker().integers({33});
  EXPECT_EQ(privacy_of(real, synthetic.table, &holdout.table).tied_share, 1);
}

TEST(EvaluationPrivacy, IdentityIsExactWhereDistancesAreNot) {
  const double value = 1, next = std::nextafter(1.0, 2.0);
  const TableMaker real = TableMaker().reals({0.0, value}), synthetic = TableMaker().reals({next, value, -0.0});
  const Privacy privacy = privacy_of(real, synthetic.table, nullptr);
  EXPECT_EQ(privacy.identical_synthetic_rows, 2);
  EXPECT_EQ(privacy.synthetic_distance.median, 0);
}

TEST(EvaluationPrivacy, AMissingCellIsNotAZero) {
  const TableMaker real = TableMaker().integers({0, 5}).categories({0, 1}, {"a", "b"});
  const TableMaker synthetic = TableMaker().integers({std::nullopt, 0}).categories({0, std::nullopt}, {"a", "b"});
  const Privacy privacy = privacy_of(real, synthetic.table, nullptr);
  EXPECT_EQ(privacy.identical_synthetic_rows, 0);
  EXPECT_DOUBLE_EQ(privacy.synthetic_distance.median, 0.5);
}

TEST(EvaluationPrivacy, WithoutAHoldoutThereIsNothingToCompareWith) {
  const TableMaker real = every_kind(50, 1), synthetic = every_kind(60, 2);
  const Privacy privacy = privacy_of(real, synthetic.table, nullptr);
  EXPECT_FALSE(privacy.has_holdout);
  EXPECT_TRUE(std::isnan(privacy.nearer_share));
  EXPECT_EQ(privacy.synthetic_distance.rows, 60);
  EXPECT_GT(privacy.synthetic_distance.median, 0);
}

TEST(EvaluationPrivacy, TablesWithoutColumnsToCompareGiveNothing) {
  const TableMaker keys = TableMaker().add<int>(ColumnKind::kKey, {1, 2, 3});
  const Privacy privacy = privacy_of(keys, keys.table, &keys.table);
  EXPECT_EQ(privacy.columns, 0);
  EXPECT_TRUE(std::isnan(privacy.nearer_share));
  EXPECT_EQ(privacy.identical_synthetic_rows, 0);
}

TEST(EvaluationPrivacy, RangesOfNothingAndBeyondDoublesAreCounted) {
  const TableMaker real = TableMaker().integers({4, 4}).reals({-1.7e308, 1.7e308});
  const TableMaker synthetic = TableMaker().integers({4, 5}).reals({-1.7e308, 1.7e308});
  const Privacy privacy = privacy_of(real, synthetic.table, nullptr);
  EXPECT_EQ(privacy.identical_synthetic_rows, 1);
  EXPECT_DOUBLE_EQ(privacy.synthetic_distance.median, 0.25) << "0, and one column of two";
}

TEST(EvaluationPrivacy, LimitsOfLargeTablesAreTold) {
  const auto made = [](size_t rows) { return TableMaker().integers(std::vector<std::optional<int64_t>>(rows, 1)); };
  TableMaker real = made(100'001);
  const TableMaker synthetic = made(50'001), holdout = made(50'002);
  real.table.columns[0].quanta[0] = 0;
  Evaluation evaluation;
  EvaluateOptions options;
  options.detection = false;
  evaluate_beside_holdout(real.schema, real.table, synthetic.table, &holdout.table, *make_backend("cpu"), options,
                          evaluation);
  const Privacy& privacy = *evaluation.privacy;
  EXPECT_EQ(privacy.synthetic_distance.rows, 50'000);
  EXPECT_EQ(privacy.holdout_distance.rows, 50'000);
  EXPECT_EQ(privacy.training_rows, 100'000);
  EXPECT_EQ(privacy.compared_rows, 50'002);
  EXPECT_EQ(privacy.identical_synthetic_rows, 50'001);
  ASSERT_EQ(evaluation.notes.size(), 3u);
  EXPECT_EQ(evaluation.notes[1], "distances are measured with 100000 of the 100001 training rows");
}

TEST(EvaluationPrivacy, TheSeedAloneChoosesRows) {
  const TableMaker real = every_kind(1000, 1), synthetic = every_kind(500, 2), holdout = every_kind(300, 3);
  const Privacy one = privacy_of(real, synthetic.table, &holdout.table, 1),
                again = privacy_of(real, synthetic.table, &holdout.table, 1),
                other = privacy_of(real, synthetic.table, &holdout.table, 2);
  EXPECT_EQ(one.nearer_share, again.nearer_share);
  EXPECT_NE(one.nearer_share, other.nearer_share);
  EXPECT_EQ(one.synthetic_distance.median, other.synthetic_distance.median) << "all training rows, whatever the seed";
}

TEST(EvaluationHoldout, ScoresRealRowsInTheSyntheticTablesPlace) {
  const TableMaker real = every_kind(1500, 1), holdout = every_kind(1500, 2);
  EvaluateOptions options;
  const HoldoutScores scores = evaluate_holdout(real.schema, real.table, holdout.table, *make_backend("cpu"), options);
  const Evaluation as_synthetic = evaluate_quality(real.schema, real.table, holdout.table, *make_backend("cpu"));
  EXPECT_EQ(scores.rows, 1500);
  EXPECT_EQ(scores.classic.overall, as_synthetic.classic.overall);
  EXPECT_EQ(scores.with_thresholds.trends, as_synthetic.with_thresholds.trends);
  EXPECT_NEAR(scores.detection_auc, 0.5, 0.06);
  options.detection = false;
  EXPECT_TRUE(std::isnan(
      evaluate_holdout(real.schema, real.table, holdout.table, *make_backend("cpu"), options).detection_auc));
}

TEST(EvaluationHoldout, WithoutRowsIsRefused) {
  const TableMaker real = every_kind(20, 1), nothing = every_kind(0, 2);
  EXPECT_THROW(evaluate_holdout(real.schema, real.table, nothing.table, *make_backend("cpu"), {}), InputError);
}

}  // namespace
}  // namespace doppel
