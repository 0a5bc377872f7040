// Graphs of the emulated runtime: what streams are asked for while they capture is recorded with its order, and
// replayed by a launch in any order that fits. CUDA's rules of capturing ("Stream Capture" in its programming guide)
// are reports; so is what CUDA allows and is not emulated: memory made or freed by a graph, graphs in graphs, pageable
// memory, and work of the default stream beside a capture of a stream that does not wait for it.
#include <algorithm>
#include <set>
#include <string>
#include <utility>

#include "tests/simt/runtime.h"

struct CUgraph_st {
  std::shared_ptr<const simt::CapturedGraph> captured;
};
struct CUgraphExec_st {
  std::shared_ptr<const simt::CapturedGraph> captured;
};

namespace simt {
namespace {

std::set<const CUgraphExec_st*> executables;

// Of all streams in it.
void end_capture(std::shared_ptr<CapturedGraph> graph) {
  graph->is_open = false;
  for (CUstream_st* stream : streams())
    if (stream->captured.graph == graph) stream->captured = {};
}

// Has all that was captured been waited for by the stream that stands there?
bool is_joined(const CapturePlace& place) {
  const std::vector<Node>& nodes = place.graph->nodes;
  std::vector<bool> before(nodes.size());
  for (size_t node : place.last) before[node] = true;
  for (size_t node = nodes.size(); node-- > 0;)
    if (before[node])
      for (size_t other : nodes[node].after) before[other] = true;
  return std::find(before.begin(), before.end(), false) == before.end();
}

// A random one of the orders in which nodes come after what they wait for.
std::vector<size_t> order_of(const std::vector<Node>& nodes) {
  std::vector<size_t> order, awaited;
  std::vector<std::vector<size_t>> waiting(nodes.size());
  std::vector<size_t> ready;
  for (size_t node = 0; node < nodes.size(); ++node) {
    awaited.push_back(nodes[node].after.size());
    for (size_t other : nodes[node].after) waiting[other].push_back(node);
    if (awaited[node] == 0) ready.push_back(node);
  }
  while (!ready.empty()) {
    std::swap(ready[random_number() % ready.size()], ready.back());
    const size_t node = ready.back();
    ready.pop_back();
    order.push_back(node);
    for (size_t other : waiting[node])
      if (--awaited[other] == 0) ready.push_back(other);
  }
  return order;
}

}  // namespace

bool is_capturing(cudaStream_t stream) {
  return stream_of(stream)->captured.graph != nullptr;
}

cudaError_t refuse(const std::string& what, cudaError_t error) {
  report("graph capture: " + what);
  for (CUstream_st* stream : streams())
    if (stream->captured.graph) stream->captured.graph->is_valid = false;
  return remember(error);
}

cudaError_t check_no_capture(const char* call) {
  const bool any = std::any_of(streams().begin(), streams().end(), [](const CUstream_st* stream) {
    return stream->captured.graph && stream->captured.graph->host_thread == &this_host_thread;
  });
  return any ? refuse(std::string(call) + " while a stream captures", cudaErrorStreamCaptureImplicit) : cudaSuccess;
}

void abandon_capture(CUstream_st* stream) {
  refuse("cudaStreamDestroy of a stream that captures", cudaErrorStreamCaptureInvalidated);
  end_capture(stream->captured.graph);
}

cudaError_t capture_work(CUstream_st* stream, std::function<void()> run) {
  CapturePlace& place = stream->captured;
  if (!place.graph->is_valid) return remember(cudaErrorStreamCaptureInvalidated);
  place.graph->nodes.push_back({std::move(run), place.last});
  place.last = {place.graph->nodes.size() - 1};
  return cudaSuccess;
}

cudaError_t capture_wait(CUstream_st* stream, const CUevent_st* event) {
  const CapturePlace& awaited = event->captured;
  if (!awaited.graph->is_open) return refuse("a wait for an event of a capture that has ended", cudaErrorCapturedEvent);
  if (is_default(stream))
    return refuse("the default stream waits for an event of a capture", cudaErrorStreamCaptureImplicit);
  CapturePlace& place = stream->captured;
  if (place.graph && place.graph != awaited.graph)
    return refuse("two captures wait for each other", cudaErrorStreamCaptureMerge);
  place.graph = awaited.graph;
  for (size_t node : awaited.last)
    if (std::find(place.last.begin(), place.last.end(), node) == place.last.end()) place.last.push_back(node);
  return cudaSuccess;
}

}  // namespace simt

using namespace simt;  // NOLINT: this file's functions have C linkage and CUDA's names

SIMT_API cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (is_default(stream_of(stream)))
    return refuse("cudaStreamBeginCapture of the default stream", cudaErrorStreamCaptureUnsupported);
  if (is_capturing(stream)) return refuse("cudaStreamBeginCapture of a stream that captures", cudaErrorIllegalState);
  stream->captured.graph = std::make_shared<CapturedGraph>();
  stream->captured.graph->origin = stream;
  return cudaSuccess;
}
SIMT_API cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t* graph) {
  const Call call;
  *graph = nullptr;
  const CapturePlace place = stream_of(stream)->captured;
  if (!place.graph) return refuse("cudaStreamEndCapture of a stream that does not capture", cudaErrorIllegalState);
  if (place.graph->origin != stream)
    return refuse("cudaStreamEndCapture of another stream than the capture's first", cudaErrorStreamCaptureUnmatched);
  end_capture(place.graph);
  if (call.fails()) return remember(cudaErrorUnknown);
  if (!place.graph->is_valid) return remember(cudaErrorStreamCaptureInvalidated);
  if (!is_joined(place))
    return refuse("work of another stream that the first one does not wait for", cudaErrorStreamCaptureUnjoined);
  *graph = new CUgraph_st{place.graph};
  return cudaSuccess;
}
SIMT_API cudaGraphDestroy(cudaGraph_t graph) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  delete graph;
  return cudaSuccess;
}
SIMT_API cudaGraphInstantiateWithFlags(cudaGraphExec_t* executable, cudaGraph_t graph, unsigned long long) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  *executable = new CUgraphExec_st{graph->captured};
  executables.insert(*executable);
  return cudaSuccess;
}
SIMT_API cudaGraphExecDestroy(cudaGraphExec_t executable) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  executables.erase(executable);
  delete executable;
  return cudaSuccess;
}
SIMT_API cudaGraphLaunch(cudaGraphExec_t executable, cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (!executables.contains(executable)) {
    report("launch of a graph that does not exist");
    return remember(cudaErrorInvalidValue);
  }
  if (is_capturing(stream))
    return refuse("cudaGraphLaunch into a stream that captures", cudaErrorStreamCaptureUnsupported);
  count_graph_launch();
  for (size_t node : order_of(executable->captured->nodes)) {
    const cudaError_t error = enqueue(stream, [graph = executable->captured, node] { graph->nodes[node].run(); });
    if (error != cudaSuccess) return error;
  }
  return cudaSuccess;
}
