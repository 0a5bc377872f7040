// Part of the CUDA backend: finds its plugin of cuDNN.
#include <dlfcn.h>

#include <cstdlib>
#include <string>

#include "kernels/common/error.h"
#include "kernels/cuda/cudnn.h"

namespace doppel::cuda {
namespace {

constexpr char kPluginFile[] = "libdoppel_cudnn.so", kSwitch[] = "DOPPEL_CUDNN";

// Loaded once and kept; null where it or cuDNN is not there, or where the environment has DOPPEL_CUDNN=0.
const CudnnPlugin* plugin() {
  static void* const library = [] {
    const char* wanted = std::getenv(kSwitch);
    return wanted && std::string(wanted) == "0" ? nullptr : dlopen(kPluginFile, RTLD_NOW | RTLD_LOCAL);
  }();
  if (library == nullptr) return nullptr;
  const auto* found = static_cast<const CudnnPlugin*>(dlsym(library, kCudnnPluginSymbol));
  if (found == nullptr || std::string(found->version) != DOPPEL_VERSION)
    throw Error(std::string(kPluginFile) + " is of another build than this program; install both together, or set " +
                kSwitch + "=0");
  return found;
}

}  // namespace

std::unique_ptr<Cudnn> make_cudnn(std::span<const ConvShape> shapes, cudaStream_t stream) {
  const CudnnPlugin* found = plugin();
  return found ? found->make(shapes, stream) : nullptr;
}

}  // namespace doppel::cuda
