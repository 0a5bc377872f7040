// The used subset of the CUDA runtime, under its own names, without a device: devices, memory and errors; streams.cpp
// and graphs.cpp have the rest. Device memory is poisoned and ends at a page that faults.
#include "tests/simt/runtime.h"

#include <sys/mman.h>

#include <cstring>
#include <map>
#include <string>
#include <utility>

namespace simt {
namespace {

constexpr size_t kPage = 4096;
constexpr unsigned char kPadding = 0xA5;

struct Memory {
  size_t bytes, mapped;
  unsigned char* pages;
  bool host;
  int device;
};

std::map<unsigned char*, Memory> memories;  // by where they begin
thread_local int current = 0;               // device
thread_local cudaError_t last_error = cudaSuccess;
bool failed_launch = false;  // sticky, as on a device: see cudaGetLastError below

// ---- memory

size_t allocated_on(int device) {
  size_t bytes = 0;
  for (const auto& [begin, memory] : memories) bytes += memory.host || memory.device != device ? 0 : memory.bytes;
  return bytes;
}

// Ends at a page that faults, but for padding to 16 bytes, which is checked when the memory is freed.
cudaError_t allocate(void** out, size_t bytes, bool host, int device) {
  if (!out || !bytes) return cudaErrorInvalidValue;
  if (!host) {
    const size_t limit = options().device_memory;
    const auto fits = [&] { return bytes <= limit && allocated_on(device) + bytes <= limit; };
    if (!fits()) run_everything();  // what is free in a stream's order is
    if (!fits()) return cudaErrorMemoryAllocation;
  }
  const size_t body = (bytes + 15) / 16 * 16, mapped = (body + kPage - 1) / kPage * kPage + kPage;
  void* pages = mmap(nullptr, mapped, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) return cudaErrorMemoryAllocation;
  auto* first = static_cast<unsigned char*>(pages);
  mprotect(first + mapped - kPage, kPage, PROT_NONE);
  unsigned char* begin = first + mapped - kPage - body;
  if (!host) std::memset(begin, 0xff, bytes);  // NaN as a number
  std::memset(begin + bytes, kPadding, body - bytes);
  memories[begin] = {bytes, mapped, first, host, device};
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
  const cudaError_t error = check_no_capture("memory freed");
  if (error != cudaSuccess) return error;
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
  if (is_capturing(stream) && !(source && target))
    return refuse("cudaMemcpyAsync of pageable memory, which may be gone when the graph runs", cudaErrorNotSupported);
  cudaError_t error = cudaSuccess;
  if (!source) {  // pageable: read before the call returns
    const auto* bytes_from = static_cast<const unsigned char*>(from);
    auto staged = std::make_shared<std::vector<unsigned char>>(bytes_from, bytes_from + bytes);
    error = enqueue(stream, [=] { std::memcpy(to, staged->data(), bytes); });
  } else {
    if (target && target->host && !is_capturing(stream)) std::memset(to, 0xCD, bytes);  // garbage until somebody waits
    error = enqueue(stream, [=] {
      if (is_still_there(from, bytes) && (!target || is_still_there(to, bytes))) std::memcpy(to, from, bytes);
    });
  }
  if (error == cudaSuccess && !target) {  // to pageable memory: returns when it is there
    count_wait();
    run_until(stream_of(stream), kEverything);
  }
  return error;
}

}  // namespace

cudaError_t remember(cudaError_t error) {
  if (error != cudaSuccess) last_error = error;
  return error;
}

void set_launch_failure() {
  failed_launch = true;
}

bool is_still_there(const void* pointer, size_t bytes) {
  size_t room = 0;
  if (memory_at(pointer, &room) && room >= bytes) return true;
  report("use after free: a copy or a product of memory that was freed");
  set_launch_failure();
  return false;
}

size_t device_bytes(int device) {
  run_everything();
  return allocated_on(device);
}
int current_device() {
  return current;
}

Residence residence(const void* address, size_t bytes) {
  size_t left = 0;
  const Memory* memory = memory_at(address, &left);
  if (!memory) return Residence::kUnknown;
  if (memory->host) return Residence::kPinnedHost;
  if (memory->device != (in_kernel() ? running.device : current)) return Residence::kOtherDevice;
  return left >= bytes ? Residence::kDevice : Residence::kPastTheEnd;
}

// A failed launch shows at the next call that waits. On a device it would stay for the life of the process; here the
// call that reports it clears it, so that the next test begins afresh.
cudaError_t after_waiting() {
  if (failed_launch) {
    failed_launch = false;
    return remember(cudaErrorLaunchFailure);
  }
  return cudaSuccess;
}

}  // namespace simt

using namespace simt;  // NOLINT: this file's functions have C linkage and CUDA's names
SIMT_API cudaGetDeviceCount(int* count) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  *count = options().devices;
  return remember(*count ? cudaSuccess : cudaErrorNoDevice);
}
SIMT_API cudaSetDevice(int device) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (device < 0 || device >= options().devices) return remember(cudaErrorInvalidDevice);
  current = device;
  return cudaSuccess;
}
SIMT_API cudaGetDeviceProperties(cudaDeviceProp* properties, int device) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  *properties = cudaDeviceProp{};
  std::strcpy(properties->name, options().unlike_devices && device > 0 ? "another CPU emulation" : "CPU emulation");
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
  const cudaError_t error = check_no_capture("cudaDeviceSynchronize");
  if (error != cudaSuccess) return error;
  count_wait();
  run_everything();
  return after_waiting();
}

SIMT_API cudaMalloc(void** pointer, size_t bytes) {
  SIMT_MAY_FAIL(cudaErrorMemoryAllocation);
  const cudaError_t error = check_no_capture("cudaMalloc");
  return error == cudaSuccess ? remember(allocate(pointer, bytes, false, current)) : error;
}
SIMT_API cudaMallocAsync(void** pointer, size_t bytes, cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorMemoryAllocation);
  if (is_capturing(stream)) return refuse("cudaMallocAsync of a stream that captures", cudaErrorNotSupported);
  return remember(allocate(pointer, bytes, false, device_of(stream)));
}
SIMT_API cudaMallocHost(void** pointer, size_t bytes) {
  SIMT_MAY_FAIL(cudaErrorMemoryAllocation);
  const cudaError_t error = check_no_capture("cudaMallocHost");
  return error == cudaSuccess ? remember(allocate(pointer, bytes, true, current)) : error;
}
SIMT_API cudaPointerGetAttributes(cudaPointerAttributes* attributes, const void* pointer) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  *attributes = {};
  const Residence where = residence(pointer, 1);
  attributes->type = where == Residence::kDevice || where == Residence::kOtherDevice ? cudaMemoryTypeDevice
                     : where == Residence::kPinnedHost                               ? cudaMemoryTypeHost
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
  if (is_capturing(stream)) return refuse("cudaFreeAsync of a stream that captures", cudaErrorNotSupported);
  // Work of other streams that comes later finds it gone.
  return pointer ? enqueue(stream, [=] { release(pointer); }) : cudaSuccess;
}
SIMT_API cudaMemcpyAsync(void* to, const void* from, size_t bytes, cudaMemcpyKind kind, cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  return copy(to, from, bytes, kind, stream);
}
SIMT_API cudaMemcpy(void* to, const void* from, size_t bytes, cudaMemcpyKind kind) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  const cudaError_t error = copy(to, from, bytes, kind, nullptr);
  run_until(stream_of(nullptr), kEverything);
  return error == cudaSuccess ? after_waiting() : error;
}
SIMT_API cudaMemsetAsync(void* pointer, int value, size_t bytes, cudaStream_t stream) {
  SIMT_MAY_FAIL(cudaErrorUnknown);
  if (size_t left = 0; memory_at(pointer, &left) == nullptr || left < bytes) {
    report("cudaMemset past the end of an allocation");
    return remember(cudaErrorInvalidValue);
  }
  return enqueue(stream, [=] {
    if (is_still_there(pointer, bytes)) std::memset(pointer, value, bytes);
  });
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
    case cudaErrorInvalidResourceHandle:
      return "cudaErrorInvalidResourceHandle";
    case cudaErrorInvalidDevice:
      return "cudaErrorInvalidDevice";
    case cudaErrorNoDevice:
      return "cudaErrorNoDevice";
    case cudaErrorLaunchFailure:
      return "cudaErrorLaunchFailure";
    case cudaErrorNotSupported:
      return "cudaErrorNotSupported";
    case cudaErrorIllegalState:
      return "cudaErrorIllegalState";
    case cudaErrorStreamCaptureUnsupported:
      return "cudaErrorStreamCaptureUnsupported";
    case cudaErrorStreamCaptureInvalidated:
      return "cudaErrorStreamCaptureInvalidated";
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
