// Fibers, the scheduler of a block's threads, barriers, warp collectives, shared memory.
#include "tests/simt/engine.h"

#include <sys/mman.h>
#include <ucontext.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <map>
#include <numeric>
#include <random>
#include <utility>

#include "tests/simt/device_language.h"
#include "tests/simt/emulator.h"
#undef threadIdx
#undef blockIdx
#undef blockDim
#undef gridDim

// Saves the callee-saved registers and the stack pointer at *save and goes on where `to` was saved. `pop; jmp` and not
// `ret`: the processor's return predictor would be wrong at every switch (3-5 times slower).
extern "C" void simt_switch_stack(void** save, void* to);
asm(R"(
.text
.globl simt_switch_stack
.type simt_switch_stack,@function
simt_switch_stack:
  pushq %rbp; pushq %rbx; pushq %r12; pushq %r13; pushq %r14; pushq %r15
  movq %rsp,(%rdi)
  movq %rsi,%rsp
  popq %r15; popq %r14; popq %r13; popq %r12; popq %rbx; popq %rbp
  popq %rcx; jmp *%rcx
.size simt_switch_stack,.-simt_switch_stack
)");

namespace simt {

Indices indices{};
Running running;
thread_local char this_host_thread;

Options& options() {
  static Options instance;
  return instance;
}

namespace {

constexpr size_t kStackBytes = 128 << 10, kArenaBytes = 256 << 10, kGuardBytes = 64, kPage = 4096;
constexpr unsigned char kPoison = 0xff;  // NaN as a float and as a double
constexpr int kWarp = 32;

std::vector<std::string> reports;
Counts totals;

struct Fiber {
  void* stack_pointer = nullptr;
  unsigned char* stack = nullptr;
};

enum class State : uint8_t { kNew, kReady, kAtBarrier, kAtCollective, kExited };

struct Thread {
  Fiber* fiber = nullptr;
  State state = State::kNew;
  Site site{};  // of the barrier or collective it waits at
  Reduction reduction = Reduction::kNone;
  Collective kind = Collective::kSync;
  unsigned mask = 0;
  int argument = 0, width = 0;
  uint64_t value = 0, result = 0;
  uint32_t warp_epoch = 0;
};

struct Warp {
  unsigned waiting = 0, exited = 0;  // lanes
};

struct SharedArray {
  const void* site;
  unsigned char* begin;
  size_t bytes;
  const char* name;
};

struct Launch {
  const char* name;
  dim3 grid, block;
  size_t shared_bytes;
  int device;
  Body body;
};

unsigned char* map_pages(size_t bytes) {
  void* pages = mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (pages == MAP_FAILED) throw std::bad_alloc();
  return static_cast<unsigned char*>(pages);
}

const char* name_of(Collective kind) {
  static constexpr const char* kNames[] = {"__syncwarp",      "__shfl_sync",   "__shfl_up_sync", "__shfl_down_sync",
                                           "__shfl_xor_sync", "__ballot_sync", "__any_sync",     "__all_sync"};
  return kNames[static_cast<int>(kind)];
}

std::string text_of(Site site) {
  return std::string(site.file) + ":" + std::to_string(site.line);
}

// Runs grids, one block after another. There is one engine, and one host thread at a time that uses it.
class Engine {
 public:
  bool run(const Launch& launch);  // false: a launch failure
  uint64_t wait_at_barrier(Site site, Reduction reduction, bool predicate);
  uint64_t wait_at_collective(Site site, Collective kind, unsigned mask, uint64_t value, int argument, int width);
  void* allocate(const void* site, size_t bytes, size_t alignment, const char* name);
  [[noreturn]] void leave_kernel();
  std::string place() const;

 private:
  static constexpr int kStartNew = -1, kBlockDone = -2;

  static void fiber_main();
  void reset_fiber(Fiber* fiber);
  Fiber* take_fiber();
  void switch_to(Fiber* to);
  void make_current(int thread);
  void start_on(Fiber* fiber);
  void run_something_else();
  int choose_next();
  void release_barrier();
  void complete_collective(int warp, unsigned mask);
  uint64_t collective_result(const Thread* lanes, int lane, unsigned needed, unsigned ballot);
  uint64_t shuffled(const Thread* lanes, int lane, unsigned needed);
  void thread_exited();
  void prepare_block(uint32_t block);
  void run_block(uint32_t block);
  void check_guards();
  std::string waiting() const;

  const Launch* launch_ = nullptr;
  int size_ = 0, at_barrier_ = 0, exited_ = 0, current_ = 0;
  std::vector<Thread> threads_;
  std::vector<Warp> warps_;
  std::vector<int> order_;  // in which threads start and leave barriers
  size_t started_ = 0;
  std::vector<int> ready_;
  size_t ready_head_ = 0;
  std::vector<Fiber*> fibers_, free_fibers_;
  Fiber main_;
  Fiber* running_fiber_ = &main_;
  bool aborted_ = false;
  std::mt19937_64 random_;
  unsigned char* arena_ = map_pages(kArenaBytes);
  size_t arena_used_ = 0;
  std::vector<SharedArray> arrays_;
};

Engine& engine() {
  static Engine instance;
  return instance;
}

std::string Engine::place() const {
  char text[160];
  const Indices& i = indices;
  std::snprintf(text, sizeof text, " [kernel %s, block (%u,%u,%u), thread (%u,%u,%u)]", running.kernel, i.block.x,
                i.block.y, i.block.z, i.thread.x, i.thread.y, i.thread.z);
  return text;
}

// Who waits where, for messages about threads that can't go on.
std::string Engine::waiting() const {
  std::map<std::string, std::pair<int, int>> groups;  // what: how many, the first
  for (int t = 0; t < size_; ++t) {
    const Thread& thread = threads_[t];
    std::string what = "not at a barrier";
    if (thread.state == State::kExited) what = "exited";
    if (thread.state == State::kAtBarrier) what = "at __syncthreads " + text_of(thread.site);
    if (thread.state == State::kAtCollective) {
      char mask[32];
      std::snprintf(mask, sizeof mask, "(mask 0x%08x) ", thread.mask);
      what = "at " + std::string(name_of(thread.kind)) + mask + text_of(thread.site);
    }
    ++groups.try_emplace(what, 0, t).first->second.first;
  }
  std::string text;
  for (const auto& [what, count] : groups) {
    text += "; " + std::to_string(count.first) + " threads (first: " + std::to_string(count.second) + ") " + what;
  }
  return text;
}

// ---- fibers

void Engine::reset_fiber(Fiber* fiber) {
  auto** top = reinterpret_cast<void**>(fiber->stack + kStackBytes);
  *--top = nullptr;  // so that the function is entered with rsp % 16 == 8, as after a call
  *--top = reinterpret_cast<void*>(&fiber_main);
  for (int i = 0; i < 6; ++i) *--top = nullptr;  // the six registers
  fiber->stack_pointer = top;
}

Fiber* Engine::take_fiber() {
  if (free_fibers_.empty()) {
    auto* fiber = new Fiber;
    unsigned char* pages = map_pages(kStackBytes + kPage);
    mprotect(pages, kPage, PROT_NONE);  // a stack overflow faults
    fiber->stack = pages + kPage;
    reset_fiber(fiber);
    fibers_.push_back(fiber);
    return fiber;
  }
  Fiber* fiber = free_fibers_.back();
  free_fibers_.pop_back();
  return fiber;
}

void Engine::switch_to(Fiber* to) {
  Fiber* from = std::exchange(running_fiber_, to);
  running.stack = to == &main_ ? Range{} : Range{to->stack, to->stack + kStackBytes};
  simt_switch_stack(&from->stack_pointer, to->stack_pointer);
}

void Engine::make_current(int thread) {
  current_ = thread;
  const unsigned x = launch_->block.x, y = launch_->block.y, t = static_cast<unsigned>(thread);
  indices.thread = uint3{t % x, t / x % y, t / (x * y)};
  running.thread = t;
  running.warp_epoch = threads_[thread].warp_epoch;
}

void Engine::start_on(Fiber* fiber) {
  const int thread = order_[started_++];
  threads_[thread].fiber = fiber;
  threads_[thread].state = State::kReady;
  make_current(thread);
}

// A fiber takes the next thread when its thread ends, so a kernel without barriers is a plain loop without switches.
void Engine::fiber_main() {
  Engine& e = engine();
  for (;;) {
    running.in_kernel = true;
    e.launch_->body.call(e.launch_->body.closure.get());
    running.in_kernel = false;
    e.thread_exited();
    const int next = e.choose_next();
    if (next == kStartNew) {
      e.start_on(e.running_fiber_);
      continue;
    }
    e.free_fibers_.push_back(e.running_fiber_);
    if (next == kBlockDone) {
      e.switch_to(&e.main_);
    } else {
      e.make_current(next);
      running.in_kernel = true;
      e.switch_to(e.threads_[next].fiber);
    }
  }
}

void Engine::thread_exited() {
  ++exited_;
  ++totals.threads;
  threads_[current_].state = State::kExited;
  const int warp = current_ / kWarp;
  warps_[warp].exited |= 1u << (current_ % kWarp);
  for (unsigned lanes = warps_[warp].waiting; lanes; lanes &= lanes - 1) {  // they may have waited for this one only
    const Thread& other = threads_[warp * kWarp + __builtin_ctz(lanes)];
    if (other.state == State::kAtCollective) complete_collective(warp, other.mask);
  }
}

// ---- scheduling

// A ready thread, kStartNew, or kBlockDone. Releases the barrier when everybody is there.
int Engine::choose_next() {
  const bool random = options().order == Order::kRandom;
  for (;;) {
    const size_t ready = ready_.size() - ready_head_, unstarted = static_cast<size_t>(size_) - started_;
    if (ready + unstarted > 0) {
      const size_t pick = random ? random_() % (ready + unstarted) : 0;
      if (pick >= ready) return kStartNew;
      std::swap(ready_[ready_head_], ready_[ready_head_ + pick]);
      return ready_[ready_head_++];
    }
    if (exited_ == size_) return kBlockDone;
    if (at_barrier_ != size_) {
      abort_launch((at_barrier_ ? "divergent barrier" : "warp collective that can't complete") + waiting());
    }
    release_barrier();
  }
}

void Engine::run_something_else() {
  Fiber* self = running_fiber_;
  const int next = choose_next();
  Fiber* to = next == kStartNew ? take_fiber() : threads_[next].fiber;
  if (next == kStartNew) {
    start_on(to);
  } else {
    make_current(next);
  }
  if (to != self) switch_to(to);
}

void Engine::release_barrier() {
  const Thread& first = threads_[0];
  uint64_t count = 0;
  for (const Thread& thread : threads_) {
    count += thread.value;
    if (thread.site.line != first.site.line || std::strcmp(thread.site.file, first.site.file) != 0) {
      abort_launch("divergent barrier: different __syncthreads" + waiting());
    }
  }
  ++running.block_epoch;
  ++totals.barriers;
  at_barrier_ = 0;
  ready_.clear();
  ready_head_ = 0;
  if (options().order == Order::kRandom) std::shuffle(order_.begin(), order_.end(), random_);
  for (int t : order_) {
    Thread& thread = threads_[t];
    thread.state = State::kReady;
    ++thread.warp_epoch;
    const bool all = count == static_cast<uint64_t>(size_);
    thread.result = thread.reduction == Reduction::kCount ? count
                    : thread.reduction == Reduction::kAnd ? all
                                                          : count > 0;
    ready_.push_back(t);
  }
}

uint64_t Engine::wait_at_barrier(Site site, Reduction reduction, bool predicate) {
  running.in_kernel = false;
  const int self = current_;
  Thread& thread = threads_[self];
  thread.state = State::kAtBarrier;
  thread.site = site;
  thread.reduction = reduction;
  thread.value = predicate;
  ++at_barrier_;
  run_something_else();
  running.in_kernel = true;
  return threads_[self].result;
}

// ---- warp collectives

uint64_t Engine::wait_at_collective(Site site, Collective kind, unsigned mask, uint64_t value, int argument,
                                    int width) {
  running.in_kernel = false;
  const int self = current_, warp = self / kWarp, lane = self % kWarp;
  Thread& thread = threads_[self];
  thread.state = State::kAtCollective;
  thread.site = site;
  thread.kind = kind;
  thread.mask = mask;
  thread.value = value;
  thread.argument = argument;
  thread.width = width;
  if (!(mask >> lane & 1)) abort_launch("the calling lane is not in the mask of its collective" + waiting());
  if (width < 1 || width > kWarp || (width & (width - 1))) abort_launch("shuffle width " + std::to_string(width));
  const unsigned others = warps_[warp].waiting & mask;
  if (others) {
    const Thread& other = threads_[warp * kWarp + __builtin_ctz(others)];
    if (other.mask != mask || other.kind != kind)
      abort_launch("collectives differ between the lanes of a warp" + waiting());
  }
  warps_[warp].waiting |= 1u << lane;
  complete_collective(warp, mask);
  if (thread.state == State::kAtCollective) {
    run_something_else();
  } else {
    running.warp_epoch = thread.warp_epoch;
  }
  running.in_kernel = true;
  return thread.result;
}

// Lets the lanes of `mask` go on if all that have not exited are there.
void Engine::complete_collective(int warp, unsigned mask) {
  const unsigned needed = mask & ~warps_[warp].exited;
  if (!needed || (warps_[warp].waiting & needed) != needed) return;
  Thread* lanes = &threads_[warp * kWarp];
  const Thread& first = lanes[__builtin_ctz(needed)];
  unsigned ballot = 0;
  for (unsigned rest = needed; rest; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    if (lanes[lane].mask != first.mask || lanes[lane].kind != first.kind) {
      abort_launch("collectives differ between the lanes of a warp" + waiting());
    }
    ballot |= static_cast<unsigned>(lanes[lane].value != 0) << lane;
  }
  ++totals.collectives;
  for (unsigned rest = needed; rest; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest);
    if (first.kind == Collective::kSync) ++lanes[lane].warp_epoch;
    lanes[lane].result = collective_result(lanes, lane, needed, ballot);
  }
  warps_[warp].waiting &= ~needed;
  for (unsigned rest = needed; rest; rest &= rest - 1) {
    const int lane = __builtin_ctz(rest), thread = warp * kWarp + lane;
    lanes[lane].state = State::kReady;
    if (thread != current_) ready_.push_back(thread);  // the current one, the last to come, just goes on
  }
}

uint64_t Engine::collective_result(const Thread* lanes, int lane, unsigned needed, unsigned ballot) {
  switch (lanes[lane].kind) {
    case Collective::kSync:
      return 0;
    case Collective::kBallot:
      return ballot;
    case Collective::kAny:
      return ballot != 0;
    case Collective::kAll:
      return ballot == needed;
    default:
      return shuffled(lanes, lane, needed);
  }
}

uint64_t Engine::shuffled(const Thread* lanes, int lane, unsigned needed) {
  const Thread& self = lanes[lane];
  const int base = lane & ~(self.width - 1), last = base + self.width - 1;
  int source = lane;
  if (self.kind == Collective::kShuffle) source = base + (self.argument & (self.width - 1));
  if (self.kind == Collective::kShuffleUp && lane - self.argument >= base) source = lane - self.argument;
  if (self.kind == Collective::kShuffleDown && lane + self.argument <= last) source = lane + self.argument;
  if (self.kind == Collective::kShuffleXor && (lane ^ self.argument) <= last) source = lane ^ self.argument;
  if (!(needed >> source & 1)) {
    const bool exited = self.mask >> source & 1;
    abort_launch("shuffle reads lane " + std::to_string(source) +
                 (exited ? ", which has exited" : ", which is not in the mask") + waiting());
  }
  return lanes[source].value;
}

// ---- shared memory

// Static arrays are found by the place of their declaration; each ends at a guard zone.
void* Engine::allocate(const void* site, size_t bytes, size_t alignment, const char* name) {
  for (const SharedArray& array : arrays_) {
    if (array.site == site) return array.begin;
  }
  alignment = std::max<size_t>(alignment, 16);
  const size_t offset = (arena_used_ + alignment - 1) / alignment * alignment;
  size_t total = launch_->shared_bytes + bytes;
  for (const SharedArray& array : arrays_) total += array.bytes;
  if (total > options().shared_limit || offset + bytes + kGuardBytes > kArenaBytes) {
    abort_launch("a block uses " + std::to_string(total) + " bytes of shared memory");
  }
  arrays_.push_back({site, arena_ + offset, bytes, name});
  arena_used_ = offset + bytes + kGuardBytes;
  return arena_ + offset;
}

void Engine::check_guards() {
  const auto check = [&](const unsigned char* guard, const char* name) {
    const bool whole = std::all_of(guard, guard + kGuardBytes, [](unsigned char byte) { return byte == kPoison; });
    if (!whole) report("write past the end of shared array '" + std::string(name) + "'" + place());
  };
  if (launch_->shared_bytes) check(arena_ + (launch_->shared_bytes + 15) / 16 * 16, "(dynamic)");
  for (const SharedArray& array : arrays_) check(array.begin + array.bytes, array.name);
}

// ---- blocks and grids

void Engine::prepare_block(uint32_t block) {
  const dim3& grid = launch_->grid;
  indices.block = uint3{block % grid.x, block / grid.x % grid.y, block / (grid.x * grid.y)};
  running.block = block;
  running.block_epoch = 0;
  threads_.assign(size_, Thread{});
  warps_.assign((size_ + kWarp - 1) / kWarp, Warp{});
  order_.resize(size_);
  std::iota(order_.begin(), order_.end(), 0);
  if (options().order == Order::kDescending) std::reverse(order_.begin(), order_.end());
  if (options().order == Order::kRandom) {
    random_.seed(options().seed * 1000003 + block);
    std::shuffle(order_.begin(), order_.end(), random_);
  }
  started_ = ready_head_ = 0;
  at_barrier_ = exited_ = 0;
  ready_.clear();
  arrays_.clear();
  std::fill_n(arena_, std::min(options().shared_limit + kPage, kArenaBytes), kPoison);  // 52 KiB: about a microsecond
  arena_used_ = (launch_->shared_bytes + 15) / 16 * 16 + kGuardBytes;
  indices.dynamic_shared = arena_;
  checker_block_start();
}

void Engine::run_block(uint32_t block) {
  prepare_block(block);
  ++totals.blocks;
  Fiber* fiber = take_fiber();
  start_on(fiber);
  switch_to(fiber);
  running.in_kernel = false;
  if (aborted_) {  // abandon every fiber where it stands: kernels have locals without destructors only
    for (Fiber* each : fibers_) reset_fiber(each);
    free_fibers_ = fibers_;
  } else {
    check_guards();
  }
}

bool Engine::run(const Launch& launch) {
  launch_ = &launch;
  size_ = static_cast<int>(launch.block.x * launch.block.y * launch.block.z);
  aborted_ = false;
  const auto* closure = static_cast<const unsigned char*>(launch.body.closure.get());
  running.kernel = launch.name;
  running.device = launch.device;
  running.host_thread = &this_host_thread;
  ++running.launch;
  running.shared = {arena_, arena_ + kArenaBytes};
  running.parameters = {closure, closure + launch.body.bytes};
  const auto* own_indices = reinterpret_cast<const unsigned char*>(&indices);
  running.indices = {own_indices, own_indices + sizeof indices};
  indices.block_size = launch.block;
  indices.grid_size = launch.grid;
  std::vector<uint32_t> blocks(static_cast<size_t>(launch.grid.x) * launch.grid.y * launch.grid.z);
  std::iota(blocks.begin(), blocks.end(), 0u);
  if (options().order == Order::kDescending) std::reverse(blocks.begin(), blocks.end());
  if (options().order == Order::kRandom) std::shuffle(blocks.begin(), blocks.end(), std::mt19937_64(options().seed));
  ++totals.launches;
  for (uint32_t block : blocks) {
    run_block(block);
    if (aborted_) return false;
  }
  return true;
}

void Engine::leave_kernel() {
  aborted_ = true;
  running.in_kernel = false;
  switch_to(&main_);
  __builtin_unreachable();
}

// ---- faults: a bad address or an overflowing stack in a kernel is a report, not the end of the program

const void* fault_address = nullptr;

void after_fault() {
  char text[64];
  std::snprintf(text, sizeof text, "invalid memory access at %p", fault_address);
  abort_launch(text);
}

void on_fault(int signal_number, siginfo_t* info, void* context) {
  if (!in_kernel()) {  // not a kernel's: die as usual
    std::signal(signal_number, SIG_DFL);
    return;
  }
  fault_address = info->si_addr;
  auto& registers = static_cast<ucontext_t*>(context)->uc_mcontext.gregs;
  // From the stack's top, as the frame may be the one that overflowed.
  registers[REG_RSP] = ((reinterpret_cast<greg_t>(running.stack.end) - 256) & ~15ll) - 8;
  registers[REG_RIP] = reinterpret_cast<greg_t>(&after_fault);
}

// Signals are the process's, the stack for their handler each thread's own.
void catch_faults() {
  thread_local unsigned char stack[32 << 10];
  stack_t alternate{};
  alternate.ss_sp = stack;
  alternate.ss_size = sizeof stack;
  sigaltstack(&alternate, nullptr);
  struct sigaction action {};
  action.sa_sigaction = on_fault;
  action.sa_flags = SA_SIGINFO | SA_ONSTACK;
  sigaction(SIGSEGV, &action, nullptr);
  sigaction(SIGBUS, &action, nullptr);
}

}  // namespace

void report(const std::string& what) {
  if (reports.size() < 64) reports.push_back(what);
}

std::vector<std::string> take_reports() {
  checker_forget_reports();
  return std::exchange(reports, {});
}

const Counts& counts() {
  return totals;
}
void count_allocation() {
  ++totals.allocations;
}
void count_wait() {
  ++totals.waits;
}
void count_graph_launch() {
  ++totals.graph_launches;
}
Call::Call() {
  static std::recursive_mutex mutex;
  lock_ = std::unique_lock(mutex);
  const uint64_t number = ++totals.calls, failing = options().failing_call;
  fails_ = failing > 0 && (number == failing || (number > failing && options().device_is_lost));
}

void abort_launch(const std::string& what) {
  running.in_kernel = false;
  report(what + engine().place());
  engine().leave_kernel();
}

uint64_t barrier(Site site, Reduction reduction, bool predicate) {
  return engine().wait_at_barrier(site, reduction, predicate);
}
uint64_t collective(Site site, Collective kind, unsigned mask, uint64_t value, int argument, int width) {
  return engine().wait_at_collective(site, kind, mask, value, argument, width);
}
void* allocate_shared(const void* site, size_t bytes, size_t alignment, const char* name) {
  return engine().allocate(site, bytes, alignment, name);
}
void note_atomic(const void* address, size_t bytes, void* caller) {
  checker_atomic(address, bytes, caller);
}
void note_fence() {
  checker_fence();
}

cudaError_t enqueue_launch(const char* name, dim3 grid, dim3 block, size_t shared_bytes, cudaStream_t stream,
                           Body body) {
  SIMT_CALL(cudaErrorLaunchFailure);
  thread_local bool catches = false;
  if (!std::exchange(catches, true)) catch_faults();
  if (device_of(stream) != current_device()) {
    report("launch of " + std::string(name) + " on a stream of device " + std::to_string(device_of(stream)) +
           " while device " + std::to_string(current_device()) + " is selected");
    return cudaErrorInvalidResourceHandle;
  }
  const uint64_t threads = uint64_t{block.x} * block.y * block.z;
  if (threads == 0 || threads > 1024 || block.z > 64 || !grid.x || !grid.y || !grid.z || grid.y > 65535 ||
      grid.z > 65535 || shared_bytes > options().shared_limit) {
    return cudaErrorInvalidConfiguration;
  }
  ++totals.kernel_calls;
  return enqueue(stream, [launch = Launch{name, grid, block, shared_bytes, device_of(stream), std::move(body)}] {
    if (!engine().run(launch)) set_launch_failure();
  });
}

}  // namespace simt
