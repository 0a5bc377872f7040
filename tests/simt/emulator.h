// The SIMT emulator as a test sees it: CUDA kernels, compiled by g++ from the very .cu files that nvcc compiles, run on
// the CPU, one fiber a CUDA thread, and everything that breaks CUDA's rules is reported.
//
//   device_language.h  what nvcc understands and g++ does not: threadIdx, __syncthreads, shuffles, atomics
//   engine.cpp         fibers, the scheduler of a block's threads, barriers, warp collectives, shared memory
//   checker.cpp        sees every load and store of a kernel: bounds, races, uninitialised shared memory
//   runtime.cpp        the CUDA runtime's functions: device and pinned memory, errors
//   streams.cpp        streams and events that run late
//   graphs.cpp         graphs that streams capture, replayed
//   libraries.cpp      the used subset of cuBLAS and cuSOLVER on OpenBLAS and LAPACK
//   cudnn.cpp          and of cuDNN, where its header is there
//
// Reported: out-of-bounds and host pointers, use after free, races within a block and between blocks, reads of shared
// memory that nobody wrote, divergent barriers, collectives with a wrong mask, too much shared memory, too many
// threads, and what may not be done while a stream captures. A report ends the launch where going on makes no sense;
// the runtime then answers cudaErrorLaunchFailure. Not shown by it: speed, registers and occupancy, weak memory order,
// fast-math. Blocks run one after another, so a kernel in which blocks wait for each other hangs. One host thread at a
// time; x86-64 only (engine.cpp switches stacks by hand).
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

namespace simt {

// The order in which a block's threads, and a grid's blocks, get to run.
enum class Order { kAscending, kDescending, kRandom };

// Whether cuDNN is there; that knows no algorithm for anybody; that says so only when one is to run.
enum class Cudnn { kNone, kIsThere, kKnowsNothing, kRefusesLate };

struct Options {
  Order order = Order::kAscending;
  uint64_t seed = 1;               // of kRandom, and of the progress that streams make by themselves
  size_t shared_limit = 48 << 10;  // bytes of shared memory a block may have
  size_t device_memory = size_t{1} << 30;
  int devices = 1;
  Cudnn cudnn = Cudnn::kIsThere;
  bool unlike_devices = false;  // all but the first are of another kind
  uint64_t failing_call = 0;    // the number of the call of CUDA's functions that fails; 0: none does
  bool device_is_lost = false;  // then, with all later ones
};

Options& options();

// What was reported since the last call, at most 64 lines.
std::vector<std::string> take_reports();

// Since the start of the program: that kernels ran at all, and what a steady state does without.
struct Counts {
  uint64_t launches = 0, blocks = 0, threads = 0, barriers = 0, collectives = 0;
  uint64_t calls = 0;         // of the functions of the runtime and the libraries, and of launches
  uint64_t kernel_calls = 0;  // launches that the host asked for, or captured; those of graphs are in `launches`, too
  uint64_t graph_launches = 0;
  uint64_t allocations = 0;  // of device and pinned memory
  uint64_t waits = 0;        // of the host, for all that a stream or the device has to do
};
const Counts& counts();
size_t device_bytes(int device);  // allocated now, but for what streams have still to free

}  // namespace simt
