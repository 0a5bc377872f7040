// Sees every load and store of a kernel. The kernels are compiled with -fsanitize=thread, which calls a function at
// each of them, and linked without the thread sanitizer's library: the functions are here. A race is found from the
// barriers and fences between two accesses, whatever the order in which the threads happened to run.
#include <link.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <unordered_map>
#include <unordered_set>
#include <utility>

#include "tests/simt/engine.h"

extern "C" char __executable_start, end;  // set by the linker: the program's own image

namespace simt {
namespace {

// The last access to 4 aligned bytes of one kind (write or read).
struct Access {
  uint32_t launch = 0, block = 0, block_epoch = 0, warp_epoch = 0, fence = 0;
  uint16_t thread = 0;
  uint8_t bytes = 0;  // mask of the 4 bytes
  bool atomic = false;
  bool many_threads = false;  // several threads of one warp since its last barrier
  bool many_warps = false;
};
struct Cell {
  Access write, read;
  uint8_t written = 0;  // mask of the bytes of shared memory that hold a value
};
struct Page {
  Cell cells[1024];
};

class Cells {
 public:
  Cell& at(uintptr_t address) {
    const uintptr_t key = address >> 12;
    if (key != last_key_) {
      std::unique_ptr<Page>& page = pages_[key];
      if (!page) page = std::make_unique<Page>();
      last_key_ = key;
      last_page_ = page.get();
    }
    return last_page_->cells[(address >> 2) & 1023];
  }
  void forget(const Range& range) {
    const auto first = reinterpret_cast<uintptr_t>(range.begin) >> 12,
               last = (reinterpret_cast<uintptr_t>(range.end) - 1) >> 12;
    for (uintptr_t key = first; key <= last; ++key) {
      if (const auto found = pages_.find(key); found != pages_.end()) *found->second = Page{};
    }
  }

 private:
  std::unordered_map<uintptr_t, std::unique_ptr<Page>> pages_;
  uintptr_t last_key_ = 0;
  Page* last_page_ = nullptr;
};

Cells cells;
std::unordered_set<std::string> reported;       // one report a place and kind
std::unordered_map<uint32_t, uint32_t> fences;  // __threadfence() calls, by block
uint32_t own_fences = 0, fences_of_launch = 0;

uintptr_t load_address() {
  uintptr_t base = 0;
  const auto first = [](dl_phdr_info* info, size_t, void* out) {
    *static_cast<uintptr_t*>(out) = info->dlpi_addr;
    return 1;
  };
  dl_iterate_phdr(first, &base);
  return base;
}

// "sample_table.cu:87" of an instruction, by binutils' addr2line.
std::string source_line(const void* caller) {
  char command[160], line[512], result[512] = "?";
  std::snprintf(command, sizeof command, "addr2line -sie /proc/%d/exe 0x%zx 2>/dev/null", static_cast<int>(getpid()),
                static_cast<size_t>(reinterpret_cast<uintptr_t>(caller) - 1 - load_address()));
  FILE* pipe = popen(command, "r");
  if (!pipe) return result;
  bool kernel_line = false;  // of inlined functions, the innermost that is not the emulator's own
  while (std::fgets(line, sizeof line, pipe)) {
    line[std::strcspn(line, " \n")] = 0;
    if (!kernel_line) std::snprintf(result, sizeof result, "%s", line);
    kernel_line = kernel_line || !std::strstr(line, "device_language.h");
  }
  pclose(pipe);
  return result;
}

void report_access(const char* what, size_t bytes, bool write, const void* caller, const Access* other) {
  const bool in_kernel = std::exchange(running.in_kernel, false);
  if (reported.insert(what + std::to_string(reinterpret_cast<uintptr_t>(caller))).second) {
    std::string text = std::string(what) + ": " + (write ? "write" : "read") + " of " + std::to_string(bytes) +
                       " bytes at " + source_line(caller) + " by block " + std::to_string(running.block) + ", thread " +
                       std::to_string(running.thread);
    if (other) text += " against block " + std::to_string(other->block) + ", thread " + std::to_string(other->thread);
    report(text + " [kernel " + running.kernel + "]");
  }
  running.in_kernel = in_kernel;
}

// Is the earlier access ordered before what the running thread does now?
bool ordered(const Access& earlier) {
  if (earlier.launch != running.launch) return true;
  if (earlier.block != running.block) {  // published by a fence?
    const auto fence = fences.find(earlier.block);
    return fence != fences.end() && fence->second != earlier.fence;
  }
  if (earlier.thread == running.thread || earlier.block_epoch != running.block_epoch) return true;
  return earlier.thread / 32 == running.thread / 32 && earlier.warp_epoch != running.warp_epoch;
}

// As `ordered`, for a cell's last read, which stands for others of the same epoch too.
bool reads_ordered(const Access& read) {
  if (!ordered(read)) return false;
  const bool same_epoch =
      read.launch == running.launch && read.block == running.block && read.block_epoch == running.block_epoch;
  return !same_epoch || !(read.many_warps || (read.many_threads && read.warp_epoch == running.warp_epoch));
}

void remember(Access& access, uint8_t bytes, bool write, bool atomic) {
  const bool same_epoch =
      access.launch == running.launch && access.block == running.block && access.block_epoch == running.block_epoch;
  const bool others = !write && same_epoch;
  const bool other_warp = access.thread / 32 != running.thread / 32, other_thread = access.thread != running.thread;
  const bool many_warps = others && (access.many_warps || other_warp);
  const bool same_warp_epoch = others && !other_warp && access.warp_epoch == running.warp_epoch;
  const bool many_threads = same_warp_epoch && (access.many_threads || other_thread);
  if (same_epoch) bytes |= access.bytes;
  access = Access{running.launch,
                  running.block,
                  running.block_epoch,
                  running.warp_epoch,
                  own_fences,
                  static_cast<uint16_t>(running.thread),
                  bytes,
                  atomic,
                  many_threads,
                  many_warps};
}

void check_cell(Cell& cell, uint8_t mask, size_t bytes, bool write, bool atomic, bool shared, const void* caller) {
  if (shared) {
    if ((!write || atomic) && (cell.written & mask) != mask) {
      report_access("uninitialised shared memory", bytes, false, caller, nullptr);
    }
    if (write) cell.written |= mask;
  }
  const bool both_atomic = atomic && cell.write.atomic;
  if ((cell.write.bytes & mask) && !both_atomic && !ordered(cell.write)) {
    report_access("race", bytes, write, caller, &cell.write);
  }
  if (write && (cell.read.bytes & mask) && !reads_ordered(cell.read)) {
    report_access("race (write after read)", bytes, write, caller, &cell.read);
  }
  remember(write ? cell.write : cell.read, mask, write, atomic);
}

// Is it memory that a kernel may touch? Ends the launch if it can't go on.
bool allowed(const void* address, size_t bytes, bool write, const void* caller) {
  switch (residence(address, bytes)) {
    case Residence::kDevice:
      return true;
    case Residence::kPastTheEnd:
      report_access("out of bounds", bytes, write, caller, nullptr);
      return false;
    case Residence::kOtherDevice:
      report_access("memory of another device", bytes, write, caller, nullptr);
      return false;
    case Residence::kPinnedHost:
      report_access("host memory", bytes, write, caller, nullptr);
      return false;
    case Residence::kUnknown:
      break;
  }
  const auto* byte = static_cast<const char*>(address);
  if (byte >= &__executable_start && byte < &end) return !write;  // __constant__ data and tables of constants
  report_access("out of bounds or host memory", bytes, write, caller, nullptr);
  running.in_kernel = false;
  abort_launch("stopped by the checker");
}

void check(const void* address, size_t bytes, bool write, bool atomic, const void* caller) {
  if (!in_kernel() || running.stack.holds(address)) return;
  if (reinterpret_cast<uintptr_t>(address) % bytes != 0) report_access("misaligned", bytes, write, caller, nullptr);
  if (!write && (running.parameters.holds(address) || running.indices.holds(address))) return;
  const bool shared = running.shared.holds(address);
  if (!shared && !allowed(address, bytes, write, caller)) return;
  const auto begin = reinterpret_cast<uintptr_t>(address), limit = begin + bytes;
  for (uintptr_t at = begin & ~uintptr_t{3}; at < limit; at += 4) {
    const unsigned low = at < begin ? static_cast<unsigned>(begin - at) : 0;
    const unsigned high = at + 4 > limit ? static_cast<unsigned>(limit - at) : 4;
    const auto mask = static_cast<uint8_t>(((1u << high) - 1) & ~((1u << low) - 1));
    check_cell(cells.at(at), mask, bytes, write, atomic, shared, caller);
  }
}

// Copies of structures.
void check_range(const void* address, size_t bytes, bool write, const void* caller) {
  const auto* byte = static_cast<const unsigned char*>(address);
  const size_t step = reinterpret_cast<uintptr_t>(address) % 4 == 0 && bytes % 4 == 0 ? 4 : 1;
  for (size_t i = 0; i < bytes; i += step) check(byte + i, step, write, false, caller);
}

}  // namespace

void checker_block_start() {
  if (std::exchange(fences_of_launch, running.launch) != running.launch) fences.clear();
  own_fences = 0;
  cells.forget(running.shared);  // every block starts with shared memory that nobody wrote
}
void checker_fence() {
  own_fences = ++fences[running.block];
}
void checker_atomic(const void* address, size_t bytes, void* caller) {
  check(address, bytes, true, true, caller);
}
void checker_forget_reports() {
  reported.clear();
}

}  // namespace simt

#define SIMT_CALLER __builtin_return_address(0)
#define SIMT_HOOKS(n)                                  \
  extern "C" void __tsan_read##n(void* p) {            \
    simt::check(p, n, false, false, SIMT_CALLER);      \
  }                                                    \
  extern "C" void __tsan_write##n(void* p) {           \
    simt::check(p, n, true, false, SIMT_CALLER);       \
  }                                                    \
  extern "C" void __tsan_unaligned_read##n(void* p) {  \
    simt::check(p, n, false, false, SIMT_CALLER);      \
  }                                                    \
  extern "C" void __tsan_unaligned_write##n(void* p) { \
    simt::check(p, n, true, false, SIMT_CALLER);       \
  }
SIMT_HOOKS(1)
SIMT_HOOKS(2)
SIMT_HOOKS(4)
SIMT_HOOKS(8)
SIMT_HOOKS(16)
extern "C" {
void __tsan_read_range(void* p, size_t n) {
  simt::check_range(p, n, false, SIMT_CALLER);
}
void __tsan_write_range(void* p, size_t n) {
  simt::check_range(p, n, true, SIMT_CALLER);
}
void __tsan_init() {}
void __tsan_func_entry(void*) {}
void __tsan_func_exit() {}
void __tsan_vptr_update(void*, void*) {}
void __tsan_vptr_read(void*) {}
}
// Host code in a kernel's file (reference counts, once-flags) takes the sanitizer's atomics: plain atomics here.
#define SIMT_ATOMICS(bits, T)                                                                        \
  extern "C" T __tsan_atomic##bits##_load(const volatile T* p, int) {                                \
    return __atomic_load_n(p, __ATOMIC_SEQ_CST);                                                     \
  }                                                                                                  \
  extern "C" void __tsan_atomic##bits##_store(volatile T* p, T v, int) {                             \
    __atomic_store_n(p, v, __ATOMIC_SEQ_CST);                                                        \
  }                                                                                                  \
  extern "C" T __tsan_atomic##bits##_fetch_add(volatile T* p, T v, int) {                            \
    return __atomic_fetch_add(p, v, __ATOMIC_SEQ_CST);                                               \
  }                                                                                                  \
  extern "C" T __tsan_atomic##bits##_fetch_sub(volatile T* p, T v, int) {                            \
    return __atomic_fetch_sub(p, v, __ATOMIC_SEQ_CST);                                               \
  }                                                                                                  \
  extern "C" int __tsan_atomic##bits##_compare_exchange_strong(volatile T* p, T* e, T v, int, int) { \
    return __atomic_compare_exchange_n(p, e, v, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);          \
  }
SIMT_ATOMICS(8, unsigned char)
SIMT_ATOMICS(32, unsigned)
SIMT_ATOMICS(64, unsigned long)
