// Nearest neighbours of the CPU backend against a naive search in double, on every instruction set of the machine.
#include "kernels/nearest.h"

#include <gtest/gtest.h>
#include <hwy/targets.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/backend.h"
#include "kernels/common/error.h"
#include "tests/kernels/points.h"

namespace doppel {
namespace {

std::vector<double> naive(const PointSet& queries, const PointSet& references) {
  std::vector<double> distances;
  for (int64_t i = 0; i < queries.rows; ++i) {
    double nearest = std::numeric_limits<double>::infinity();
    for (int64_t k = 0; k < references.rows; ++k) {
      double sum = 0;
      for (int64_t j = 0; j < queries.columns; ++j)
        sum += std::min(std::abs(static_cast<double>(queries.values[i * queries.columns + j]) -
                                 references.values[k * queries.columns + j]),
                        1.0);
      nearest = std::min(nearest, sum);
    }
    distances.push_back(nearest);
  }
  return distances;
}

std::vector<float> nearest(const PointSet& queries, const PointSet& references) {
  return make_backend("cpu")->nearest_distances(queries.points(), references.points());
}

// Sums in float of differences in float, each within 2^-24 of its size: 1e-6 of the sum, 1e-5 of a sum of thousands.
void expect_naive(const PointSet& queries, const PointSet& references) {
  const std::vector<float> got = nearest(queries, references);
  const std::vector<double> wanted = naive(queries, references);
  ASSERT_EQ(got.size(), wanted.size());
  const double tolerance = queries.columns > 100 ? 1e-5 : 1e-6;
  for (size_t i = 0; i < got.size(); ++i) {
    if (std::isinf(wanted[i]))
      ASSERT_EQ(got[i], std::numeric_limits<float>::infinity());
    else
      ASSERT_NEAR(got[i], wanted[i], tolerance * (1 + wanted[i]))
          << i << " of " << queries.rows << " against " << references.rows;
  }
}

TEST(NearestDistances, AgreeWithANaiveSearchAtEverySizeBoundary) {
  for (int64_t columns : {1, 3, 4, 5, 15})
    for (int64_t references : {0, 1, 7, 8, 16, 31, 32, 33, 65, 300})
      for (int64_t queries : {0, 1, 3, 4, 5, 50})
        expect_naive(random_points(queries, columns, 1), random_points(references, columns, 2));
}

TEST(NearestDistances, ReferencesOfManyTilesAndColumnsOfMoreThanATile) {
  expect_naive(random_points(40, 15, 3), random_points(3000, 15, 4));
  expect_naive(random_points(6, 5000, 5), random_points(40, 5000, 6));
}

TEST(NearestDistances, SortedRowsWhoseTilesCanBeSkipped) {
  PointSet queries = random_points(500, 6, 7), references = random_points(4000, 6, 8);
  sort_rows(queries);
  sort_rows(references);
  expect_naive(queries, references);
}

TEST(NearestDistances, WithoutColumnsAllRowsAreEqual) {
  EXPECT_EQ(nearest({3, 0, {}}, {2, 0, {}}), std::vector<float>(3, 0.0f));
  EXPECT_EQ(nearest({1, 0, {}}, {0, 0, {}}), std::vector<float>{std::numeric_limits<float>::infinity()});
}

TEST(NearestDistances, ADifferenceCountsAtMostOne) {
  const PointSet queries{1, 3, {0.25f, 2.0f, 1e30f}};
  EXPECT_EQ(nearest(queries, {1, 3, {0.5f, 7.0f, 0.0f}}), std::vector<float>{2.25f});
  EXPECT_EQ(nearest(queries, {1, 3, {0.5f, 2.0f, 1e30f}}), std::vector<float>{0.25f});
  EXPECT_EQ(nearest({1, 1, {-3e38f}}, {1, 1, {3e38f}}), std::vector<float>{1.0f}) << "the difference overflows";
}

TEST(NearestDistances, RowsOfTheReferencesAreAtDistanceZero) {
  const PointSet points = random_points(777, 9, 9);
  EXPECT_EQ(nearest(points, points), std::vector<float>(777, 0.0f));
}

TEST(NearestDistances, DoNotDependOnTheOrderOfRowsToTheBit) {
  const PointSet queries = random_points(100, 12, 10);
  PointSet references = random_points(2000, 12, 11);
  const std::vector<float> as_they_came = nearest(queries, references);
  sort_rows(references);
  EXPECT_EQ(nearest(queries, references), as_they_came);
}

TEST(NearestDistances, AreTheSameBitsOnEveryInstructionSet) {
  const PointSet queries = random_points(203, 13, 12), references = random_points(1501, 13, 13);
  const std::vector<float> wanted = nearest(queries, references);
  for (const int64_t target : hwy::SupportedAndGeneratedTargets()) {
    hwy::GetChosenTarget().Update(target);
    EXPECT_EQ(nearest(queries, references), wanted) << hwy::TargetName(target);
    expect_naive(random_points(50, 5, 14), random_points(333, 5, 15));
  }
  hwy::GetChosenTarget().DeInit();
}

TEST(NearestDistances, RefuseSizesThatDoNotAgreeAndValuesThatAreNotFinite) {
  const PointSet two{1, 2, {0, 0}}, three{1, 3, {0, 0, 0}};
  EXPECT_THROW(nearest(two, three), Error);
  EXPECT_THROW(nearest({2, 2, {0, 0}}, two), Error);
  EXPECT_THROW(nearest(two, {1, 2, {0, std::nanf("")}}), Error);
  EXPECT_THROW(nearest({1, 2, {INFINITY, 0}}, two), Error);
}

}  // namespace
}  // namespace doppel
