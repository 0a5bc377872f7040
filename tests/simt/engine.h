// What the parts of the emulator share. Tests include emulator.h.
#pragma once

#include <cuda_runtime_api.h>

#include <cstddef>
#include <cstdint>
#include <functional>
#include <mutex>
#include <string>

namespace simt {

struct Range {
  const unsigned char *begin = nullptr, *end = nullptr;
  bool holds(const void* pointer) const { return pointer >= begin && pointer < end; }
};

// The CUDA thread that runs now. Two accesses by different threads of a block are in order if a barrier lies between
// them (the block epoch differs) or, within a warp, a __syncwarp (the warp epoch differs).
struct Running {
  bool in_kernel = false;
  const void* host_thread = nullptr;  // that it runs on: &this_host_thread
  int device = 0;
  const char* kernel = "";
  uint32_t launch = 0, block = 0, thread = 0, block_epoch = 0, warp_epoch = 0;
  Range stack, shared, parameters, indices;  // indices: threadIdx and the like
};
extern Running running;
extern thread_local char this_host_thread;
// Host code in a kernel's file is watched, too, and other threads run it while a kernel runs on this one.
inline bool in_kernel() {
  return running.in_kernel && running.host_thread == &this_host_thread;
}

void report(const std::string& what);
[[noreturn]] void abort_launch(const std::string& what);  // reports, and leaves the kernel

void count_allocation();
void count_wait();
void count_graph_launch();

// Each function of CUDA's begins with one: other threads of the host wait, and the call is counted.
class Call {
 public:
  Call();
  bool fails() const { return fails_; }  // it is one that the options let fail

 private:
  std::unique_lock<std::recursive_mutex> lock_;  // a function may call another
  bool fails_;
};
#define SIMT_CALL(error) \
  const simt::Call call; \
  if (call.fails()) return error

// checker.cpp
void checker_block_start();
void checker_fence();
void checker_atomic(const void* address, size_t bytes, void* caller);
void checker_forget_reports();

// streams.cpp
cudaError_t enqueue(cudaStream_t stream, std::function<void()> work);  // or captures it
int device_of(cudaStream_t stream);

// runtime.cpp
void set_launch_failure();
int current_device();  // of the calling thread
// kOtherDevice: than `running` is on in a kernel, or the current one.
enum class Residence { kUnknown, kDevice, kOtherDevice, kPastTheEnd, kPinnedHost };
Residence residence(const void* address, size_t bytes);
// When work comes to what was there when it was asked for. If not: a report, and a failed launch.
bool is_still_there(const void* pointer, size_t bytes);

}  // namespace simt
