#include "host/interrupt.h"

#include <pthread.h>
#include <unistd.h>

#include <atomic>

#include "kernels/common/error.h"

namespace doppel {
namespace {

std::atomic<bool> requested{false};
static_assert(std::atomic<bool>::is_always_lock_free, "a signal handler may only touch lock-free atomics");

void on_signal(int) {
  if (requested.exchange(true)) _exit(static_cast<int>(ExitStatus::kInterrupted));
}

// Code that oneDNN makes for matrix products (2023.2, AVX-512) uses the stack pointer for other things: a signal's
// frame pushed there landed on the heap.
void use_own_stack() {
  alignas(64) static char memory[64 << 10];  // a frame holds all registers, with AMX 11 KiB
  stack_t stack = {};
  stack.ss_sp = memory;
  stack.ss_size = sizeof memory;
  sigaltstack(&stack, nullptr);
}

}  // namespace

void install_signal_handlers() {
  use_own_stack();
  struct sigaction action = {};
  action.sa_handler = on_signal;
  action.sa_flags = SA_ONSTACK;  // no SA_RESTART: a blocked write must return
  sigaction(SIGINT, &action, nullptr);
  sigaction(SIGTERM, &action, nullptr);
  action.sa_handler = SIG_IGN;
  sigaction(SIGPIPE, &action, nullptr);
  sigaction(SIGXFSZ, &action, nullptr);
}

bool interrupted() {
  return requested.load(std::memory_order_relaxed);
}
void clear_interrupt() {
  requested = false;
}

BlockSignals::BlockSignals() {
  sigset_t blocked;
  sigemptyset(&blocked);
  sigaddset(&blocked, SIGINT);
  sigaddset(&blocked, SIGTERM);
  pthread_sigmask(SIG_BLOCK, &blocked, &before_);
}
BlockSignals::~BlockSignals() {
  pthread_sigmask(SIG_SETMASK, &before_, nullptr);
}

}  // namespace doppel
