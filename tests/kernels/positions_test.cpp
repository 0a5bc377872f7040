#include "tests/kernels/position_cases.h"

namespace doppel {
namespace {

TEST(Positions, AreThoseOfTheFirstThatIsNotSmaller) {
  expect_positions_of_every_size(*make_backend("cpu"));
}

}  // namespace
}  // namespace doppel
