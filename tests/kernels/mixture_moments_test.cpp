// Moments of a mixture's members on the CPU.
#include "tests/kernels/moment_cases.h"

namespace doppel {
namespace {

void expect_of_cpu(const MomentShape& shape, uint64_t seed) {
  const MomentCase made = random_moments(shape, seed);
  expect_definition(made, made.add_on_cpu());
}

TEST(MixtureMoments, EveryNumberOfRowsAndMembers) {
  for (int64_t rows : {0, 1, 2, 200}) expect_of_cpu({.rows = rows}, 1);
  for (int64_t members : {1, 2, 40}) expect_of_cpu({.members = members, .used = members}, 2);
  expect_of_cpu({.members = 7, .used = 0}, 3);
  expect_of_cpu({.members = 7, .used = 2}, 4);
}

TEST(MixtureMoments, EveryNumberOfAxes) {
  for (int32_t axes : {0, 1, 2, 7, 8, 9, 16, 17, 130}) expect_of_cpu({.rows = 20, .present = axes}, 5);
}

TEST(MixtureMoments, AbsentLatents) {
  for (int32_t present : {0, 1, 5, 33})
    for (int32_t absent : {1, 2, 33}) expect_of_cpu({.rows = 20, .present = present, .absent = absent}, 6);
}

}  // namespace
}  // namespace doppel
