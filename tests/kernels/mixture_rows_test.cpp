// Steps of expectation maximisation on the CPU; tests/cuda has the same cases.
#include "tests/kernels/expectation_cases.h"

namespace doppel {
namespace {

void expect_of_cpu(const ExpectationShape& shape, uint64_t seed) {
  const ExpectationCase made = random_expectation(shape, seed);
  expect_definition(made, made.expect_by(*made.prepared_on_cpu()));
}

TEST(MixtureRows, EveryNumberOfRowsAndMembers) {
  for (int64_t rows : {0, 1, 7, 8, 9, 33, 200}) expect_of_cpu({.rows = rows}, 1);
  for (int64_t members : {1, 2, 15, 16, 17, 40}) expect_of_cpu({.members = members}, 2);
}

TEST(MixtureRows, EveryNumberOfVariablesAndLatents) {
  for (int32_t variables : {0, 1, 6})
    for (int32_t latents : {0, 1, 9}) expect_of_cpu({.rows = 20, .variables = variables, .latents = latents}, 3);
  for (int32_t absent : {1, 5}) expect_of_cpu({.rows = 20, .latents = 3, .absent = absent}, 4);
}

// Of two chunks the sums are those of one, and rows and sums that are not wanted change nothing.
TEST(MixtureRows, MoreThanAChunk) {
  const ExpectationCase made = random_expectation({.rows = 5000, .members = 3, .variables = 1, .latents = 1}, 5);
  const auto rows = made.prepared_on_cpu();
  const Expectation found = made.expect_by(*rows);
  expect_definition(made, found);
  std::vector<double> log_density(5000);
  rows->expect(made.of_density.density, log_density, nullptr, nullptr);
  EXPECT_EQ(log_density, found.log_density);
}

}  // namespace
}  // namespace doppel
