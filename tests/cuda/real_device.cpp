// The device of test_cuda: a real one, through make_backend and the plugin, as the program reaches it.
#include "kernels/common/error.h"
#include "kernels/cuda/cuda_backend.h"
#include "tests/cuda/device_under_test.h"

namespace doppel {

std::vector<std::string> devices_under_test() {
  return {"Real"};
}
std::unique_ptr<Backend> make_backend_under_test(const std::string&) {
  return make_backend("cuda");
}
std::unique_ptr<Backend> make_group_under_test(const std::string&) {
  return make_backend("cuda:0,0,0");
}
std::vector<std::string> reports_of_device() {
  return {};
}  // compute-sanitizer's work: bench/gpu_check.sh

namespace {

// Runs everywhere: what a machine answers that has no device, driver or plugin.
TEST(CudaBackend, WithoutADeviceAskingForOneIsAnErrorAndAutoIsTheCpu) {
  if (cuda_devices() > 0) GTEST_SKIP() << "there is a device";
  EXPECT_EQ(make_backend("auto")->description().substr(0, 3), "cpu");
  for (const char* name : {"cuda", "cuda:1", "cuda:all"}) {
    try {
      make_backend(name);
      FAIL() << name << " was made";
    } catch (const Error& error) {
      EXPECT_NE(std::string(error.what()).find("--backend cpu"), std::string::npos) << error.what();
    }
  }
}

TEST(CudaBackend, ADeviceNumberTooLargeIsAnError) {
  if (cuda_devices() == 0) GTEST_SKIP() << "there is no device";
  EXPECT_EQ(make_backend("auto")->description().substr(0, 7), "cuda:0 ");
  EXPECT_THROW(make_backend("cuda:" + std::to_string(cuda_devices())), Error);
}

}  // namespace
}  // namespace doppel
