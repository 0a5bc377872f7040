// Moments of a mixture's members on CUDA against their definition, and against the CPU's, to the bit.
#include "kernels/cuda/mixture_moments.h"

#include "kernels/common/error.h"
#include "tests/cuda/device_under_test.h"
#include "tests/kernels/moment_cases.h"

namespace doppel {
namespace {

class CudaMoments : public OnCuda {
 protected:
  void expect_of_cuda(const MomentShape& shape, uint64_t seed) {
    const MomentCase made = random_moments(shape, seed);
    const Moments found = made.add_by(cuda()), of_cpu = made.add_by(*make_backend("cpu"));
    expect_definition(made, found);
    EXPECT_EQ(found.sum, of_cpu.sum);
    EXPECT_EQ(found.product, of_cpu.product);
  }
};

INSTANTIATE_TEST_SUITE_P(Device, CudaMoments, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaMoments, EveryNumberOfRowsAndMembers) {
  for (int64_t rows : {0, 1, 2, 400}) expect_of_cuda({.rows = rows}, 1);
  for (int64_t members : {1, 2, 40}) expect_of_cuda({.members = members, .used = members}, 2);
  expect_of_cuda({.members = 7, .used = 0}, 3);
  expect_of_cuda({.members = 7, .used = 2}, 4);
}

// 14 and 15 axes: moments of a thread each, and eight of a thread; 43 and 44: of one block, and of two.
TEST_P(CudaMoments, EveryNumberOfAxes) {
  for (int32_t axes : {0, 1, 2, 7, 14, 15, 16, 17, 43, 44}) expect_of_cuda({.rows = 20, .present = axes}, 5);
  expect_of_cuda({.rows = 10, .members = 2, .present = 130, .used = 2}, 5);
}

TEST_P(CudaMoments, AbsentLatents) {
  for (int32_t present : {0, 1, 5, 33})
    for (int32_t absent : {1, 2, 33}) expect_of_cuda({.rows = 20, .present = present, .absent = absent}, 6);
}

// More than the tile in shared memory holds: each member has all rows.
TEST_P(CudaMoments, ManyRowsOfAMember) {
  expect_of_cuda({.rows = 100, .members = 2, .present = 3, .absent = 2, .used = 2}, 7);
  expect_of_cuda({.rows = 50, .members = 1, .present = 60, .used = 1}, 8);
}

TEST_P(CudaMoments, MoreAxesThanFitAreAnError) {
  const MomentCase made = random_moments({.rows = 1, .members = 1, .present = cuda::kMostMomentAxes + 1, .used = 1}, 1);
  EXPECT_THROW(made.add_by(cuda()), Error);
}

}  // namespace
}  // namespace doppel
