#include "kernels/cuda/device.h"

#include <nvtx3/nvToolsExt.h>

#include <string>
#include <string_view>

#include "kernels/common/error.h"

namespace doppel::cuda {
namespace {

[[noreturn]] void fail_with(const std::string& text, const char* call, const char* file, int line) {
  std::string_view place(file);
  if (const size_t start = place.rfind("kernels/"); start != place.npos) place.remove_prefix(start);
  throw Error(std::string(place) + ":" + std::to_string(line) + ": " + call + ": " + text);
}

}  // namespace

void fail(cudaError_t error, const char* call, const char* file, int line) {
  std::string text = std::string(cudaGetErrorString(error)) + " (" + cudaGetErrorName(error) + ")";
  if (error == cudaErrorMemoryAllocation) text += "; take fewer rows at a time or --backend cpu";
  cudaGetLastError();  // an error that does not stick must not show again at the next launch's check
  fail_with(text, call, file, line);
}

void fail(cublasStatus_t status, const char* call, const char* file, int line) {
  fail_with(std::string("cuBLAS: ") + cublasGetStatusString(status), call, file, line);
}

void fail(cusolverStatus_t status, const char* call, const char* file, int line) {
  fail_with("cuSOLVER: status " + std::to_string(status), call, file, line);
}

ProfilerRange::ProfilerRange(const char* name) { nvtxRangePushA(name); }
ProfilerRange::~ProfilerRange() { nvtxRangePop(); }

}  // namespace doppel::cuda
