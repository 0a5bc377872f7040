// Responsibilities of factor analysers on the CPU; tests/cuda has the same cases.
#include "tests/kernels/factor_cases.h"

namespace doppel {
namespace {

TEST(FactorDensity, EveryNumberOfRowsAndMembers) {
  const auto cpu = make_backend("cpu");
  for (int64_t rows : {0, 1, 7, 8, 9, 127, 128, 129}) expect_definition(*cpu, {.rows = rows, .members = 3}, 1);
  for (int64_t members : {1, 15, 16, 17, 33}) expect_definition(*cpu, {.members = members}, 2);
}

TEST(FactorDensity, EveryRankAndNumberOfGaps) {
  const auto cpu = make_backend("cpu");
  for (int32_t rank : {0, 1, 2, 8, 17, 32})
    for (int32_t latents : {1, 9, 80}) expect_definition(*cpu, {.members = 5, .latents = latents, .rank = rank}, 3);
}

}  // namespace
}  // namespace doppel
