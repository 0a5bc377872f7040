// Steps of factor analysers on CUDA against their definition in double.
#include "kernels/common/error.h"
#include "kernels/cuda/factor_densities.h"
#include "kernels/cuda/factor_sums.h"
#include "tests/cuda/device_under_test.h"
#include "tests/kernels/factor_cases.h"

namespace doppel {
namespace {

using cuda::kSquareRows;
using cuda::kSumRows;

class CudaFactorRows : public OnCuda {};

INSTANTIATE_TEST_SUITE_P(Device, CudaFactorRows, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaFactorRows, EveryNumberOfRows) {
  for (int64_t rows : {0, 1, kSquareRows - 1, kSquareRows, kSquareRows + 1, 33})
    expect_definition(cuda(), {.rows = rows}, 1);
}

// Sums go through tiles of 32 entries and runs of 512.
TEST_P(CudaFactorRows, EveryNumberOfEntries) {
  for (int64_t rows : {31, 32, 33, 41, 511, 512, 513, 545}) {
    FactorCase made = random_factors({.rows = rows, .members = 1, .latents = 3, .rank = 2}, 5);
    std::fill(made.states.state.begin(), made.states.state.end(), -1);  // no row is without an entry
    expect_definition(made, made.expect_by(*made.prepared_by(cuda())));
  }
}

TEST_P(CudaFactorRows, EveryNumberOfMembers) {
  for (int64_t members : {1, 15, 16, 17, 63, 65, 129}) expect_definition(cuda(), {.rows = 8, .members = members}, 2);
}

TEST_P(CudaFactorRows, EveryRankAndNumberOfLatents) {
  for (int32_t rank : {0, 1, 7, 8, 9, 16, 17, 31, 32})
    for (int32_t latents : {1, 9})
      expect_definition(cuda(), {.rows = 8, .members = 5, .latents = latents, .rank = rank}, 3);
}

// Columns of sums are of latents, factors and two ones.
TEST_P(CudaFactorRows, EveryNumberOfColumns) {
  for (int32_t latents : {kSumRows - 9, kSumRows - 8, kSumRows - 7, kSumRows - 2, kSumRows - 1, kSumRows, kSumRows + 1})
    expect_definition(cuda(), {.rows = 9, .members = 2, .latents = latents, .rank = 6}, 6);
}

TEST_P(CudaFactorRows, EveryNumberOfGaps) {  // terms of which go through shared memory 32, and 16, at a time
  for (const Gaps gaps : {Gaps::kNone, Gaps::kFew, Gaps::kMany, Gaps::kOfEveryKind})
    for (int32_t latents : {4, 31, 32, 33, 70, 131})
      expect_definition(cuda(), {.rows = 5, .members = 3, .latents = latents, .rank = 6, .gaps = gaps}, 4);
}

// A device's rows go through steps of other densities, and other numbers of members and factors, to the same bits.
TEST_P(CudaFactorRows, RowsAreKeptOverSteps) {
  const FactorCase made = random_factors({}, 8);
  FactorCase other = random_factors({.members = 50, .rank = 12}, 9);
  const auto rows = made.prepared_by(cuda());
  const FactorStep first = made.expect_by(*rows);
  other.states.state = made.states.state;
  other.latent = made.latent;
  other.rows = made.rows;
  expect_definition(other, other.expect_by(*rows));
  const FactorStep again = made.expect_by(*rows);
  expect_same_sums(again, first, 0);
  expect_same(again.shares, first.shares);
}

TEST_P(CudaFactorRows, MoreFactorsThanAWarpHasLanesAreAnError) {
  const FactorCase made = random_factors({.rows = 1, .members = 1, .latents = 1, .rank = kMostFactors + 1}, 7);
  EXPECT_THROW(made.expect_by(*made.prepared_by(cuda())), Error);
}

}  // namespace
}  // namespace doppel
