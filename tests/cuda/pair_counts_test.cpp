#include "tests/cuda/device_under_test.h"
#include "tests/kernels/pair_cases.h"

namespace doppel {
namespace {

class CudaPairCounts : public OnCuda {};

INSTANTIATE_TEST_SUITE_P(Device, CudaPairCounts, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaPairCounts, AreThoseOfTheRows) {
  expect_pair_counts_of_every_size(cuda());
}

TEST_P(CudaPairCounts, RefuseCodesThatAreNone) {
  expect_refused_codes(cuda());
}

TEST_P(CudaPairCounts, AreASingleDevicesOnSeveral) {
  expect_pair_counts(*make_group_under_test(GetParam()), make_coded_table(3000, {11, 12, 64}, 5));
}

TEST_P(CudaPairCounts, SortAscends) {
  expect_sorted_of_every_size(cuda());
}

}  // namespace
}  // namespace doppel
