// How make_backend reaches the CUDA backend, in builds that have it (DOPPEL_CUDA).
#pragma once

#include <memory>

#include "kernels/backend.h"

namespace doppel {

int cuda_devices();                                      // that answer; 0 without a driver
std::unique_ptr<Backend> make_cuda_backend(int device);  // throws Error for a device that is not there

}  // namespace doppel
