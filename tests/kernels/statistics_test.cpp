// Co-moments and the symmetric eigenproblem against naive sums and the definitions, through the backend.
#include "kernels/statistics.h"

#include <cblas.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <random>

#include "kernels/backend.h"
#include "kernels/common/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace doppel {
namespace {

struct Block {
  int64_t rows, columns;
  std::vector<double> values, present;
  MaskedMatrix matrix(bool with_gaps = true) const {
    return {rows, columns, values, with_gaps ? std::span<const double>(present) : std::span<const double>()};
  }
};

Block random_block(int64_t rows, int64_t columns, double missing, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal(3, 2);
  std::bernoulli_distribution gap(missing);
  Block block{rows, columns, {}, {}};
  for (int64_t i = 0; i < rows * columns; ++i) {
    const bool here = !gap(random);
    block.values.push_back(here ? normal(random) : 0);
    block.present.push_back(here);
  }
  return block;
}

CoMoments naive(const Block& block) {
  CoMoments sums(block.columns);
  for (int64_t i = 0; i < block.columns; ++i) {
    for (int64_t j = 0; j < block.columns; ++j) {
      long double count = 0, sum = 0, square = 0, product = 0;
      for (int64_t row = 0; row < block.rows; ++row) {
        const double x = block.values[i * block.rows + row], y = block.values[j * block.rows + row];
        if (block.present[i * block.rows + row] == 0 || block.present[j * block.rows + row] == 0) continue;
        count += 1;
        sum += x;
        square += static_cast<long double>(x) * x;
        product += static_cast<long double>(x) * y;
      }
      const auto at = static_cast<size_t>(i * block.columns + j);
      sums.count[at] = static_cast<double>(count);
      sums.sum[at] = static_cast<double>(sum);
      sums.square[at] = static_cast<double>(square);
      sums.product[at] = static_cast<double>(product);
    }
  }
  return sums;
}

// Sums of `rows` terms of size up to 100: rounding grows with the root of rows, in practice; 1e-12 of the size is
// ample.
void expect_near(const std::vector<double>& got, const std::vector<double>& wanted, int64_t rows) {
  ASSERT_EQ(got.size(), wanted.size());
  for (size_t i = 0; i < got.size(); ++i)
    ASSERT_NEAR(got[i], wanted[i], 1e-12 * 20 * static_cast<double>(rows + 1)) << i;
}

void expect_naive(const Block& block, bool with_gaps) {
  CoMoments moments(block.columns);
  make_backend("cpu")->accumulate_co_moments(block.matrix(with_gaps), moments);
  const CoMoments wanted = naive(block);
  EXPECT_EQ(moments.count, wanted.count);
  expect_near(moments.sum, wanted.sum, block.rows);
  expect_near(moments.square, wanted.square, block.rows);
  expect_near(moments.product, wanted.product, block.rows);
}

TEST(CoMoments, AgreeWithNaiveSums) {
  for (int64_t columns : {1, 2, 7, 20})
    for (int64_t rows : {0, 1, 2, 100, 4095, 4096, 4097, 9000}) {
      expect_naive(random_block(rows, columns, 0.2, 1), true);
      expect_naive(random_block(rows, columns, 0, 2), false);
    }
}

TEST(CoMoments, AColumnThatIsAllMissingCountsNothing) {
  Block block = random_block(500, 3, 0.1, 3);
  std::fill_n(block.values.begin() + 500, 500, 0.0);
  std::fill_n(block.present.begin() + 500, 500, 0.0);
  expect_naive(block, true);
}

TEST(CoMoments, BlocksAddUp) {
  const Block first = random_block(1000, 5, 0.3, 4), second = random_block(77, 5, 0.3, 5);
  CoMoments moments(5);
  const auto backend = make_backend("cpu");
  backend->accumulate_co_moments(first.matrix(), moments);
  backend->accumulate_co_moments(second.matrix(), moments);
  const CoMoments a = naive(first), b = naive(second);
  for (size_t i = 0; i < 25; ++i) {
    EXPECT_EQ(moments.count[i], a.count[i] + b.count[i]);
    EXPECT_NEAR(moments.product[i], a.product[i] + b.product[i], 1e-8);
  }
}

TEST(CoMoments, AreTheSameBitsWhateverTheThreadsOfOpenBlasWere) {
  const Block block = random_block(20000, 24, 0.1, 6);
  std::vector<CoMoments> results;
  for (int threads : {1, 2, 4}) {
    openblas_set_num_threads(threads);
    results.emplace_back(24);
    make_backend("cpu")->accumulate_co_moments(block.matrix(), results.back());
  }
  for (const CoMoments& result : results) {
    EXPECT_EQ(result.product, results[0].product);
    EXPECT_EQ(result.sum, results[0].sum);
    EXPECT_EQ(result.square, results[0].square);
  }
}

TEST(CoMoments, RefuseSizesThatDoNotAgree) {
  const Block block = random_block(10, 3, 0, 7);
  CoMoments moments(4);
  EXPECT_THROW(make_backend("cpu")->accumulate_co_moments(block.matrix(), moments), Error);
  MaskedMatrix matrix = block.matrix();
  matrix.rows = 11;
  CoMoments three(3);
  EXPECT_THROW(make_backend("cpu")->accumulate_co_moments(matrix, three), Error);
}

std::vector<double> random_symmetric(int64_t order, uint64_t seed) {
  std::mt19937_64 random(seed);
  std::normal_distribution<double> normal;
  std::vector<double> matrix(static_cast<size_t>(order * order));
  for (int64_t i = 0; i < order; ++i)
    for (int64_t j = 0; j <= i; ++j) matrix[i * order + j] = matrix[j * order + i] = normal(random);
  return matrix;
}

TEST(SymmetricEigen, VectorsAreOrthonormalAndRebuildTheMatrix) {
  for (int64_t order : {1, 2, 3, 17, 60}) {
    const std::vector<double> matrix = random_symmetric(order, static_cast<uint64_t>(order));
    const SymmetricEigen eigen = make_backend("cpu")->symmetric_eigen(matrix, order);
    for (int64_t i = 0; i < order; ++i) {
      for (int64_t j = 0; j < order; ++j) {
        double dot = 0, rebuilt = 0;
        for (int64_t k = 0; k < order; ++k) {
          dot += eigen.vectors[k * order + i] * eigen.vectors[k * order + j];
          rebuilt += eigen.vectors[i * order + k] * eigen.values[k] * eigen.vectors[j * order + k];
        }
        ASSERT_NEAR(dot, i == j, 1e-13 * static_cast<double>(order));
        ASSERT_NEAR(rebuilt, matrix[i * order + j], 1e-13 * static_cast<double>(order));
      }
    }
  }
}

TEST(SymmetricEigen, ValuesDescendAndTheLargestEntryOfAVectorIsPositive) {
  constexpr int64_t kOrder = 40;
  const SymmetricEigen eigen = make_backend("cpu")->symmetric_eigen(random_symmetric(kOrder, 8), kOrder);
  for (int64_t k = 0; k < kOrder; ++k) {
    EXPECT_LE(eigen.values[k], eigen.values[std::max<int64_t>(k - 1, 0)]);
    double largest = 0;
    for (int64_t i = 0; i < kOrder; ++i)
      if (std::abs(eigen.vectors[i * kOrder + k]) > std::abs(largest)) largest = eigen.vectors[i * kOrder + k];
    EXPECT_GT(largest, 0) << k;
  }
}

TEST(SymmetricEigen, KnownCase) {  // [[2, 1], [1, 2]]: 3 along (1, 1), 1 along (1, -1)
  const SymmetricEigen eigen = make_backend("cpu")->symmetric_eigen(std::vector<double>{2, 1, 1, 2}, 2);
  EXPECT_NEAR(eigen.values[0], 3, 1e-15);
  EXPECT_NEAR(eigen.values[1], 1, 1e-15);
  EXPECT_NEAR(eigen.vectors[0], std::sqrt(0.5), 1e-15);
  EXPECT_NEAR(eigen.vectors[2], std::sqrt(0.5), 1e-15);
  EXPECT_NEAR(eigen.vectors[1] * eigen.vectors[3], -0.5, 1e-15);
}

TEST(SymmetricEigen, RefusesWhatIsNotAFiniteSquare) {
  const auto backend = make_backend("cpu");
  EXPECT_THROW(backend->symmetric_eigen(std::vector<double>{1, 0, 0, std::nan("")}, 2), Error);
  EXPECT_THROW(backend->symmetric_eigen(std::vector<double>{1, std::numeric_limits<double>::infinity(), 0, 1}, 2),
               Error);
  EXPECT_THROW(backend->symmetric_eigen(std::vector<double>{1, 2, 3}, 2), Error);
  EXPECT_TRUE(backend->symmetric_eigen({}, 0).values.empty());
}

TEST(MakeBackend, KnowsItsNames) {
  EXPECT_TRUE(make_backend("cpu")->description().starts_with("cpu ("));
  EXPECT_NO_THROW(make_backend("auto"));
  for (const char* name : {"", "gpu", "cuda:", "cuda:x", "cuda:-1", "cuda:1x", "cuda:0,", "cuda:,0", "cuda:0,1x", "cuda:ALL", "CPU"})
    EXPECT_THROW(make_backend(name), UsageError) << name;
  if (cuda_devices() > 0) return;
  EXPECT_THROW(make_backend("cuda"), Error);
  for (const char* name : {"cuda:1", "cuda:0,1", "cuda:all"}) EXPECT_THROW(make_backend(name), Error);
}

}  // namespace
}  // namespace doppel
