// Responsibilities of factor analysers on CUDA against their definition in double.
#include "kernels/cuda/factor_densities.h"

#include "tests/cuda/device_under_test.h"
#include "tests/kernels/factor_cases.h"

namespace doppel {
namespace {

using cuda::kSquareRows;

class CudaFactorDensities : public OnCuda {};

INSTANTIATE_TEST_SUITE_P(Device, CudaFactorDensities, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaFactorDensities, EveryNumberOfRows) {
  for (int64_t rows : {0, 1, kSquareRows - 1, kSquareRows, kSquareRows + 1, 33})
    expect_definition(cuda(), {.rows = rows}, 1);
}

TEST_P(CudaFactorDensities, EveryNumberOfMembers) {
  for (int64_t members : {1, 15, 16, 17, 63, 65, 129}) expect_definition(cuda(), {.rows = 8, .members = members}, 2);
}

TEST_P(CudaFactorDensities, EveryRankAndNumberOfLatents) {
  for (int32_t rank : {0, 1, 7, 8, 9, 16, 17, 31, 32})
    for (int32_t latents : {1, 9})
      expect_definition(cuda(), {.rows = 8, .members = 5, .latents = latents, .rank = rank}, 3);
}

TEST_P(CudaFactorDensities, EveryNumberOfGaps) {  // terms of which go through shared memory 32 at a time
  for (const Gaps gaps : {Gaps::kNone, Gaps::kFew, Gaps::kMany, Gaps::kOfEveryKind})
    for (int32_t latents : {4, 70, 131})
      expect_definition(cuda(), {.rows = 5, .members = 3, .latents = latents, .rank = 6, .gaps = gaps}, 4);
}

}  // namespace
}  // namespace doppel
