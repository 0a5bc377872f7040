// Responsibilities on CUDA against their definition in double, and against the CPU's, to the bit.
#include "kernels/cuda/responsibilities.h"

#include "tests/cuda/device_under_test.h"
#include "tests/kernels/density_cases.h"

namespace doppel {
namespace {

using cuda::kDensityRows;
using cuda::kDensityThreads;

// Log densities here are some tens, of some ten terms each: so many steps of a float.
constexpr double kTolerance = 1e-4;

// The CPU fuses multiplications and additions, too: where not, its bits are others.
bool cpu_fuses() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
  return true;
#endif
}

class CudaResponsibilities : public OnCuda {
 protected:
  void expect_definition(const DensityShape& shape, uint64_t seed) {
    const DensityCase made = random_density(shape, seed);
    Responsibilities found, of_cpu;
    found.member = {7};  // is replaced
    cuda().find_responsibilities(made.density, made.rows, found);
    ASSERT_EQ(found.first.size(), size_t(shape.rows) + 1);
    ASSERT_EQ(found.log_density.size(), size_t(shape.rows));
    for (int64_t row = 0; row < shape.rows; ++row) expect_row(made, found, row);
    make_backend("cpu")->find_responsibilities(made.density, made.rows, of_cpu);
    if (!cpu_fuses()) return;
    expect_same(found, of_cpu);
  }

 private:
  static void expect_row(const DensityCase& made, const Responsibilities& found, int64_t row) {
    const NaiveResponsibilities naive = naive_responsibilities(made, row);
    if (std::isinf(naive.log_density)) {
      EXPECT_EQ(found.log_density[size_t(row)], naive.log_density);
    } else {
      EXPECT_NEAR(found.log_density[size_t(row)], naive.log_density, kTolerance);
    }
    std::vector<double> share(size_t(made.density.members));
    for (int64_t i = found.first[size_t(row)]; i < found.first[size_t(row) + 1]; ++i)
      share[size_t(found.member[size_t(i)])] = double(found.share[size_t(i)]);
    for (size_t m = 0; m < share.size(); ++m) EXPECT_NEAR(share[m], naive.share[m], kTolerance) << "row " << row;
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaResponsibilities, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaResponsibilities, EveryNumberOfRows) {
  for (int64_t rows : {0, 1, kDensityRows - 1, kDensityRows, kDensityRows + 1, 100})
    expect_definition({.rows = rows}, 1);
}

TEST_P(CudaResponsibilities, EveryNumberOfMembers) {
  for (int64_t members : {1, 15, 16, 17, 31, 33, kDensityThreads - 1, kDensityThreads, kDensityThreads + 1, 300})
    expect_definition({.rows = 20, .members = members}, 2);
}

TEST_P(CudaResponsibilities, EveryNumberOfVariablesAndLatents) {
  for (int32_t variables : {0, 1, 6})
    for (int32_t latents : {0, 1, 2, 9}) expect_definition({.rows = 20, .variables = variables, .latents = latents}, 3);
}

}  // namespace
}  // namespace doppel
