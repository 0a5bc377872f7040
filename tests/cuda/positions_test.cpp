#include "tests/cuda/device_under_test.h"
#include "tests/kernels/position_cases.h"

namespace doppel {
namespace {

class CudaPositions : public OnCuda {};

INSTANTIATE_TEST_SUITE_P(Device, CudaPositions, testing::ValuesIn(devices_under_test()),
                         [](const auto& device) { return device.param; });

TEST_P(CudaPositions, AreThoseOfTheFirstThatIsNotSmaller) {
  expect_positions_of_every_size(cuda());
}

}  // namespace
}  // namespace doppel
