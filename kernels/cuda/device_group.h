// Several CUDA devices as one backend: each sampler is on another of them, and rows whose work is of rows alone
// (members' responsibilities, nearest rows) are shared out in contiguous parts. As row i is a function of the model,
// the seed and i, the output is that of one device. What is one piece of work (a network's training, an eigenproblem,
// sums of moments, whose order of addition counts) is the first device's.
#pragma once

#include <memory>
#include <vector>

#include "kernels/backend.h"

namespace doppel::cuda {

struct GroupedDevice {
  int number = 0;
  std::string name;  // of its kind
  std::unique_ptr<Backend> backend;
};

// Devices in the order in which they are given, at least one. Networks on devices of several kinds are refused
// (UsageError): libraries sum in another order on each, so that an image would depend on the device that made it.
std::unique_ptr<Backend> make_device_group(std::vector<GroupedDevice> devices);

}  // namespace doppel::cuda
