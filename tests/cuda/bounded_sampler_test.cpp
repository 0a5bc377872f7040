// The sampler of bounded rows on CUDA against the CPU's, to the byte; that one is tested against the naive reference
// (tests/kernels).
#include "kernels/cuda/bounded_sampler.h"

#include "tests/cuda/device_under_test.h"
#include "tests/kernels/bounded_cases.h"

namespace doppel {
namespace {

using cuda::kBoundedThreads;
using cuda::kTileRows;

class CudaBoundedSampler : public OnCuda {
 protected:
  void expect_cpu_bytes(const BoundedCase& made, uint64_t seed, uint64_t first_row, int64_t rows) {
    const auto on_cuda = cuda().prepare_bounded_sampler(made.sampler());
    expect_cpu_bytes(*on_cuda, made, seed, first_row, rows);
  }
  void expect_cpu_bytes(PreparedTableSampler& on_cuda, const BoundedCase& made, uint64_t seed, uint64_t first_row,
                        int64_t rows) {
    const auto on_cpu = make_backend("cpu")->prepare_bounded_sampler(made.sampler());
    expect_same_bytes(on_cuda, *on_cpu, made.table, seed, first_row, rows);
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaBoundedSampler, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaBoundedSampler, RowsAtEverySizeBoundary) {
  const BoundedCase made = random_bounded({}, 3, 9, 1);
  const auto on_cuda = cuda().prepare_bounded_sampler(made.sampler());
  for (int64_t rows : {0, 1, 31, 32, 33, kBoundedThreads - 1, kBoundedThreads, kBoundedThreads + 1, kTileRows - 1,
                       kTileRows, kTileRows + 1, 3 * kTileRows + 3})
    expect_cpu_bytes(*on_cuda, made, 42, 1000, rows);
}

TEST_P(CudaBoundedSampler, Shapes) {
  for (const int32_t latents : {1, 7, 8, 9, 17})
    for (const int32_t components : {5, 8, 9})
      expect_cpu_bytes(random_bounded({.latents = latents, .components = components}, std::min(latents, 5), 7, 2), 7, 0,
                       70);
  expect_cpu_bytes(random_bounded({.components = 1, .variables = 0}, 1, 3, 3), 8, 0, 70);
  expect_cpu_bytes(random_bounded({.components = 2, .variables = 9, .levels = 4}, 2, 40, 4), 9, 5, 70);
  expect_cpu_bytes(random_bounded({.variables = 3, .balanced = true}, 2, 10, 5), 9, 5, 70);
}

TEST_P(CudaBoundedSampler, RowsBeyond32Bits) {
  expect_cpu_bytes(random_bounded({}, 2, 5, 6), 10, (uint64_t{1} << 32) - 40, 90);
}

// More normals than a block's shared memory has room for.
TEST_P(CudaBoundedSampler, ManyComponents) {
  const BoundedCase made = random_bounded({.members = 2, .components = 190}, 2, 5, 7);
  ASSERT_GT(cuda::bounded_scratch_bytes(made.table.components, 2), cuda::kSharedBytes);
  expect_cpu_bytes(made, 11, 3, 2 * kTileRows + 5);
}

}  // namespace
}  // namespace doppel
