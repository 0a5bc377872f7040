// The used subset of the CUDA runtime, under its own names, without a device. A stream is a queue and nothing in it
// runs before somebody waits for it (or a seeded coin lets it make a little progress), so that host code which forgets
// to wait reads garbage. Device memory is poisoned and ends at a page that faults.
#include <cuda_runtime_api.h>
#include <sys/mman.h>

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <random>
#include <string>
#include <utility>
#include <vector>

#include "tests/simt/emulator.h"
#include "tests/simt/engine.h"

namespace {

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
struct Memory {
  size_t bytes, mapped;
  unsigned char* pages;
  bool host;
};

}  // namespace

struct CUstream_st {
  std::deque<Work> queue;
  bool blocking = true;  // waits for the default stream, and the default stream for it
};
struct CUevent_st {
  std::shared_ptr<Recording> recording;
};

namespace simt {
namespace {

constexpr uint64_t kEverything = ~uint64_t{0};
constexpr size_t kPage = 4096;
constexpr unsigned char kPadding = 0xA5;

CUstream_st default_stream;
std::vector<CUstream_st*> streams;
std::map<unsigned char*, Memory> memories;  // by where they begin
uint64_t works = 0;
cudaError_t last_error = cudaSuccess;
bool failed_launch = false;  // sticky, as on a device: see cudaGetLastError below
std::mt19937_64 coin;

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

// ---- streams

CUstream_st* stream_of(cudaStream_t stream) {
  return stream == nullptr || stream == cudaStreamLegacy ? &default_stream : stream;
}

void run_until(CUstream_st* stream, uint64_t number);

void run_first(CUstream_st* stream) {
  const Work work = std::move(stream->queue.front());
  if (work.awaited && !work.awaited->done) run_until(work.awaited->stream, work.awaited->number);
  if (stream == &default_stream) {
    for (CUstream_st* other : streams) {
      if (other->blocking) run_until(other, work.number);
    }
  } else if (stream->blocking) {
    run_until(&default_stream, work.number);
  }
  stream->queue.pop_front();
  if (work.run) work.run();
}

void run_until(CUstream_st* stream, uint64_t number) {
  while (!stream->queue.empty() && stream->queue.front().number <= number) run_first(stream);
}

void run_everything() {
  run_until(&default_stream, kEverything);
  for (CUstream_st* stream : streams) run_until(stream, kEverything);
}

void add(cudaStream_t stream, std::function<void()> run, std::shared_ptr<Recording> awaited = nullptr) {
  CUstream_st* target = stream_of(stream);
  target->queue.push_back({++works, std::move(run), std::move(awaited)});
  if (coin() % 4) return;
  CUstream_st* lucky = streams.empty() || coin() % 2 ? target : streams[coin() % streams.size()];
  if (!lucky->queue.empty()) run_first(lucky);
}

// ---- memory

size_t device_bytes() {
  size_t bytes = 0;
  for (const auto& [begin, memory] : memories) bytes += memory.host ? 0 : memory.bytes;
  return bytes;
}

// Ends at a page that faults, but for padding to 16 bytes, which is checked when the memory is freed.
cudaError_t allocate(void** out, size_t bytes, bool host) {
  if (!out || !bytes) return cudaErrorInvalidValue;
  if (!host && (bytes > options().device_memory || device_bytes() + bytes > options().device_memory)) {
    return cudaErrorMemoryAllocation;
  }
  const size_t body = (bytes + 15) / 16 * 16, mapped = (body + kPage - 1) / kPage * kPage + kPage;
  void* pages = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return cudaErrorMemoryAllocation;
  auto* first = static_cast<unsigned char*>(pages);
  mprotect(first + mapped - kPage, kPage, PROT_NONE);
  unsigned char* begin = first + mapped - kPage - body;
  if (!host) std::memset(begin, 0xff, bytes);  // NaN as a number
  std::memset(begin + bytes, kPadding, body - bytes);
  memories[begin] = {bytes, mapped, first, host};
  count_allocation();
  *out = begin;
  return cudaSuccess;
}

cudaError_t release(void* pointer) {
  const auto found = memories.find(static_cast<unsigned char*>(pointer));
  if (found == memories.end()) {
    report("free of memory that is not allocated");
    return cudaErrorInvalidValue;
  }
  const auto& [begin, memory] = *found;
  for (size_t i = memory.bytes; i % 16; ++i) {
    if (begin[i] != kPadding) {
      report("write past the end of an allocation of " + std::to_string(memory.bytes) + " bytes");
      break;
    }
  }
  munmap(memory.pages, memory.mapped);
  memories.erase(found);
  return cudaSuccess;
}

cudaError_t release_after_everything(void* pointer) {
  if (!pointer) return cudaSuccess;
  run_everything();
  return remember(release(pointer));
}

const Memory* memory_at(const void* pointer, size_t* bytes_left) {
  auto* address = static_cast<unsigned char*>(const_cast<void*>(pointer));
  auto found = memories.upper_bound(address);
  if (found == memories.begin()) return nullptr;
  --found;
  const auto offset = static_cast<size_t>(address - found->first);
  if (offset >= (found->second.bytes + 15) / 16 * 16) return nullptr;
  *bytes_left = offset < found->second.bytes ? found->second.bytes - offset : 0;
  return &found->second;
}

bool direction_fits(cudaMemcpyKind kind, bool to_device, bool from_device) {
  switch (kind) {
    case cudaMemcpyHostToDevice:
      return to_device && !from_device;
    case cudaMemcpyDeviceToHost:
      return !to_device && from_device;
    case cudaMemcpyDeviceToDevice:
      return to_device && from_device;
    case cudaMemcpyHostToHost:
      return !to_device && !from_device;
    default:
      return true;
  }
}

cudaError_t copy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  size_t room_to = bytes, room_from = bytes;
  const Memory *target = memory_at(to, &room_to), *source = memory_at(from, &room_from);
  if (room_to < bytes || room_from < bytes) {
    report("cudaMemcpy past the end of an allocation");
    return remember(cudaErrorInvalidValue);
  }
  const bool to_device = target && !target->host, from_device = source && !source->host;
  if (!direction_fits(kind, to_device, from_device)) {
    report("cudaMemcpy in another direction than its pointers say");
    return remember(cudaErrorInvalidMemcpyDirection);
  }
  if (!source) {  // pageable: read before the call returns
    const auto* bytes_from = static_cast<const unsigned char*>(from);
    auto staged = std::make_shared<std::vector<unsigned char>>(bytes_from, bytes_from + bytes);
    add(stream, [=] { std::memcpy(to, staged->data(), bytes); });
  } else {
    if (target && target->host) std::memset(to, 0xCD, bytes);  // garbage until somebody waits
    add(stream, [=] { std::memcpy(to, from, bytes); });
  }
  if (!target) {  // to pageable memory: returns when it is there
    count_wait();
    run_until(stream_of(stream), kEverything);
  }
  return cudaSuccess;
}

}  // namespace

void enqueue(cudaStream_t stream, std::function<void()> work) {
  add(stream, std::move(work));
}
void set_launch_failure() {
  failed_launch = true;
}

Residence residence(const void* address, size_t bytes) {
  size_t left = 0;
  const Memory* memory = memory_at(address, &left);
  if (!memory) return Residence::kUnknown;
  if (memory->host) return Residence::kPinnedHost;
  return left >= bytes ? Residence::kDevice : Residence::kPastTheEnd;
}

namespace {

// A failed launch shows at the next call that waits. On a device it would stay for the life of the process; here the
// call that reports it clears it, so that the next test begins afresh.
cudaError_t after_waiting() {
  if (failed_launch) {
    failed_launch = false;
    return remember(cudaErrorLaunchFailure);
  }
  return cudaSuccess;
}

}  // namespace
}  // namespace simt

using namespace simt;  // NOLINT: this file's functions have C linkage and CUDA's names
#define SIMT_API extern "C" cudaError_t CUDARTAPI
#define SIMT_MAY_FAIL(error) \
  if (fails()) return remember(error)

SIMT_API cudaGetDeviceCount(int* count) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  *count = options().devices;
  return remember(*count ? cudaSuccess : cudaErrorNoDevice);
}
SIMT_API cudaSetDevice(int device) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  return remember(device >= 0 && device < options().devices ? cudaSuccess : cudaErrorInvalidDevice);
}
SIMT_API cudaGetDeviceProperties(cudaDeviceProp* properties, int) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  *properties = cudaDeviceProp{};
  std::strcpy(properties->name, "CPU emulation");
  properties->major = 8;
  properties->minor = 0;
  properties->warpSize = 32;
  properties->multiProcessorCount = 2;
  properties->maxThreadsPerBlock = 1024;
  properties->sharedMemPerBlock = options().shared_limit;
  properties->totalGlobalMem = options().device_memory;
  return cudaSuccess;
}
SIMT_API cudaGetLastError() {
  return std::exchange(last_error, cudaSuccess);
}
SIMT_API cudaPeekAtLastError() {
  return last_error;
}
SIMT_API cudaDeviceSynchronize() {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  count_wait();
  run_everything();
  return after_waiting();
}

SIMT_API cudaMalloc(void** pointer, size_t bytes) {
  SIMT_MAY_FAIL(cudaErrorMemoryAllocation);
  return remember(allocate(pointer, bytes, false));
}
SIMT_API cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t) {
  SIMT_MAY_FAIL(cudaErrorMemoryAllocation);
  return remember(allocate(pointer, bytes, false));
}
SIMT_API cudaMallocHost(void** pointer, size_t bytes) {
  SIMT_MAY_FAIL(cudaErrorMemoryAllocation);
  return remember(allocate(pointer, bytes, true));
}
SIMT_API cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  *attributes = {};
  const Residence where = residence(pointer, 1);
  attributes->type = where == Residence::kDevice       ? cudaMemoryTypeDevice
                     : where == Residence::kPinnedHost ? cudaMemoryTypeHost
                                                       : cudaMemoryTypeUnregistered;
  return cudaSuccess;
}
SIMT_API cudaFree(void* pointer) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  return release_after_everything(pointer);
}
SIMT_API cudaFreeHost(void* pointer) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  return release_after_everything(pointer);
}
SIMT_API cudaFreeAsync(void* pointer, cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  // Work of other streams that comes later finds it gone.
  if (pointer) add(stream, [=] { release(pointer); });
  return cudaSuccess;
}
SIMT_API cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  return copy(to, from, bytes, kind, stream);
}
SIMT_API cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  const cudaError_t error = copy(to, from, bytes, kind, nullptr);
  run_until(&default_stream, kEverything);
  return error == cudaSuccess ? after_waiting() : error;
}
SIMT_API cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (residence(pointer, bytes) != Residence::kDevice) {
    report("cudaMemset past the end of an allocation");
    return remember(cudaErrorInvalidValue);
  }
  add(stream, [=] { std::memset(pointer, value, bytes); });
  return cudaSuccess;
}

SIMT_API cudaStreamCreateWithFlags(cudaStream_t* stream, unsigned flags) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (streams.empty()) coin.seed(options().seed);
  *stream = new CUstream_st;
  (*stream)->blocking = !(flags & cudaStreamNonBlocking);
  streams.push_back(*stream);
  return cudaSuccess;
}
SIMT_API cudaStreamDestroy(cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  run_until(stream, kEverything);
  std::erase(streams, stream);
  delete stream;
  return cudaSuccess;
}
SIMT_API cudaStreamSynchronize(cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  count_wait();
  run_until(stream_of(stream), kEverything);
  return after_waiting();
}
SIMT_API cudaStreamWaitEvent(cudaStream_t stream, cudaEvent_t event, unsigned) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (event->recording) add(stream, nullptr, event->recording);
  return cudaSuccess;
}
SIMT_API cudaEventCreateWithFlags(cudaEvent_t* event, unsigned) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  *event = new CUevent_st;
  return cudaSuccess;
}
SIMT_API cudaEventDestroy(cudaEvent_t event) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  delete event;
  return cudaSuccess;
}
SIMT_API cudaEventRecord(cudaEvent_t event, cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  auto recording = std::make_shared<Recording>();
  recording->stream = stream_of(stream);
  recording->number = works + 1;
  event->recording = recording;
  add(stream, [recording] { recording->done = true; });
  return cudaSuccess;
}
SIMT_API cudaEventSynchronize(cudaEvent_t event) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  const std::shared_ptr<Recording> recording = event->recording;
  if (recording && !recording->done) run_until(recording->stream, recording->number);
  return after_waiting();
}

extern "C" const char* CUDARTAPI cudaGetErrorName(cudaError_t error) {
  switch (error) {
    case cudaSuccess:
      return "cudaSuccess";
    case cudaErrorInvalidValue:
      return "cudaErrorInvalidValue";
    case cudaErrorMemoryAllocation:
      return "cudaErrorMemoryAllocation";
    case cudaErrorInvalidConfiguration:
      return "cudaErrorInvalidConfiguration";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorUnknown:
      return "cudaErrorUnknown";
    default:
      return "another CUDA error";
  }
}
extern "C" const char* CUDARTAPI cudaGetErrorString(cudaError_t error) {
  return error == cudaErrorMemoryAllocation ? "out of memory"
         : error == cudaErrorNoDevice       ? "no CUDA-capable device is detected"
                                            : "emulated CUDA error";
}
