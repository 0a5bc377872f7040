#include "kernels/cuda/device.h"

#include <nvtx3/nvToolsExt.h>

#include <memory>
#include <string>

namespace doppel::cuda {

void fail(cudaError_t error, const char* call, const char* file, int line) {
  cudaGetLastError();  // an error that does not stick must not show again at the next launch's check
  const std::string text = std::string(cudaGetErrorString(error)) + " (" + cudaGetErrorName(error) + ")";
  if (error == cudaErrorMemoryAllocation)
    throw OutOfMemory(describe_failure(text + "; take fewer rows at a time or --backend cpu", call, file, line));
  fail(text, call, file, line);
}

HostMemory allocate_for_copies(size_t bytes) {
  try {
    return {make_pinned<std::byte>(std::max<size_t>(bytes, 1)).release(),
            [](std::byte* memory) { cudaFreeHost(memory); }};
  } catch (const OutOfMemory&) {
    return allocate_host_memory(bytes);
  }
}

ProfilerRange::ProfilerRange(const char* name) {
  nvtxRangePushA(name);
}
ProfilerRange::~ProfilerRange() {
  nvtxRangePop();
}

Graph capture_graph(cudaStream_t stream, const std::function<void()>& enqueue) {
  struct Deleter {
    void operator()(cudaGraph_t graph) const { cudaGraphDestroy(graph); }
  };
  using Captured = std::unique_ptr<CUgraph_st, Deleter>;
  cudaGraph_t graph = nullptr;
  // Other threads may allocate meanwhile.
  CUDA_CHECK(cudaStreamBeginCapture(stream, cudaStreamCaptureModeThreadLocal));
  try {
    enqueue();
  } catch (...) {
    cudaStreamEndCapture(stream, &graph);
    cudaGetLastError();
    Captured{graph};
    throw;
  }
  CUDA_CHECK(cudaStreamEndCapture(stream, &graph));
  const Captured captured(graph);
  cudaGraphExec_t executable = nullptr;
  CUDA_CHECK(cudaGraphInstantiateWithFlags(&executable, graph, 0));
  return Graph(executable);
}

}  // namespace doppel::cuda
