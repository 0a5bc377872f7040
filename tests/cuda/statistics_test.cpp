// Statistics on CUDA against the CPU's. Sums are added in another order: n terms agree within n eps times the sum of
// their magnitudes, and the sizes here make that less than 1e-12 of the largest entry.
#include <cmath>
#include <random>

#include "kernels/common/error.h"
#include "tests/cuda/device_under_test.h"

namespace doppel {
namespace {

class CudaStatistics : public OnCuda {
 protected:
  struct Block {
    int64_t rows, columns;
    std::vector<double> values, present;
    MaskedMatrix matrix() const { return {rows, columns, values, present}; }
  };
  // Normals, of which the share `missing` is missing; `present` is empty where that is 0.
  static Block make_block(int64_t rows, int64_t columns, double missing, uint64_t seed) {
    std::mt19937_64 random(seed);
    std::normal_distribution<double> normal;
    std::bernoulli_distribution gap(missing);
    Block block{rows, columns, std::vector<double>(rows * columns), {}};
    if (missing > 0) block.present.assign(rows * columns, 1.0);
    for (size_t i = 0; i < block.values.size(); ++i) {
      block.values[i] = normal(random) + static_cast<double>(i % 3);
      if (missing > 0 && gap(random)) block.values[i] = block.present[i] = 0;
    }
    return block;
  }
  static void expect_close(const std::vector<double>& got, const std::vector<double>& wanted, const char* what) {
    double largest = 1;
    for (double x : wanted) largest = std::max(largest, std::abs(x));
    ASSERT_EQ(got.size(), wanted.size());
    for (size_t i = 0; i < got.size(); ++i) EXPECT_NEAR(got[i], wanted[i], 1e-12 * largest) << what << " " << i;
  }
  void expect_cpu_moments(const std::vector<Block>& blocks) {
    CoMoments got(blocks[0].columns), wanted(blocks[0].columns);
    const auto cpu = make_backend("cpu");
    for (const Block& block : blocks) {
      cuda().accumulate_co_moments(block.matrix(), got);
      cpu->accumulate_co_moments(block.matrix(), wanted);
    }
    EXPECT_EQ(got.count, wanted.count);  // whole numbers: exact
    expect_close(got.sum, wanted.sum, "sum");
    expect_close(got.square, wanted.square, "square");
    expect_close(got.product, wanted.product, "product");
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaStatistics, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaStatistics, CoMomentsWithoutGaps) {
  for (int64_t rows : {0, 1, 31, 32, 33, 255, 256, 257, 1000})
    for (int64_t columns : {1, 2, 7}) expect_cpu_moments({make_block(rows, columns, 0, 1)});
}

TEST_P(CudaStatistics, CoMomentsWithGaps) {
  for (int64_t rows : {1, 33, 255, 1000})
    for (int64_t columns : {1, 2, 7}) expect_cpu_moments({make_block(rows, columns, 0.2, 2)});
}

TEST_P(CudaStatistics, BlocksAddUp) {
  expect_cpu_moments({make_block(300, 5, 0.1, 3), make_block(17, 5, 0, 4), make_block(1, 5, 0.5, 5)});
}

TEST_P(CudaStatistics, EigenvectorsOfACovariance) {
  const auto cpu = make_backend("cpu");
  for (int64_t order : {1, 2, 3, 17, 40}) {
    CoMoments moments(order);
    cpu->accumulate_co_moments(make_block(500, order, 0, 6).matrix(), moments);
    const SymmetricEigen got = cuda().symmetric_eigen(moments.product, order);
    const SymmetricEigen wanted = cpu->symmetric_eigen(moments.product, order);
    expect_close(got.values, wanted.values, "value");
    ASSERT_EQ(got.vectors.size(), wanted.vectors.size());
    // Eigenvalues of noise lie close together: vectors agree within eps times the largest over the smallest gap.
    for (size_t i = 0; i < got.vectors.size(); ++i)
      EXPECT_NEAR(got.vectors[i], wanted.vectors[i], 1e-9) << "order " << order;
  }
  EXPECT_TRUE(cuda().symmetric_eigen({}, 0).values.empty());
}

TEST_P(CudaStatistics, ContradictionsAreErrors) {
  const Block block = make_block(4, 3, 0, 7);
  CoMoments two(2);
  EXPECT_THROW(cuda().accumulate_co_moments(block.matrix(), two), Error);
  const std::vector<double> infinite = {1, 0, 0, INFINITY};
  EXPECT_THROW(cuda().symmetric_eigen(infinite, 2), Error);
  EXPECT_THROW(cuda().symmetric_eigen(infinite, 3), Error);
}

}  // namespace
}  // namespace doppel
