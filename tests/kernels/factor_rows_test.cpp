// Steps of factor analysers on the CPU; tests/cuda has the same cases.
#include "tests/kernels/factor_cases.h"

namespace doppel {
namespace {

TEST(FactorRows, EveryNumberOfRowsAndMembers) {
  const auto cpu = make_backend("cpu");
  for (int64_t rows : {0, 1, 7, 8, 9, 127, 128, 129}) expect_definition(*cpu, {.rows = rows, .members = 3}, 1);
  for (int64_t members : {1, 15, 16, 17, 33}) expect_definition(*cpu, {.members = members}, 2);
}

TEST(FactorRows, EveryRankAndNumberOfGaps) {
  const auto cpu = make_backend("cpu");
  for (int32_t rank : {0, 1, 2, 8, 17, 32})
    for (int32_t latents : {1, 9, 80}) expect_definition(*cpu, {.members = 5, .latents = latents, .rank = rank}, 3);
}

// Of a member's rows, and of all.
TEST(FactorRows, MoreThanAChunk) {
  const auto cpu = make_backend("cpu");
  expect_definition(*cpu, {.rows = 5000, .members = 2, .latents = 5, .rank = 2}, 5);
}

}  // namespace
}  // namespace doppel
