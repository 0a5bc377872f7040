// Part of every build; the rest of this folder is the plugin.
#include <dlfcn.h>

#include <string>

#include "kernels/common/error.h"
#include "kernels/cuda/cuda_backend.h"

namespace doppel {
namespace {

constexpr char kPluginFile[] = "libdoppel_cuda.so";

struct Library {
  void* handle = dlopen(kPluginFile, RTLD_NOW | RTLD_LOCAL);
  std::string error = handle ? "" : dlerror();
};

// Loaded once and kept; throws Error where there is none that fits.
const CudaPlugin& plugin() {
  static const Library library;
  if (library.handle == nullptr) {
    throw Error("the CUDA backend can't be loaded (it is built where nvcc is found): " + library.error +
                "; take --backend cpu");
  }
  const auto* found = static_cast<const CudaPlugin*>(dlsym(library.handle, kCudaPluginSymbol));
  if (found == nullptr || std::string(found->version) != DOPPEL_VERSION) {
    throw Error(std::string(kPluginFile) +
                " is of another build than this program; install both together, or take --backend cpu");
  }
  return *found;
}

bool driver_is_there() {
  static void* const driver = dlopen("libcuda.so.1", RTLD_LAZY | RTLD_LOCAL);
  return driver != nullptr;
}

}  // namespace

int cuda_devices() {
  if (!driver_is_there()) return 0;  // most machines: CUDA's libraries are not even looked for
  try {
    return plugin().devices();
  } catch (const Error&) {
    return 0;
  }
}

std::unique_ptr<Backend> make_cuda_backend(std::span<const int> devices) {
  return plugin().make(devices);
}

}  // namespace doppel
