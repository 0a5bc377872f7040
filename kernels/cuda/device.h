// CUDA's resources as values that clean up after themselves, and the check around every call.
//
// Everything is on a stream of its own (never the default stream) and allocations are stream-ordered. Errors are thrown
// as Error with file, line, the call and CUDA's own text; destructors drop theirs, since a broken context fails the
// next checked call too.
#pragma once

#include <cuda_runtime_api.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <ranges>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "kernels/common/error.h"
#include "kernels/host_memory.h"

namespace doppel::cuda {

// Thrown by the check of a call that lacked memory, of the device or pinned.
class OutOfMemory : public Error {
 public:
  using Error::Error;
};

// "kernels/...:line: call: what"
inline std::string describe_failure(const std::string& what, const char* call, std::string_view file, int line) {
  if (const size_t start = file.rfind("kernels/"); start != file.npos) file.remove_prefix(start);
  return std::string(file) + ":" + std::to_string(line) + ": " + call + ": " + what;
}
[[noreturn]] inline void fail(const std::string& what, const char* call, const char* file, int line) {
  throw Error(describe_failure(what, call, file, line));
}
[[noreturn]] void fail(cudaError_t error, const char* call, const char* file, int line);

// Of each library that CUDA_CHECK takes calls of, an overload; statistics.h has cuBLAS' and cuSOLVER's, cudnn.cpp
// cuDNN's.
inline void check(cudaError_t error, const char* call, const char* file, int line) {
  if (error != cudaSuccess) fail(error, call, file, line);
}
#define CUDA_CHECK(call) ::doppel::cuda::check((call), #call, __FILE__, __LINE__)

// For the first member of a class, before those that allocate on the device.
inline int select_device(int device) {
  CUDA_CHECK(cudaSetDevice(device));
  return device;
}

// A named range in a profiler's time line; costs nothing without one.
struct ProfilerRange {
  explicit ProfilerRange(const char* name);
  ~ProfilerRange();
  ProfilerRange(const ProfilerRange&) = delete;
  ProfilerRange& operator=(const ProfilerRange&) = delete;
};

// get() is what CUDA's functions take.
struct StreamDeleter {
  void operator()(cudaStream_t stream) const { cudaStreamDestroy(stream); }
};
struct EventDeleter {
  void operator()(cudaEvent_t event) const { cudaEventDestroy(event); }
};
struct GraphDeleter {
  void operator()(cudaGraphExec_t graph) const { cudaGraphExecDestroy(graph); }
};
using Stream = std::unique_ptr<CUstream_st, StreamDeleter>;
using Event = std::unique_ptr<CUevent_st, EventDeleter>;
using Graph = std::unique_ptr<CUgraphExec_st, GraphDeleter>;

inline Stream make_stream() {
  cudaStream_t stream = nullptr;
  CUDA_CHECK(cudaStreamCreateWithFlags(&stream, cudaStreamNonBlocking));
  return Stream(stream);
}
inline Event make_event() {  // orders streams; measures no time
  cudaEvent_t event = nullptr;
  CUDA_CHECK(cudaEventCreateWithFlags(&event, cudaEventDisableTiming));
  return Event(event);
}

// What `enqueue` asks the stream for, to be asked for again in one call, cudaGraphLaunch, with the same arguments and
// memory. Nothing of it runs now, and it may neither allocate nor wait. An error leaves the stream as it was.
Graph capture_graph(cudaStream_t stream, const std::function<void()>& enqueue);

// `size` values of T on the device, uninitialised. Freed in the order of `stream`, which must outlive it.
template <class T>
class DeviceBuffer {
 public:
  DeviceBuffer() = default;
  DeviceBuffer(size_t size, cudaStream_t stream) : size_(size), stream_(stream) {
    if (size == 0) return;
    const cudaError_t error = cudaMallocAsync(reinterpret_cast<void**>(&data_), size * sizeof(T), stream);
    if (error != cudaSuccess) cudaStreamSynchronize(stream);  // copies from what now goes out of scope
    check(error, "cudaMallocAsync", __FILE__, __LINE__);
  }
  ~DeviceBuffer() {
    if (data_) cudaFreeAsync(data_, stream_);
  }
  DeviceBuffer(DeviceBuffer&& other) noexcept
      : data_(std::exchange(other.data_, nullptr)), size_(std::exchange(other.size_, 0)), stream_(other.stream_) {}
  DeviceBuffer& operator=(DeviceBuffer&& other) noexcept {
    std::swap(data_, other.data_);
    std::swap(size_, other.size_);
    std::swap(stream_, other.stream_);
    return *this;
  }
  T* data() const { return data_; }
  size_t size() const { return size_; }

 private:
  T* data_ = nullptr;
  size_t size_ = 0;
  cudaStream_t stream_ = nullptr;
};

// Values of the host on their way to the device; they must stay until the stream was waited for.
template <std::ranges::contiguous_range Values>
DeviceBuffer<std::ranges::range_value_t<Values>> upload(const Values& values, cudaStream_t stream) {
  using T = std::ranges::range_value_t<Values>;
  DeviceBuffer<T> buffer(std::ranges::size(values), stream);
  if (buffer.size() > 0)
    CUDA_CHECK(cudaMemcpyAsync(buffer.data(), std::ranges::data(values), buffer.size() * sizeof(T),
                               cudaMemcpyHostToDevice, stream));
  return buffer;
}

// The other way; the values may be read after the stream was waited for.
template <class T>
std::vector<T> download(const DeviceBuffer<T>& buffer, cudaStream_t stream) {
  std::vector<T> values(buffer.size());
  if (buffer.size() > 0)
    CUDA_CHECK(
        cudaMemcpyAsync(values.data(), buffer.data(), buffer.size() * sizeof(T), cudaMemcpyDeviceToHost, stream));
  return values;
}

// Host memory that the device copies from and to while the host does other things.
struct PinnedDeleter {
  void operator()(void* memory) const { cudaFreeHost(memory); }
};
template <class T>
using PinnedBuffer = std::unique_ptr<T[], PinnedDeleter>;

// May the device copy to this memory while the host does other things?
inline bool is_pinned(const void* memory) {
  cudaPointerAttributes attributes{};
  CUDA_CHECK(cudaPointerGetAttributes(&attributes, memory));
  return attributes.type == cudaMemoryTypeHost;
}

template <class T>
PinnedBuffer<T> make_pinned(size_t size) {
  if (size == 0) return nullptr;
  void* memory = nullptr;
  CUDA_CHECK(cudaMallocHost(&memory, size * sizeof(T)));
  return PinnedBuffer<T>(static_cast<T*>(memory));
}

// Pinned as long as the system lets so much be, else ordinary memory, from which copies are slower.
HostMemory allocate_for_copies(size_t bytes);

// Calls make(size), with half of the size while memory is too short, down to `least`.
template <class Make>
void make_what_fits(int64_t size, int64_t least, const Make& make) {
  while (true) {
    try {
      return make(size);
    } catch (const OutOfMemory&) {
      if (size <= least) throw;
      size = std::max(size / 2, least);
    }
  }
}

// Calls take(first, count) for pieces of `most` rows at most, of fewer from where memory was too short for so many.
// What take changes, it changes once it has all memory.
template <class Take>
void for_pieces_that_fit(int64_t rows, int64_t most, const Take& take) {
  for (int64_t first = 0; first < rows; first += most) {
    make_what_fits(std::min(most, rows - first), 1, [&](int64_t count) {
      take(first, count);
      most = count;
    });
  }
}

}  // namespace doppel::cuda
