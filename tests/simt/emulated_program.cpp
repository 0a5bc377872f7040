// doppel_simt: the program with the emulator as its CUDA device, for tests of whole commands. What the emulator has to
// report fails the program.
#include <cstdio>
#include <cstdlib>

#include "kernels/cuda/cuda_backend.h"
#include "tests/simt/emulator.h"

extern "C" const doppel::CudaPlugin doppel_cuda_plugin;

namespace doppel {
namespace {

struct ReportsAtTheEnd {
  ~ReportsAtTheEnd() {
    const std::vector<std::string> reports = simt::take_reports();
    for (const std::string& report : reports) std::fprintf(stderr, "emulated device: %s\n", report.c_str());
    if (!reports.empty()) std::_Exit(EXIT_FAILURE);
  }
};
const ReportsAtTheEnd at_the_end;

}  // namespace

// In place of kernels/cuda/load_backend.cpp's.
int cuda_devices() {
  return 0;  // --backend auto is the CPU
}
std::unique_ptr<Backend> make_cuda_backend(int device) {
  return doppel_cuda_plugin.make(device);
}

}  // namespace doppel
