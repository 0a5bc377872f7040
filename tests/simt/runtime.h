// What the parts of the emulated runtime share: runtime.cpp (devices, memory, errors), streams.cpp, graphs.cpp.
#pragma once

#include <cuda_runtime_api.h>

#include <cstdint>
#include <deque>
#include <functional>
#include <memory>
#include <vector>

#include "tests/simt/emulator.h"
#include "tests/simt/engine.h"

#define SIMT_API extern "C" cudaError_t CUDARTAPI
#define SIMT_MAY_FAIL(error) SIMT_CALL(simt::remember(error))

namespace simt {

struct Recording {  // of an event
  bool done = false;
  CUstream_st* stream = nullptr;
  uint64_t number = 0;
};
struct Work {
  uint64_t number;  // in the order of the host's calls
  std::function<void()> run;
  std::shared_ptr<Recording> awaited;
};

struct Node {  // of a graph
  std::function<void()> run;
  std::vector<size_t> after;  // nodes
};
// Streams that capture into one graph: `origin`, and those that waited for an event of one of them.
struct CapturedGraph {
  CUstream_st* origin = nullptr;
  const void* host_thread = &this_host_thread;
  bool is_open = true, is_valid = true;
  std::vector<Node> nodes;
};
// Where a stream or an event stands in a capture, if it is in one: what comes next is after the nodes `last`.
struct CapturePlace {
  std::shared_ptr<CapturedGraph> graph;
  std::vector<size_t> last;
};

}  // namespace simt

struct CUstream_st {
  std::deque<simt::Work> queue;
  bool blocking = true;  // waits for the default stream, and the default stream for it
  int device = 0;
  simt::CapturePlace captured;
};
struct CUevent_st {
  int device = 0;
  std::shared_ptr<simt::Recording> recording;
  simt::CapturePlace captured;
};

namespace simt {

// runtime.cpp
cudaError_t remember(cudaError_t error);
cudaError_t after_waiting();

// streams.cpp
inline constexpr uint64_t kEverything = ~uint64_t{0};
const std::vector<CUstream_st*>& streams();  // but the default one
CUstream_st* stream_of(cudaStream_t stream);
bool is_default(const CUstream_st* stream);
void run_until(CUstream_st* stream, uint64_t number);  // work up to that number
void run_everything();
uint64_t random_number();  // of the options' seed

// graphs.cpp
bool is_capturing(cudaStream_t stream);
// A call that CUDA forbids while streams capture: reports it and makes their graphs invalid.
cudaError_t refuse(const std::string& what, cudaError_t error);
// That, if any stream captures for this thread, by `call`.
cudaError_t check_no_capture(const char* call);
void abandon_capture(CUstream_st* stream);
cudaError_t capture_work(CUstream_st* stream, std::function<void()> run);
cudaError_t capture_wait(CUstream_st* stream, const CUevent_st* event);

}  // namespace simt
