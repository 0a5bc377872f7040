// How make_backend reaches the CUDA backend: a plugin, libdoppel_cuda.so, loaded when CUDA is asked for or a driver is
// there. So one program runs on machines with and without CUDA's libraries (cuBLAS and cuSOLVER are 740 MB), starts at
// once, and needs no build of its own for the CPU. The plugin lies beside the program, or in ../lib of an installed
// one.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "kernels/backend.h"

namespace doppel {

int cuda_devices();  // that answer; 0 without a driver or plugin
// Of several devices as one (device_group.h), or of all where none is named. Throws Error for a device that is not there.
std::unique_ptr<Backend> make_cuda_backend(std::span<const int> devices);

// What the plugin exports under the name kCudaPluginSymbol.
struct CudaPlugin {
  const char* version;  // of the build: a plugin of another one is refused
  int (*devices)();
  std::unique_ptr<Backend> (*make)(std::span<const int> devices);
};
inline constexpr char kCudaPluginSymbol[] = "doppel_cuda_plugin";

}  // namespace doppel
