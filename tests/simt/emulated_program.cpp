// doppel_simt: the program with the emulator as its CUDA device, for tests of whole commands. What the emulator has to
// report fails the program. From the environment:
//   EMULATED_FAILING_CALL=N   the Nth call of CUDA's functions fails, and with EMULATED_LOSS=1 all later ones
//   EMULATED_CALLS=FILE       the number of calls is written to FILE
//   EMULATED_DEVICES=N        there are N devices
//   EMULATED_MEMORY=BYTES     of each device
//   EMULATED_CUDNN=0          there is no cuDNN
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/cuda_backend.h"
#include "tests/simt/emulator.h"

extern "C" const doppel::CudaPlugin doppel_cuda_plugin;

namespace doppel {
namespace {

struct EmulatedDevice {
  EmulatedDevice() {
    if (const char* number = std::getenv("EMULATED_FAILING_CALL"))
      simt::options().failing_call = std::strtoull(number, nullptr, 10);
    if (const char* number = std::getenv("EMULATED_DEVICES"))
      simt::options().devices = static_cast<int>(std::strtol(number, nullptr, 10));
    if (const char* bytes = std::getenv("EMULATED_MEMORY"))
      simt::options().device_memory = std::strtoull(bytes, nullptr, 10);
    if (const char* is_there = std::getenv("EMULATED_CUDNN"); is_there && *is_there == '0')
      simt::options().cudnn = simt::Cudnn::kNone;
    simt::options().device_is_lost = std::getenv("EMULATED_LOSS") != nullptr;
  }
  ~EmulatedDevice() {
    if (const char* path = std::getenv("EMULATED_CALLS")) {
      std::FILE* file = std::fopen(path, "w");
      std::fprintf(file, "%llu\n", static_cast<unsigned long long>(simt::counts().calls));
      std::fclose(file);
    }
    const std::vector<std::string> reports = simt::take_reports();
    for (const std::string& report : reports) std::fprintf(stderr, "emulated device: %s\n", report.c_str());
    if (!reports.empty()) std::_Exit(EXIT_FAILURE);
  }
};
const EmulatedDevice emulated_device;

}  // namespace

// In place of kernels/cuda/load_backend.cpp's.
int cuda_devices() {
  return 0;  // --backend auto is the CPU
}
std::unique_ptr<Backend> make_cuda_backend(std::span<const int> devices) {
  return doppel_cuda_plugin.make(devices);
}

}  // namespace doppel
