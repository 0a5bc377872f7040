#include "tests/cuda/device_under_test.h"

#include "kernels/common/error.h"

namespace doppel {

void OnCuda::SetUp() {
  try {
    backend_ = make_backend_under_test(GetParam());
  } catch (const Error& error) {
    GTEST_SKIP() << error.what();
  }
}

}  // namespace doppel
