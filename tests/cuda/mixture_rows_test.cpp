// Steps of expectation maximisation on CUDA against their definition, and against the CPU's, to the bit.
#include "kernels/cuda/mixture_rows.h"

#include "kernels/common/error.h"
#include "tests/cuda/device_under_test.h"
#include "tests/kernels/expectation_cases.h"

namespace doppel {
namespace {

using cuda::kDensityRows;
using cuda::kDensityThreads;

// The CPU fuses multiplications and additions, too: where not, its bits are others.
bool cpu_fuses() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

class CudaMixtureRows : public OnCuda {
 protected:
  std::unique_ptr<PreparedMixtureRows> prepared(const ExpectationCase& made) {
    const MixtureDensity& density = made.of_density.density;
    return cuda().prepare_mixture_rows(made.of_density.rows, density.variables, density.latents);
  }
  void expect_of_cuda(const ExpectationShape& shape, uint64_t seed) {
    const ExpectationCase made = random_expectation(shape, seed);
    const auto rows = prepared(made);
    const Expectation found = made.expect_by(*rows);
    expect_definition(made, found);
    if (cpu_fuses()) expect_same(found, made.expect_by(*made.prepared_on_cpu()));
    std::vector<double> log_density(found.log_density.size());
    rows->expect(made.of_density.density, log_density, nullptr, nullptr);
    EXPECT_EQ(log_density, found.log_density);
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaMixtureRows, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaMixtureRows, EveryNumberOfRows) {
  for (int64_t rows : {0, 1, kDensityRows - 1, kDensityRows, kDensityRows + 1, 100, 400})
    expect_of_cuda({.rows = rows}, 1);
}

TEST_P(CudaMixtureRows, EveryNumberOfMembers) {
  for (int64_t members : {1, 2, 15, 16, 17, 31, 33, kDensityThreads - 1, kDensityThreads, kDensityThreads + 1, 300})
    expect_of_cuda({.rows = 20, .members = members}, 2);
}

TEST_P(CudaMixtureRows, EveryNumberOfVariables) {
  for (int32_t variables : {0, 1, 6, 62, 63, 64, 65}) expect_of_cuda({.rows = 20, .variables = variables}, 3);
}

// Of 64 of these variables.
TEST_P(CudaMixtureRows, MoreStatesThanSharedMemoryHolds) {
  expect_of_cuda({.rows = 9, .members = 3, .variables = 140, .latents = 1}, 4);
}

TEST_P(CudaMixtureRows, EveryNumberOfAxes) {
  for (int32_t latents : {0, 1, 2, 7, 8, 9, 16, 17, 50, 130}) expect_of_cuda({.rows = 20, .latents = latents}, 5);
}

// Lanes share an entry of more latents; what is absent has other lanes than what is present.
TEST_P(CudaMixtureRows, AbsentLatents) {
  for (int32_t latents : {0, 1, 5, 33, 70})
    for (int32_t absent : {1, 2, 9, 40}) expect_of_cuda({.rows = 20, .latents = latents, .absent = absent}, 6);
}

TEST_P(CudaMixtureRows, MoreAxesThanSharedMemoryHoldsAreAnError) {
  const ExpectationCase made = random_expectation(
      {.rows = 1, .members = 1, .variables = 1, .latents = 0, .absent = cuda::kMostMomentAxes + 1}, 7);
  EXPECT_THROW(made.expect_by(*prepared(made)), Error);
}

// A device's rows go through steps of other densities, and other numbers of members.
TEST_P(CudaMixtureRows, RowsAreKeptOverSteps) {
  const ExpectationCase made = random_expectation({}, 8), other = random_expectation({.members = 50}, 9);
  const auto rows = prepared(made);
  const Expectation first = made.expect_by(*rows);
  ExpectationCase mixed = other;
  mixed.of_density.state = made.of_density.state;
  mixed.of_density.latent = made.of_density.latent;
  mixed.of_density.rows = made.of_density.rows;
  mixed.of_moments.latent = made.of_density.latent;
  mixed.of_moments.latents.latents = mixed.of_moments.latent.data();
  expect_definition(mixed, mixed.expect_by(*rows));
  expect_same(made.expect_by(*rows), first);
}

}  // namespace
}  // namespace doppel
