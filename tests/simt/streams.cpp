// Streams and events of the emulated runtime. A stream is a queue and nothing in it runs before somebody waits for it
// (or a seeded coin lets it make a little progress), so that host code which forgets to wait reads garbage.
#include <random>
#include <utility>

#include "tests/simt/runtime.h"

namespace simt {
namespace {

CUstream_st default_stream;
std::vector<CUstream_st*> made_streams;
uint64_t works = 0;
std::mt19937_64 coin;

void run_first(CUstream_st* stream) {
  const Work work = std::move(stream->queue.front());
  if (work.awaited && !work.awaited->done) run_until(work.awaited->stream, work.awaited->number);
  if (stream == &default_stream) {
    for (CUstream_st* other : made_streams) {
      if (other->blocking) run_until(other, work.number);
    }
  } else if (stream->blocking) {
    run_until(&default_stream, work.number);
  }
  stream->queue.pop_front();
  if (work.run) work.run();
}

cudaError_t add(CUstream_st* stream, std::function<void()> run, std::shared_ptr<Recording> awaited = nullptr) {
  if (stream->captured.graph) return capture_work(stream, std::move(run));
  if (is_default(stream)) {
    const cudaError_t error = check_no_capture("work of the default stream");
    if (error != cudaSuccess) return error;
  }
  stream->queue.push_back({++works, std::move(run), std::move(awaited)});
  if (coin() % 4) return cudaSuccess;
  CUstream_st* lucky = made_streams.empty() || coin() % 2 ? stream : made_streams[coin() % made_streams.size()];
  if (!lucky->queue.empty()) run_first(lucky);
  return cudaSuccess;
}

}  // namespace

const std::vector<CUstream_st*>& streams() {
  return made_streams;
}
CUstream_st* stream_of(cudaStream_t stream) {
  return stream == nullptr || stream == cudaStreamLegacy ? &default_stream : stream;
}
bool is_default(const CUstream_st* stream) {
  return stream == &default_stream;
}
uint64_t random_number() {
  return coin();
}

void run_until(CUstream_st* stream, uint64_t number) {
  while (!stream->queue.empty() && stream->queue.front().number <= number) run_first(stream);
}

void run_everything() {
  run_until(&default_stream, kEverything);
  for (CUstream_st* stream : made_streams) run_until(stream, kEverything);
}

int device_of(cudaStream_t stream) {
  return stream_of(stream)->device;
}
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work) {
  return add(stream_of(stream), std::move(work));
}

}  // namespace simt

using namespace simt;  // NOLINT: this file's functions have C linkage and CUDA's names

SIMT_API cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (made_streams.empty()) coin.seed(options().seed);
  *stream = new CUstream_st;
  (*stream)->blocking = !(flags & cudaStreamNonBlocking);
  (*stream)->device = current_device();
  made_streams.push_back(*stream);
  return cudaSuccess;
}
SIMT_API cudaStreamDestroy(cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (is_capturing(stream)) abandon_capture(stream);
  run_until(stream, kEverything);
  std::erase(made_streams, stream);
  delete stream;
  return cudaSuccess;
}
SIMT_API cudaStreamSynchronize(cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (is_capturing(stream))
    return refuse("cudaStreamSynchronize of a stream that captures", cudaErrorStreamCaptureUnsupported);
  count_wait();
  run_until(stream_of(stream), kEverything);
  return after_waiting();
}
SIMT_API cudaStreamQuery(cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (is_capturing(stream))
    return refuse("cudaStreamQuery of a stream that captures", cudaErrorStreamCaptureUnsupported);
  return stream_of(stream)->queue.empty() ? after_waiting() : cudaErrorNotReady;
}
SIMT_API cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (event->captured.graph) return capture_wait(stream_of(stream), event);
  if (!event->recording) return cudaSuccess;
  if (is_capturing(stream))
    return refuse("a stream that captures waits for an event that was recorded outside",
                  cudaErrorStreamCaptureIsolation);
  return add(stream_of(stream), nullptr, event->recording);
}
SIMT_API cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  *event = new CUevent_st;
  (*event)->device = current_device();
  return cudaSuccess;
}
SIMT_API cudaEventDestroy(cudaEvent_t event) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  delete event;
  return cudaSuccess;
}
SIMT_API cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (event->device != device_of(stream)) {
    report("an event of device " + std::to_string(event->device) + " recorded on a stream of device " +
           std::to_string(device_of(stream)));
    return remember(cudaErrorInvalidResourceHandle);
  }
  event->captured = stream_of(stream)->captured;
  event->recording = nullptr;
  if (event->captured.graph) return cudaSuccess;
  event->recording = std::make_shared<Recording>();
  event->recording->stream = stream_of(stream);
  event->recording->number = works + 1;
  return add(stream_of(stream), [recording = event->recording] { recording->done = true; });
}
SIMT_API cudaEventSynchronize(cudaEvent_t event) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (event->captured.graph)
    return refuse("cudaEventSynchronize of an event that a capture recorded", cudaErrorCapturedEvent);
  const std::shared_ptr<Recording> recording = event->recording;
  if (recording && !recording->done) run_until(recording->stream, recording->number);
  return after_waiting();
}
